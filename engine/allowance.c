#include "engine/allowance.h"

#include <stdint.h>

#include "base/macros.h"

/* base + factor * bytes, no more than most. */
static size_t grow(size_t base, size_t factor, size_t bytes, size_t most) {
        size_t sum;

        if (!size_multiply(&sum, factor, bytes) || !size_add(&sum, sum, base))
                return most;
        return MIN(sum, most);
}

struct allowance allowance_of(size_t constant_bytes, size_t images) {
        size_t image_bytes = grow(0, ALLOWANCE_RUN_FACTOR, constant_bytes, ALLOWANCE_RUN_MAX_BYTES);

        return (struct allowance){
                .packed_bytes =
                        grow(ALLOWANCE_PACKED_BASE_BYTES, ALLOWANCE_PACKED_FACTOR, constant_bytes, SIZE_MAX),
                .run_bytes = grow(ALLOWANCE_RUN_BASE_BYTES, images, image_bytes, ALLOWANCE_RUN_MAX_BYTES),
                .work = (ALLOWANCE_WORK_BASE + ALLOWANCE_WORK_PER_BYTE * (double)constant_bytes) *
                        (double)images,
        };
}
