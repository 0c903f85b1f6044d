#include "server/model_check.h"

#include <stdlib.h>

#include "engine/golden.h"
#include "server/backend.h"

/* Room for one image and its answer. */
struct bench {
        struct image_decoder *decoder;
        unsigned char *pixels; /* [H, W, 3] */
        float *probabilities;  /* [classes] */
};

static void bench_release(struct bench *bench) {
        if (bench->decoder)
                image_decoder_free(bench->decoder);
        free(bench->pixels);
        free(bench->probabilities);
}

static int check_answer(struct bench *bench, struct backend *backend, const struct image_options *options,
                        const struct golden_answer *answer, struct error *error) {
        const struct model *model = backend_model(backend);
        _cleanup_(blob_release) struct blob file = BLOB_NONE;
        int r;

        r = golden_read_image(&file, model_directory(model), answer->image, error);
        if (r < 0)
                return r;
        r = image_decode(bench->decoder, bench->pixels, model_preprocess(model), options, file.bytes,
                         file.size, NULL, error);
        if (r < 0)
                return error_prefix(error, r, "%s: image '%s'", GOLDEN_FILE, answer->image);
        r = backend_try(backend, bench->pixels, bench->probabilities, error);
        if (r < 0)
                return r;
        return golden_compare(answer, model, bench->probabilities, error);
}

int model_check(struct backend *backend, const struct image_options *options, size_t *ret_n_images,
                struct error *error) {
        const struct model *model = backend_model(backend);
        _cleanup_(golden_freep) struct golden *golden = NULL;
        _cleanup_(bench_release) struct bench bench = {0};
        int r = ERROR_NOT_FOUND;

        if (model_directory(model))
                r = golden_read(&golden, model_directory(model), error);
        if (r == ERROR_NOT_FOUND) {
                *ret_n_images = 0;
                return 0;
        }
        if (r < 0)
                return r;
        bench.pixels = malloc(backend_pixels_bytes(backend));
        bench.probabilities = calloc(model_n_classes(model), sizeof(float));
        if (!bench.pixels || !bench.probabilities)
                return error_no_memory(error);
        r = image_decoder_new(&bench.decoder, error);
        for (size_t i = 0; r >= 0 && i < golden_n_answers(golden); i++)
                r = check_answer(&bench, backend, options, golden_answer(golden, i), error);
        if (r < 0)
                return r;
        *ret_n_images = golden_n_answers(golden);
        return 0;
}
