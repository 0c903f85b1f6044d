/* golden.json beside a model. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/golden.h"
#include "engine/location.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(golden_freep) struct golden *golden = NULL;
        struct blob blob = blob_borrow(bytes, size);
        struct error error;

        if (golden_parse(&golden, &blob, &error) < 0)
                return 0;
        /* What its header promises of all that it takes. */
        if (golden_n_answers(golden) == 0 || golden_n_answers(golden) > GOLDEN_MAX_IMAGES)
                abort();
        for (size_t i = 0; i < golden_n_answers(golden); i++) {
                const struct golden_answer *answer = golden_answer(golden, i);

                if (!location_is_inside(answer->image) ||
                    !(answer->tolerance >= 0 && answer->tolerance <= 1) || answer->n_predictions == 0 ||
                    answer->n_predictions > GOLDEN_MAX_PREDICTIONS)
                        abort();
                for (size_t k = 0; k < answer->n_predictions; k++)
                        if (!(answer->predictions[k].probability >= 0 &&
                              answer->predictions[k].probability <= 1) ||
                            (answer->predictions[k].label && strlen(answer->predictions[k].label) > size))
                                abort();
        }
        return 0;
}
