#include <stdint.h>

#include "base/macros.h"
#include "engine/tuning.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Twice: as it is, and with the checksum that the text would need, behind which few inputs come otherwise.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(tuning_freep) struct tuning *tuning = NULL;

        if (tuning_new(&tuning, NULL) < 0)
                return 0;
        tuning_parse(tuning, bytes, size, "identity", NULL);
        tuning_parse_lines(tuning, bytes, size, "identity", NULL);
        return 0;
}
