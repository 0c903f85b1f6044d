#include "engine/native/dot_split.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define PAIRS  16u /* of a vector's block: two of each of 8 outputs */
#define MOST   128 /* what a pair's weights of one sign may add up to */
#define WINDOW 64u /* blocks among which a group looks for some that fit */

struct item {
        uint32_t entry;
        int8_t weights[DOT_SPLIT_VECTOR];
};

/* What a group's pairs hold so far. */
struct load {
        int16_t positive[PAIRS], negative[PAIRS];
};

static size_t divide_up(size_t n, size_t by) {
        return (n + by - 1) / by;
}

static size_t lines(size_t bytes) {
        return divide_up(bytes, DOT_LINE) * DOT_LINE;
}

static size_t most_items(const struct dot_shape *s) {
        return 2 * s->run_rows * s->run_columns * s->blocks;
}

size_t dot_split_extra_bytes(const struct dot_shape *s) {
        return (s->run_rows * s->run_columns + most_items(s)) * sizeof(uint32_t);
}

/* A vector's items come one by one, so that packing needs no more memory than WINDOW of them. */
struct source {
        const struct dot_conv *conv;
        const struct dot_shape *shape;
        const int8_t *weights;
        size_t first, lanes, per_output; /* outputs */
        size_t next;                     /* block among those of all runs */
        bool has_excess;
        struct item excess;
};

static void block_read(const struct source *source, size_t run, size_t block, struct item *ret_item) {
        const struct dot_shape *s = source->shape;
        size_t index;

        memset(ret_item, 0, sizeof(*ret_item));
        ret_item->entry = (uint32_t)(run << DOT_SPLIT_OFFSET | block * DOT_BLOCK);
        for (size_t i = 0; i < DOT_BLOCK; i++) {
                if (!dot_weight_index(source->conv, s, run / s->run_columns, run % s->run_columns,
                                      block * DOT_BLOCK + i, &index))
                        continue;
                index += source->first * source->per_output;
                for (size_t lane = 0; lane < source->lanes; lane++, index += source->per_output)
                        ret_item->weights[lane * DOT_BLOCK + i] = source->weights[index];
        }
}

/* Leaves what pairs may hold in item; the rest, if there is one, becomes *ret_excess. */
static bool item_split(struct item *item, struct item *ret_excess) {
        bool any = false;

        memset(ret_excess, 0, sizeof(*ret_excess));
        ret_excess->entry = item->entry;
        for (size_t i = 0; i < DOT_SPLIT_VECTOR; i += 2) {
                int a = item->weights[i], b = item->weights[i + 1], over = 0;

                if (a > 0 && b > 0 && a + b > MOST)
                        over = a + b - MOST;
                if (a < 0 && b < 0 && a + b < -MOST)
                        over = a + b + MOST;
                if (over == 0)
                        continue;
                any = true;
                /* No more of the first than it has. */
                b = abs(over) > abs(a) ? over - a : 0;
                ret_excess->weights[i] = (int8_t)(over - b);
                ret_excess->weights[i + 1] = (int8_t)b;
                item->weights[i] = (int8_t)(a - (over - b));
                item->weights[i + 1] = (int8_t)(item->weights[i + 1] - b);
        }
        return any;
}

static bool source_next(struct source *source, struct item *ret_item) {
        const struct dot_shape *s = source->shape;

        if (source->has_excess) {
                *ret_item = source->excess;
                source->has_excess = false;
                return true;
        }
        if (source->next == s->run_rows * s->run_columns * s->blocks)
                return false;
        block_read(source, source->next / s->blocks, source->next % s->blocks, ret_item);
        source->next++;
        source->has_excess = item_split(ret_item, &source->excess);
        return true;
}

static struct load load_of(const struct item *item) {
        struct load load;

        for (size_t i = 0; i < PAIRS; i++) {
                int16_t a = item->weights[2 * i], b = item->weights[2 * i + 1];

                load.positive[i] = (int16_t)((a > 0 ? a : 0) + (b > 0 ? b : 0));
                load.negative[i] = (int16_t)((a < 0 ? a : 0) + (b < 0 ? b : 0));
        }
        return load;
}

/* Adds more to load where it fits. */
static bool load_add(struct load *load, const struct load *more) {
        struct load sum;
        int16_t most = 0, least = 0;

        for (size_t i = 0; i < PAIRS; i++) {
                sum.positive[i] = (int16_t)(load->positive[i] + more->positive[i]);
                sum.negative[i] = (int16_t)(load->negative[i] + more->negative[i]);
                most = MAX(most, sum.positive[i]);
                least = MIN(least, sum.negative[i]);
        }
        if (most > MOST || least < -MOST)
                return false;
        *load = sum;
        return true;
}

/* What is done with each group of depth items; target: where the vector is written, or NULL. */
static void group_write(unsigned char *target, const struct dot_split *plan, const struct item *items,
                        size_t depth, size_t *at) {
        struct dot_split *split = (struct dot_split *)target;

        for (size_t i = 0; i < depth; i++) {
                split->entries[at[depth - 1] + i] = items[i].entry;
                memcpy(target + plan->weights + (at[depth - 1] + i) * DOT_SPLIT_VECTOR, items[i].weights,
                       DOT_SPLIT_VECTOR);
        }
        at[depth - 1] += depth;
}

/* Groups a vector's items; counts them in *plan, or, where target is not NULL, writes them as plan says. */
static void vector_group(struct source source, struct dot_split *plan, unsigned char *target) {
        struct item window[WINDOW], group[DOT_SPLIT_DEPTH];
        struct load loads[WINDOW];
        size_t n = 0, at[DOT_SPLIT_DEPTH], entry = 0;

        for (size_t depth = DOT_SPLIT_DEPTH; depth-- > 0;) {
                at[depth] = entry;
                entry += target ? plan->groups[depth] * (depth + 1) : 0;
        }
        for (;;) {
                struct load load = {0};
                size_t depth = 0, left = 0;

                while (n < WINDOW && source_next(&source, &window[n])) {
                        loads[n] = load_of(&window[n]);
                        n++;
                }
                if (n == 0)
                        return;
                for (size_t i = 0; i < n; i++) {
                        if (depth < DOT_SPLIT_DEPTH && load_add(&load, &loads[i])) {
                                group[depth++] = window[i];
                                continue;
                        }
                        window[left] = window[i];
                        loads[left++] = loads[i];
                }
                n = left;
                if (target)
                        group_write(target, plan, group, depth, at);
                else {
                        plan->groups[depth - 1]++;
                        plan->n += (uint32_t)depth;
                }
        }
}

/* The vector that source is at the begin of; to target where that is not NULL. */
static size_t vector_write(const struct source *source, unsigned char *target) {
        struct dot_split plan = {0};

        vector_group(*source, &plan, NULL);
        plan.weights = (uint32_t)lines(sizeof(plan) + plan.n * sizeof(plan.entries[0]));
        plan.bytes = (uint32_t)lines(plan.weights + plan.n * DOT_SPLIT_VECTOR);
        if (target) {
                memset(target, 0, plan.bytes);
                memcpy(target, &plan, sizeof(plan));
                vector_group(*source, &plan, target);
        }
        return plan.bytes;
}

static struct source source_of(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                               size_t vector) {
        struct source source = {.conv = conv,
                                .shape = s,
                                .weights = weights,
                                .per_output =
                                        s->group_inputs * conv->window.kernel[0] * conv->window.kernel[1]};

        source.first = dot_vector_output(s, conv->outputs, vector, &source.lanes);
        return source;
}

static size_t vectors_write(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                            unsigned char *target) {
        size_t n = s->sets * s->vectors, at = lines(n * sizeof(uint64_t));

        if (target)
                memset(target, 0, at);
        for (size_t v = 0; v < n; v++) {
                struct source source = source_of(conv, s, weights, v);

                if (target)
                        ((uint64_t *)target)[v] = at;
                at += vector_write(&source, target ? target + at : NULL);
        }
        return at;
}

size_t dot_split_bytes(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights) {
        return vectors_write(conv, s, weights, NULL);
}

void dot_split_pack(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                    unsigned char *target) {
        vectors_write(conv, s, weights, target);
}
