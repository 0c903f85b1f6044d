#include <stdint.h>

#include "base/macros.h"
#include "engine/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(npy_release) struct npy npy = {0};

        npy_parse(&npy, bytes, size, NULL);
        return 0;
}
