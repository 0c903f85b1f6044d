/* Bytes -> model -> plan -> run: whatever a file says, reading, simplifying, planning and running it must
 * not go wrong. */
#include "tests/fuzz/exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        exercise_model(bytes, size);
        return 0;
}
