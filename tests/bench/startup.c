/*
 * startup MODEL: what the way from a file to a plan is made of, and how that compares with what must be done
 * at least: reading the file once and packing its weights once. Milliseconds, in one line of JSON. One
 * process a measurement, as oneDNN keeps the code it has generated, and the heap its pages;
 * tests/bench/memory.py takes the least of several.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "engine/source.h"

#define PIECE_BYTES ((size_t)256 << 10)

struct times {
        double read, hash, open;
        double cold_plan;    /* generates code and packs */
        double shared_plan;  /* beside the first one: does neither */
        double packing_plan; /* when that is gone: packs alone */
};

static double ms_since(uint64_t start) {
        return (double)(clock_ns() - start) / 1e6;
}

/* Pieces that stay in a cache, as the engine reads them. */
static int measure_file(struct times *times, const char *path, struct error *error) {
        static unsigned char piece[PIECE_BYTES];
        _cleanup_(source_unrefp) struct source *source = NULL;
        uint64_t start = clock_ns();
        size_t n;
        int r;

        r = source_open(&source, path, MODEL_MAX_FILE_BYTES, true, error);
        for (size_t done = 0; r >= 0 && done < source_size(source); done += n) {
                n = MIN(source_size(source) - done, PIECE_BYTES);
                r = source_read(source, done, piece, n, error);
        }
        if (r < 0)
                return r;
        times->read = ms_since(start);

        return 0;
}

static int time_plan(double *ret_ms, struct plan **ret_plan, struct model *model, struct error *error) {
        const struct plan_options options = {.batch = 1, .threads = 1};
        uint64_t start = clock_ns();
        int r;

        r = plan_new(ret_plan, model, &options, error);
        *ret_ms = ms_since(start);
        return r;
}

static int measure_model(struct times *times, const char *path, struct error *error) {
        _cleanup_(model_freep) struct model *model = NULL;
        struct plan *cold = NULL, *shared = NULL, *packing = NULL;
        uint64_t start = clock_ns();
        int r;

        r = model_open(&model, path, NULL, error);
        times->open = ms_since(start);
        if (r >= 0)
                r = time_plan(&times->cold_plan, &cold, model, error);
        if (r >= 0)
                r = time_plan(&times->shared_plan, &shared, model, error);
        plan_freep(&cold);
        plan_freep(&shared);
        start = clock_ns();
        if (r >= 0)
                r = model_identify(model, error);
        times->hash = MAX(ms_since(start) - times->read, 0);
        if (r >= 0)
                r = time_plan(&times->packing_plan, &packing, model, error);
        plan_freep(&packing);
        return r;
}

int main(int argc, char **argv) {
        struct error error = ERROR_NONE;
        struct times t;
        double pack, ready;

        if (argc != 2) {
                fprintf(stderr, "usage: startup MODEL\n");
                return 2;
        }
        if (measure_file(&t, argv[1], &error) < 0 || measure_model(&t, argv[1], &error) < 0) {
                fprintf(stderr, "startup: %s\n", error.text);
                return 1;
        }
        /* What is packed is read once more. */
        pack = MAX(t.packing_plan - t.shared_plan - t.read, 0);
        ready = t.open + t.cold_plan;
        printf("{\"read_ms\": %.2f, \"hash_ms\": %.2f, \"parse_ms\": %.2f, \"pack_ms\": %.2f, \"plan_ms\": "
               "%.2f, "
               "\"ready_ms\": %.2f, \"ratio\": %.3f}\n",
               t.read, t.hash, t.open, pack, MAX(t.cold_plan - t.packing_plan + t.shared_plan, 0), ready,
               ready / (t.read + pack));
        return 0;
}
