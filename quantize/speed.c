#include "quantize/speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "engine/cpu.h"
#include "engine/plan.h"
#include "engine/tuner.h"

#define WARM_UP_RUNS 2u
#define MIN_RUNS     5u
#define MAX_RUNS     300u
#define MEASURING_NS 2000000000u /* both together */
#define NS_PER_MS    1e6

/* One of the two networks, ready to run. */
struct contender {
        struct model *model;
        struct tuning *tuning;
        struct plan *plan;
        struct run *run;
        float *output;
        uint64_t *step_ns, *least_ns; /* of each step */
        uint64_t least_run_ns;
};

static void contender_release(struct contender *contender) {
        if (contender->run)
                run_free(contender->run);
        if (contender->plan)
                plan_free(contender->plan);
        if (contender->tuning)
                tuning_free(contender->tuning);
        if (contender->model)
                model_free(contender->model);
        free(contender->output);
        free(contender->step_ns);
        free(contender->least_ns);
}

static int contender_prepare(struct contender *contender, struct error *error) {
        struct plan_options options = {.batch = 1, .threads = 1};
        const struct tuner_options tuner = {.effort = TUNE_FAST};
        bool measured;
        size_t n;
        int r;

        r = tuning_new(&contender->tuning, error);
        if (r < 0)
                return r;
        options.tuning = contender->tuning;
        r = tuner_run(contender->model, &options, &tuner, &measured, error);
        if (r >= 0)
                r = plan_new(&contender->plan, contender->model, &options, error);
        if (r >= 0)
                r = run_new(&contender->run, contender->plan, error);
        if (r < 0)
                return r;
        n = plan_n_steps(contender->plan);
        contender->output = calloc(plan_output_elements(contender->plan), sizeof(*contender->output));
        contender->step_ns = calloc(n, sizeof(*contender->step_ns));
        contender->least_ns = malloc(n * sizeof(*contender->least_ns));
        if (!contender->output || !contender->step_ns || !contender->least_ns)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++)
                contender->least_ns[i] = UINT64_MAX;
        contender->least_run_ns = UINT64_MAX;
        return 0;
}

/* Of this thread alone: what else runs on the machine does not count. */
static uint64_t thread_ns(void) {
        struct timespec now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int contender_run(struct contender *contender, const unsigned char *pixels, struct error *error) {
        uint64_t before = thread_ns();
        int r;

        r = run_profile(contender->run, pixels, contender->output, contender->step_ns, error);
        if (r < 0)
                return r;
        contender->least_run_ns = MIN(contender->least_run_ns, thread_ns() - before);
        for (size_t i = 0; i < plan_n_steps(contender->plan); i++)
                contender->least_ns[i] = MIN(contender->least_ns[i], contender->step_ns[i]);
        return 0;
}

static int run_in_turns(struct contender *const contenders[2], const struct session *session,
                        struct error *error) {
        const struct parallel_watcher *watcher = session->parallel.watcher;
        uint64_t started = clock_ns();
        int r;

        for (size_t i = 0;
             i < WARM_UP_RUNS + MIN_RUNS || (i < MAX_RUNS && clock_ns() - started < MEASURING_NS); i++) {
                for (size_t k = 0; k < 2; k++) {
                        r = contender_run(contenders[k], session->pictures->pixels, error);
                        if (r < 0)
                                return r;
                }
                if (watcher)
                        watcher->update(watcher->context, "speed",
                                        fmin((double)(clock_ns() - started) / MEASURING_NS, 1));
        }
        return 0;
}

/* ---- layers ---- */

static bool is_product(enum step_class class) {
        return class == STEP_CONV_1X1 || class == STEP_CONV_3X3 || class == STEP_CONV_DEPTHWISE ||
               class == STEP_CONV_OTHER || class == STEP_MATRIX;
}

/* Of the steps called after a layer or its activation. A convolution that adds is called after the sum;
 * whose time that is cannot be told, so it is no one's. */
static double layer_ms(const struct contender *contender, const char *name, const char *activation,
                       enum layer_kind kind) {
        uint64_t sum_ns = 0;

        for (size_t i = 0; i < plan_n_steps(contender->plan); i++) {
                struct plan_step step = plan_step(contender->plan, i);

                if (is_product(step.class) != layer_kind_has_weights(kind) ||
                    step.class == STEP_CONVERSION || step.class == STEP_REORDER)
                        continue;
                if (strcmp(step.node, name) == 0 || (activation && strcmp(step.node, activation) == 0))
                        sum_ns += contender->least_ns[i];
        }
        return sum_ns > 0 ? (double)sum_ns / NS_PER_MS : NAN;
}

static const char *activation_name(const struct session *session, const char *layer) {
        for (size_t i = 0; i < session->graph->n_nodes; i++) {
                uint32_t activation = session->scheme->layers[i].activation;

                if (session->scheme->layers[i].kind != LAYER_NONE && activation != VALUE_NONE &&
                    strcmp(session->graph->nodes[i].name, layer) == 0)
                        return session->graph->nodes[activation].name;
        }
        return NULL;
}

int speed_measure(struct session *session, struct quantize_result *result, struct error *error) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        /* The networks are released before the file of the first of them. */
        _cleanup_(contender_release) struct contender in_float = {0}, in_bytes = {0};
        struct contender *contenders[] = {&in_float, &in_bytes};
        /* With all layers kept the file has no integers. */
        enum precision precision = result->n_kept < result->n_layers ? PRECISION_INT8 : PRECISION_F32;
        size_t size;
        int r;

        r = session_write(&bytes, &size, session, NULL, error);
        if (r >= 0)
                r = session_open(&in_float.model, session, bytes, size, PRECISION_F32, NULL, error);
        if (r >= 0)
                r = session_open(&in_bytes.model, session, result->onnx, result->onnx_bytes, precision, NULL,
                                 error);
        if (r >= 0)
                r = contender_prepare(&in_float, error);
        if (r >= 0)
                r = contender_prepare(&in_bytes, error);
        if (r < 0)
                return r;
        r = run_in_turns(contenders, session, error);
        if (r < 0)
                return r;
        result->speed = (struct quantize_speed){.isa = cpu_isa(),
                                                .float_ms = (double)in_float.least_run_ns / NS_PER_MS,
                                                .int8_ms = (double)in_bytes.least_run_ns / NS_PER_MS};
        for (size_t i = 0; i < result->n_layers; i++) {
                struct quantize_layer *layer = &result->layers[i];
                const char *activation = activation_name(session, layer->name);

                layer->float_ms = layer_ms(&in_float, layer->name, activation, layer->kind);
                layer->int8_ms = layer_ms(&in_bytes, layer->name, activation, layer->kind);
        }
        return 0;
}
