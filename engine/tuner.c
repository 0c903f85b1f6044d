#include "engine/tuner.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/cpu.h"
#include "engine/lowering.h"
#include "engine/plan_internal.h"
#include "engine/precision_choice.h"

/* A neighbour that comes and goes makes single runs useless: the least of a few is kept. */
#define RUNS_FAST 3u
#define RUNS_FULL 9u

/* Beside serving, and before `bench` begins, so much time is spent on a plan; then what was found until then
 * has to do. Networks that take a second a picture are not worth a minute. */
#define BUDGET_FAST_NS ((uint64_t)6 * 1000000000u)
#define BUDGET_FULL_NS ((uint64_t)120 * 1000000000u)

/* Alternatives beyond these are rarely the fastest, and each costs a plan. */
#define VARIANTS_FAST 5u

/* An unusual way must win by this much: less is noise. */
#define GAIN_CHOICE 0.03
#define GAIN_PLAN   0.01

/* Of the largest output: ten times what F(4x4, 3x3) does to the deepest networks here. */
#define WINOGRAD_MAX_ERROR 1e-4

/* Of all bytes of the input: zeros may be faster than a picture. As float32 it is 0.0115. */
#define GREY 0x3c

/* A run with what it needs. */
struct trial {
        struct run *run;
        void *pixels;
        struct run_input input;
        float *output;
        uint64_t *step_ns;
        uint64_t least_ns; /* of whole runs */
};

static void trial_release(struct trial *trial) {
        if (trial->run)
                run_free(trial->run);
        free(trial->pixels);
        free(trial->output);
        free(trial->step_ns);
}

static int trial_init(struct trial *trial, const struct plan *plan, struct error *error) {
        struct model_input input = model_input(plan->model);
        size_t bytes;
        int r;

        trial->least_ns = UINT64_MAX;
        if (!size_multiply(&bytes, plan->image_elements * sizeof(float), plan->batch))
                return error_no_memory(error);
        r = run_new(&trial->run, plan, error);
        if (r < 0)
                return r;
        trial->pixels = malloc(bytes);
        trial->output = calloc(plan->output_elements, sizeof(*trial->output));
        trial->step_ns = calloc(MAX(plan_n_steps(plan), 1u), sizeof(*trial->step_ns));
        if (!trial->pixels || !trial->output || !trial->step_ns)
                return error_no_memory(error);
        memset(trial->pixels, GREY, bytes);
        if (input.channels == 3)
                trial->input.pixels = trial->pixels;
        else
                trial->input.tensor = trial->pixels;
        return 0;
}

static int trial_time(struct trial *trial, struct error *error) {
        uint64_t start_ns = clock_ns();
        int r;

        r = run_profile_input(trial->run, trial->input, trial->output, trial->step_ns, error);
        trial->least_ns = MIN(trial->least_ns, clock_ns() - start_ns);
        return r;
}

/* Other pixels than those that times are taken with: of one grey, errors could cancel out. */
static void trial_fill_noise(struct trial *trial, const struct plan *plan) {
        size_t n = plan->batch * plan->image_elements;
        uint32_t state = 1;

        for (size_t i = 0; i < n; i++) {
                state = state * 1664525u + 1013904223u; /* ranqd1 of "Numerical Recipes", section 7.1 */
                if (trial->input.pixels)
                        ((unsigned char *)trial->pixels)[i] = (unsigned char)(state >> 24);
                else
                        ((float *)trial->pixels)[i] = (float)(state >> 24) / 128 - 1;
        }
}

/* ---- the choices of a plan ---- */

/* The least time of each alternative of each choice; choices are the same in all plans of a session, in the
 * same order, as long as none changes what later nodes are: [choice * LOWERING_MAX_ALTERNATIVES +
 * alternative]. */
struct session {
        struct model *model;
        struct plan_options plan;
        struct tuning *tuning;
        const struct tuner_options *options;
        uint64_t deadline_ns; /* for measuring variants */
        size_t n_choices;
        uint64_t *least_ns;
};

static void session_release(struct session *session) {
        free(session->least_ns);
}

static bool stopped(const struct tuner_options *options) {
        return options->stop && atomic_load(options->stop);
}

static uint64_t budget_ns(const struct tuner_options *options) {
        return options->effort == TUNE_FULL ? BUDGET_FULL_NS : BUDGET_FAST_NS;
}

static unsigned n_runs(const struct tuner_options *options) {
        return options->effort == TUNE_FULL ? RUNS_FULL : RUNS_FAST;
}

/* Adds the times of one run to those of the alternatives that the plan took. */
static void session_note(struct session *session, const struct plan *plan, const uint64_t *step_ns,
                         uint64_t *sums) {
        memset(sums, 0, MAX(plan->n_choices, 1u) * sizeof(*sums));
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].choice != PLAN_NO_CHOICE)
                        sums[plan->steps[i].choice] += step_ns[i];
        for (size_t i = 0; i < plan->n_choices; i++) {
                uint64_t *least = &session->least_ns[i * LOWERING_MAX_ALTERNATIVES + plan->choices[i].taken];

                *least = MIN(*least, sums[i]);
        }
}

/* Without what was measured. */
static struct plan_taste usual_taste(const struct session *session) {
        struct plan_taste taste = plan_taste_of(session->model, &session->plan);

        taste.tuning = NULL;
        return taste;
}

static int measure_variant(struct session *session, size_t variant, size_t *ret_n_variants,
                           struct error *error) {
        struct plan_taste taste = usual_taste(session);
        _cleanup_(plan_freep) struct plan *plan = NULL; /* freed after its run */
        _cleanup_(trial_release) struct trial trial = {0};
        _cleanup_(freep) uint64_t *sums = NULL;
        int r;

        taste.variant = variant;
        if (stopped(session->options))
                return error_set(error, ERROR_INTERNAL, "stopped");
        r = plan_new_whole(&plan, session->model, &session->plan, &taste, error);
        if (r >= 0)
                r = trial_init(&trial, plan, error);
        if (r < 0)
                return r;
        sums = calloc(MAX(plan->n_choices, 1u), sizeof(*sums));
        if (!sums)
                return error_no_memory(error);
        if (!session->least_ns) {
                session->n_choices = plan->n_choices;
                session->least_ns = malloc(MAX(plan->n_choices, 1u) * LOWERING_MAX_ALTERNATIVES *
                                           sizeof(*session->least_ns));
                if (!session->least_ns)
                        return error_no_memory(error);
                memset(session->least_ns, 0xff,
                       plan->n_choices * LOWERING_MAX_ALTERNATIVES * sizeof(*session->least_ns));
                for (size_t i = 0; i < plan->n_choices; i++)
                        *ret_n_variants = MAX(*ret_n_variants, plan->choices[i].n);
        }
        if (plan->n_choices != session->n_choices)
                return error_set(error, ERROR_INTERNAL, "%zu choices, there were %zu", plan->n_choices,
                                 session->n_choices);
        /* The first run touches memory and is not noted. */
        for (unsigned i = 0; i <= n_runs(session->options); i++) {
                if (stopped(session->options))
                        return error_set(error, ERROR_INTERNAL, "stopped");
                r = trial_time(&trial, error);
                if (r < 0)
                        return r;
                if (i > 0)
                        session_note(session, plan, trial.step_ns, sums);
                if (i > 0 && clock_ns() > session->deadline_ns)
                        break;
        }
        return 0;
}

/* Nodes that ask the same question are alternatives' samples together. */
static uint64_t time_of(const struct session *session, const struct plan *plan, const char *question,
                        size_t alternative) {
        uint64_t sum = 0;

        for (size_t i = 0; i < plan->n_choices; i++) {
                uint64_t ns = session->least_ns[i * LOWERING_MAX_ALTERNATIVES + alternative];

                if (strcmp(plan->choices[i].question, question) == 0)
                        sum = ns == UINT64_MAX || sum == UINT64_MAX ? UINT64_MAX : sum + ns;
        }
        return sum;
}

static void session_answer(const struct session *session, const struct plan *plan, struct tuning *answers) {
        for (size_t i = 0; i < plan->n_choices; i++) {
                const struct plan_choice *choice = &plan->choices[i];
                uint64_t usual = time_of(session, plan, choice->question, choice->usual), least = usual;
                size_t best = choice->usual;

                for (size_t k = 0; k < choice->n; k++) {
                        uint64_t ns = time_of(session, plan, choice->question, k);

                        if (ns < least && (double)ns < (double)usual * (1 - GAIN_CHOICE)) {
                                least = ns;
                                best = k;
                        }
                }
                tuning_answer(answers, choice->question, choice->labels[best]);
        }
}

/* The least time of n runs of both by turns; with answers and without. */
static int compare(double *ret_ratio, struct plan *const plans[2], const struct tuner_options *options,
                   struct error *error) {
        _cleanup_(trial_release) struct trial first = {0}, second = {0};
        uint64_t deadline_ns = clock_ns() + budget_ns(options) / 4;
        int r;

        r = trial_init(&first, plans[0], error);
        if (r >= 0)
                r = trial_init(&second, plans[1], error);
        for (unsigned i = 0; r >= 0 && i <= 2 * n_runs(options); i++) {
                if (stopped(options))
                        return error_set(error, ERROR_INTERNAL, "stopped");
                r = trial_time(&first, error);
                if (r >= 0)
                        r = trial_time(&second, error);
                if (i > 0 && clock_ns() > deadline_ns)
                        break;
        }
        if (r < 0)
                return r;
        *ret_ratio = (double)second.least_ns / (double)first.least_ns;
        return 0;
}

/* Whether every choice of plan has been answered. */
static bool is_answered(const struct plan *plan, struct tuning *tuning) {
        char label[TUNING_MAX_TEXT];

        for (size_t i = 0; i < plan->n_choices; i++)
                if (plan->choices[i].n > 1 && !tuning_find(tuning, plan->choices[i].question, label))
                        return false;
        return true;
}

/* What a plan answers to noise; to be freed. */
static int answer_to_noise(float **ret_output, const struct plan *plan, struct error *error) {
        _cleanup_(trial_release) struct trial trial = {0};
        int r;

        r = trial_init(&trial, plan, error);
        if (r < 0)
                return r;
        trial_fill_noise(&trial, plan);
        r = trial_time(&trial, error);
        if (r < 0)
                return r;
        *ret_output = steal_ptr(&trial.output);
        return 0;
}

/* Largest difference in relation to the largest of reference; infinite where one is no number. */
static double relative_difference(const float *reference, const float *output, size_t n) {
        double largest = 0, difference = 0;

        for (size_t i = 0; i < n; i++) {
                double x = (double)reference[i], y = (double)output[i];

                if (isnan(x) != isnan(y))
                        return INFINITY;
                largest = fmax(largest, fabs(x));
                difference = fmax(difference, x == y ? 0 : fabs(x - y)); /* fmax leaves NaN out */
        }
        return largest > 0 ? difference / largest : difference;
}

static bool is_winograd(const char *label) {
        return strstr(label, "winograd") != NULL;
}

static const char *without_winograd(const struct plan_choice *choice) {
        for (size_t i = 0; i < choice->n; i++)
                if (!is_winograd(choice->labels[i]))
                        return choice->labels[i];
        return choice->labels[choice->usual];
}

/* An answer, and the one in its place where Winograd's filtering turns out not to compute what it should. */
struct verdict {
        char question[TUNING_MAX_TEXT], label[TUNING_MAX_TEXT], without_winograd[TUNING_MAX_TEXT];
};

static void verdict_init(struct verdict *verdict, const struct plan_choice *choice, const char *label) {
        snprintf(verdict->question, sizeof(verdict->question), "%s", choice->question);
        snprintf(verdict->label, sizeof(verdict->label), "%s", label);
        snprintf(verdict->without_winograd, sizeof(verdict->without_winograd), "%s",
                 is_winograd(label) ? without_winograd(choice) : label);
}

/* Whether output is what the definition of convolution gives. */
static int check_winograd(const struct session *session, const float *output, bool *ret_good,
                          struct error *error) {
        struct plan_taste taste = usual_taste(session);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(freep) float *reference = NULL;
        int r;

        taste.no_winograd = true;
        if (stopped(session->options))
                return error_set(error, ERROR_INTERNAL, "stopped");
        r = plan_new_whole(&plan, session->model, &session->plan, &taste, error);
        if (r >= 0)
                r = answer_to_noise(&reference, plan, error);
        if (r < 0)
                return r;
        *ret_good = relative_difference(reference, output, plan->output_elements) <= WINOGRAD_MAX_ERROR;
        return 0;
}

#define JUDGE_ROUNDS 2u /* by turns, since a machine differs from itself within seconds */

/* The least time of a few runs of the plan of taste, if that is less than *least_ns. */
static int time_plan(const struct session *session, const struct plan_taste *taste, uint64_t *least_ns,
                     struct error *error) {
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(trial_release) struct trial trial = {0};
        uint64_t deadline_ns = clock_ns() + budget_ns(session->options) / 8;
        int r;

        r = plan_new_whole(&plan, session->model, &session->plan, taste, error);
        if (r >= 0)
                r = trial_init(&trial, plan, error);
        for (unsigned i = 0; r >= 0 && i <= n_runs(session->options); i++) {
                if (stopped(session->options))
                        return error_set(error, ERROR_INTERNAL, "stopped");
                r = trial_time(&trial, error);
                if (i > 0 && clock_ns() > deadline_ns)
                        break;
        }
        if (r < 0)
                return r;
        *least_ns = MIN(*least_ns, trial.least_ns);
        return 0;
}

/* Compares the usual plan with one that follows found. *ret_verdicts, to be freed, are found where that is
 * faster, else the usual ways; *ret_output is what the tuned plan answers to noise. */
static int judge(struct session *session, struct tuning *found, struct verdict **ret_verdicts, size_t *ret_n,
                 float **ret_output, struct error *error) {
        const struct plan_taste usual = usual_taste(session);
        struct plan_taste taste = usual;
        _cleanup_(freep) struct verdict *verdicts = NULL;
        _cleanup_(plan_freep) struct plan *tuned = NULL;
        uint64_t usual_ns = UINT64_MAX, tuned_ns = UINT64_MAX;
        bool faster;
        int r = 0;

        taste.tuning = found;
        for (unsigned i = 0; r >= 0 && i < JUDGE_ROUNDS; i++) {
                r = time_plan(session, &usual, &usual_ns, error);
                if (r >= 0)
                        r = time_plan(session, &taste, &tuned_ns, error);
        }
        if (r >= 0)
                r = plan_new_whole(&tuned, session->model, &session->plan, &taste, error);
        if (r < 0)
                return r;
        faster = (double)tuned_ns < (double)usual_ns * (1 - GAIN_PLAN);
        verdicts = calloc(MAX(tuned->n_choices, 1u), sizeof(*verdicts));
        if (!verdicts)
                return error_no_memory(error);
        for (size_t i = 0; i < tuned->n_choices; i++) {
                const struct plan_choice *choice = &tuned->choices[i];

                verdict_init(&verdicts[i], choice, choice->labels[faster ? choice->taken : choice->usual]);
        }
        r = answer_to_noise(ret_output, tuned, error);
        if (r < 0)
                return r;
        *ret_n = tuned->n_choices;
        *ret_verdicts = steal_ptr(&verdicts);
        return 0;
}

/* Keeps what was found. There is one plan at a time: memory for the weights of one is enough. */
static int settle(struct session *session, struct tuning *found, struct error *error) {
        _cleanup_(freep) struct verdict *verdicts = NULL;
        _cleanup_(freep) float *output = NULL;
        bool uses_winograd = false, good = true;
        size_t n;
        int r;

        r = judge(session, found, &verdicts, &n, &output, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                uses_winograd |= is_winograd(verdicts[i].label);
        if (uses_winograd)
                r = check_winograd(session, output, &good, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                tuning_answer(session->tuning, verdicts[i].question,
                              good ? verdicts[i].label : verdicts[i].without_winograd);
        return 0;
}

static int measure_variants(struct session *session, struct error *error) {
        size_t n_variants = 0;
        int r;

        for (size_t variant = 0; variant == 0 || variant < n_variants; variant++) {
                if ((variant >= VARIANTS_FAST && session->options->effort != TUNE_FULL) ||
                    (variant > 0 && clock_ns() > session->deadline_ns))
                        break;
                r = measure_variant(session, variant, &n_variants, error);
                /* An alternative that cannot be made is none; the usual plan must be possible. */
                if (r < 0 && (variant == 0 || r != ERROR_UNSUPPORTED))
                        return r;
        }
        return 0;
}

/* A plan of batch images on so many threads, else as in plan_options. */
static int tune_whole(struct model *model, size_t batch, unsigned threads,
                      const struct plan_options *plan_options, const struct tuner_options *options,
                      bool *ret_measured, struct error *error) {
        _cleanup_(session_release) struct session session = {
                .model = model, .plan = *plan_options, .tuning = plan_options->tuning, .options = options};
        _cleanup_(plan_freep) struct plan *usual = NULL;
        _cleanup_(tuning_freep) struct tuning *found = NULL;
        int r;

        struct plan_taste taste;

        session.plan.batch = batch;
        session.plan.threads = threads;
        taste = usual_taste(&session);
        r = plan_new_whole(&usual, model, &session.plan, &taste, error);
        if (r < 0 || is_answered(usual, plan_options->tuning))
                return r;
        plan_free(steal_ptr(&usual));
        *ret_measured = true;
        session.deadline_ns = clock_ns() + budget_ns(options);
        r = tuning_new(&found, error);
        if (r >= 0)
                r = measure_variants(&session, error);
        if (r >= 0)
                r = plan_new_whole(&usual, model, &session.plan, &taste, error);
        if (r < 0)
                return r;
        session_answer(&session, usual, found);
        plan_free(steal_ptr(&usual));
        return settle(&session, found, error);
}

/* ---- how a batch is divided ---- */

/* Compares a plan divided into parts of part_batch with the best so far. */
static int try_division(struct plan **best, size_t *best_part, size_t part_batch, struct model *model,
                        const struct plan_options *options, const struct tuner_options *tuner,
                        struct error *error) {
        const struct plan_taste taste = plan_taste_of(model, options);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        double ratio = 1;
        int r;

        r = plan_new_divided(&plan, model, options, part_batch, &taste, error);
        if (r >= 0)
                r = compare(&ratio, (struct plan *[]){*best, plan}, tuner, error);
        if (r < 0)
                return r == ERROR_UNSUPPORTED ? 0 : r;
        if (ratio < 1 - GAIN_PLAN) {
                plan_free(*best);
                *best = steal_ptr(&plan);
                *best_part = part_batch;
        }
        return 0;
}

static int tune_division(struct model *model, const struct plan_options *options,
                         const struct tuner_options *tuner, bool *ret_measured, struct error *error) {
        const struct plan_taste taste = plan_taste_of(model, options);
        size_t share = options->batch / options->threads, best_part = 0;
        char question[TUNING_MAX_TEXT], label[TUNING_MAX_TEXT];
        _cleanup_(plan_freep) struct plan *best = NULL;
        int r = 0;

        plan_division_question(question, &taste, options->batch, options->threads);
        if (tuning_find(options->tuning, question, label))
                return 0;
        *ret_measured = true;
        if (options->threads > 1) {
                r = tune_whole(model, share, 1, options, tuner, ret_measured, error);
                if (r < 0)
                        return r;
        }
        if (share > 1) {
                r = tune_whole(model, 1, 1, options, tuner, ret_measured, error);
                if (r < 0)
                        return r;
        }
        r = plan_new_whole(&best, model, options, &taste, error);
        if (r >= 0 && options->threads > 1)
                r = try_division(&best, &best_part, share, model, options, tuner, error);
        if (r >= 0 && share > 1)
                r = try_division(&best, &best_part, 1, model, options, tuner, error);
        if (r < 0)
                return r;
        plan_division_label(label, best_part);
        tuning_answer(options->tuning, question, label);
        return 0;
}

/* ---- precision ---- */

/* Compares plans in the model's precision with plans in float32: by turns, one in memory at a time. */
static int tune_precision(struct model *model, const struct plan_options *options,
                          const struct tuner_options *tuner, bool *ret_measured, struct error *error) {
        const struct session session = {.model = model, .plan = *options, .options = tuner};
        struct plan_taste taste = plan_taste_of(model, options), plain = taste;
        uint64_t kept_ns = UINT64_MAX, plain_ns = UINT64_MAX;
        char answer[TUNING_MAX_TEXT];
        int r = 0;

        if (!model_may_fall_back(model) || tuning_find(options->tuning, PLAN_PRECISION_QUESTION, answer))
                return 0;
        *ret_measured = true;
        plain.bf16 = false;
        plain.fall_back = true;
        for (unsigned i = 0; r >= 0 && i < JUDGE_ROUNDS; i++) {
                r = time_plan(&session, &taste, &kept_ns, error);
                if (r >= 0)
                        r = time_plan(&session, &plain, &plain_ns, error);
        }
        if (r < 0)
                return r;
        tuning_answer(options->tuning, PLAN_PRECISION_QUESTION,
                      precision_name(plain_ns < kept_ns ? PRECISION_F32 : model_precision_of(model)));
        return 0;
}

int tuner_run(struct model *model, const struct plan_options *options, const struct tuner_options *tuner,
              bool *ret_measured, struct error *error) {
        struct plan_options settled = *options;
        int64_t fixed = model_graph(model)->input_dims[0];
        int r;

        *ret_measured = false;
        if (tuner->effort == TUNE_OFF)
                return 0;
        settled.threads = MAX(settled.threads, 1u);
        r = tune_precision(model, &settled, tuner, ret_measured, error);
        if (r < 0)
                return r;
        /* One thread's whole batch, or what all share where it cannot be divided. */
        if (settled.batch == 1 || settled.threads == 1 || settled.batch % settled.threads != 0 ||
            fixed > 0) {
                r = tune_whole(model, settled.batch, settled.threads, &settled, tuner, ret_measured, error);
                if (r < 0)
                        return r;
        }
        if (settled.batch == 1 || settled.batch % settled.threads != 0 || fixed > 0)
                return 0;
        return tune_division(model, &settled, tuner, ret_measured, error);
}

void tuner_identity(char ret_text[TUNING_MAX_TEXT]) {
        char name[CPU_NAME_BYTES];

        cpu_name(name);
        snprintf(ret_text, TUNING_MAX_TEXT, "saccade %s, oneDNN %s, %s, %s", SACCADE_VERSION,
                 kernels_library_version(), cpu_isa(), name);
}
