#include "engine/native/attention.h"

#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "engine/team.h"

#define LOG2_E    1.44269504088896f
#define ALIGNMENT 16u /* floats in the longest vector */

static size_t product(const size_t *sizes, size_t n) {
        size_t p = 1;

        for (size_t i = 0; i < n; i++)
                p *= sizes[i];
        return p;
}

size_t attention_n_batch(const struct attention *a) {
        return product(a->batch, a->n_batch_dims);
}

size_t attention_n_queries(const struct attention *a) {
        return product(a->queries, a->n_query_dims);
}

size_t attention_n_keys(const struct attention *a) {
        return product(a->keys, a->n_key_dims);
}

static size_t round_up(size_t n) {
        return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Where index lies, taken apart by sizes. */
static size_t offset_of(size_t index, const size_t *sizes, const size_t *strides, size_t n) {
        size_t offset = 0;

        for (size_t i = n; i-- > 0; index /= sizes[i])
                offset += index % sizes[i] * strides[i];
        return offset;
}

/* One thread's memory. A block of queries is worked on with a query in each lane: softmax then needs no sum
 * across lanes, and one micro kernel (native->gemm) makes both products from rows of keys and of channels.
 */
struct workspace {
        float *keys;     /* [keys, depth] */
        float *values;   /* [out_depth, keys]: transposed */
        float *queries;  /* [depth, columns] */
        float *products; /* [keys, columns] */
        float *out;      /* [out_depth, columns] */
        float *inverses; /* [columns] */
        size_t n;        /* floats of all */
};

static struct workspace workspace_of(const struct attention *a, float *scratch) {
        size_t n_keys = attention_n_keys(a), columns = a->native->gemm_columns;
        struct workspace w = {.keys = scratch};

        w.values = w.keys + round_up(n_keys * a->depth);
        w.queries = w.values + round_up(n_keys * a->out_depth);
        w.products = w.queries + round_up(a->depth * columns);
        w.out = w.products + round_up(n_keys * columns);
        w.inverses = w.out + round_up(a->out_depth * columns);
        w.n = (size_t)(w.inverses - w.keys) + round_up(columns);
        return w;
}

size_t attention_scratch_bytes(const struct attention *a) {
        static float origin[1];

        return workspace_of(a, origin).n * a->threads * sizeof(float);
}

/* ---- transposing ---- */

typedef float quad __attribute__((vector_size(16)));
typedef float quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

static inline quad quad_load(const float *p) {
        return *(const quad_unaligned *)p;
}

static inline void quad_store(float *p, quad q) {
        *(quad_unaligned *)p = q;
}

/* Four rows of n as n rows of four: to[i * to_stride + r] = rows[r][i] * scale. */
static void transpose_four(float *to, size_t to_stride, const float *const rows[4], size_t n, float scale) {
        size_t i = 0;

        for (; i + 4 <= n; i += 4, to += 4 * to_stride) {
                quad a = quad_load(rows[0] + i) * scale, b = quad_load(rows[1] + i) * scale;
                quad c = quad_load(rows[2] + i) * scale, d = quad_load(rows[3] + i) * scale;
                quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
                quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
                quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
                quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);

                quad_store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
                quad_store(to + to_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
                quad_store(to + 2 * to_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
                quad_store(to + 3 * to_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
        }
        for (; i < n; i++, to += to_stride)
                for (size_t r = 0; r < 4; r++)
                        to[r] = rows[r][i] * scale;
}

/* ---- one matrix ---- */

struct matrix {
        const struct attention *attention;
        struct workspace workspace;
        const float *q, *k, *v;
        const float *addends[ATTENTION_MAX_ADDENDS]; /* [keys, queries] */
        float *out;
        size_t n_queries, n_keys;
};

static const float *key_row(const struct matrix *m, const float *base, enum attention_matrix which,
                            size_t row) {
        const struct attention *a = m->attention;

        return base + offset_of(row, a->keys, a->strides[which].rows, a->n_key_dims);
}

static void pack_keys_and_values(const struct matrix *m) {
        const struct attention *a = m->attention;
        size_t j = 0;

        for (size_t i = 0; i < m->n_keys; i++)
                memcpy(m->workspace.keys + i * a->depth, key_row(m, m->k, ATTENTION_K, i),
                       a->depth * sizeof(float));
        for (; j + 4 <= m->n_keys; j += 4) {
                const float *rows[4];

                for (size_t r = 0; r < 4; r++)
                        rows[r] = key_row(m, m->v, ATTENTION_V, j + r);
                transpose_four(m->workspace.values + j, m->n_keys, rows, a->out_depth, 1);
        }
        for (; j < m->n_keys; j++) {
                const float *row = key_row(m, m->v, ATTENTION_V, j);

                for (size_t c = 0; c < a->out_depth; c++)
                        m->workspace.values[c * m->n_keys + j] = row[c];
        }
}

static size_t query_offset(const struct matrix *m, enum attention_matrix which, size_t row) {
        const struct attention *a = m->attention;

        return offset_of(row, a->queries, a->strides[which].rows, a->n_query_dims);
}

/* Queries [first, first + n), one in each column; further columns are 0. */
static void pack_queries(const struct matrix *m, size_t first, size_t n) {
        static const float zeros[1024];
        const struct attention *a = m->attention;
        size_t columns = a->native->gemm_columns;
        float *to = m->workspace.queries;

        for (size_t c = 0; c < columns; c += 4) {
                const float *rows[4];

                for (size_t r = 0; r < 4; r++)
                        rows[r] = c + r < n ? m->q + query_offset(m, ATTENTION_Q, first + c + r) : zeros;
                if (c + 4 > n && a->depth > ARRAY_SIZE(zeros)) {
                        for (size_t i = 0; i < a->depth; i++)
                                for (size_t r = 0; r < 4; r++)
                                        to[i * columns + c + r] =
                                                c + r < n ? rows[r][i] * (a->scale * LOG2_E) : 0;
                        continue;
                }
                transpose_four(to + c, columns, rows, a->depth, a->scale * LOG2_E);
        }
}

static void multiply(const struct native *native, size_t rows, size_t k, const float *a, const float *b,
                     float *c) {
        size_t step = native->gemm_rows;

        for (size_t r = 0; r < rows; r += step) {
                struct gemm_left left = gemm_rows_of(a + r * k, k, k);
                struct gemm_result result =
                        gemm_tile(c + r * native->gemm_columns, native->gemm_columns, native->lanes);

                native->gemm(MIN(step, rows - r), &left, b, &result);
        }
}

/* Row first of the queries is added to column 0, and so on. */
static void add_block(const struct matrix *m, const float *addend, size_t first, size_t n) {
        size_t columns = m->attention->native->gemm_columns;
        float *to = m->workspace.products;

        for (size_t j = 0; j < m->n_keys; j++, to += columns) {
                const float *from = addend + j * m->n_queries + first;

                for (size_t c = 0; c < n; c++)
                        to[c] += from[c] * LOG2_E;
        }
}

static void store_block(const struct matrix *m, size_t first, size_t n) {
        const struct attention *a = m->attention;
        size_t columns = a->native->gemm_columns;
        const struct workspace *w = &m->workspace;

        for (size_t i = 0; i < a->out_depth; i++)
                for (size_t c = 0; c < columns; c++)
                        w->out[i * columns + c] *= w->inverses[c];
        for (size_t c = 0; c < n; c++) {
                float *to = m->out + query_offset(m, ATTENTION_OUT, first + c);
                size_t i = 0;

                /* Four columns at a time, as long as there are that many queries and channels. */
                if (c % 4 == 0 && c + 4 <= n) {
                        float *rows[4] = {to};

                        for (size_t r = 1; r < 4; r++)
                                rows[r] = m->out + query_offset(m, ATTENTION_OUT, first + c + r);
                        for (; i + 4 <= a->out_depth; i += 4) {
                                const float *from[4];
                                float block[16];

                                for (size_t r = 0; r < 4; r++)
                                        from[r] = w->out + (i + r) * columns + c;
                                transpose_four(block, 4, from, 4, 1);
                                for (size_t r = 0; r < 4; r++)
                                        memcpy(rows[r] + i, block + 4 * r, 4 * sizeof(float));
                        }
                        for (; i < a->out_depth; i++)
                                for (size_t r = 0; r < 4; r++)
                                        rows[r][i] = w->out[i * columns + c + r];
                        c += 3;
                        continue;
                }
                for (; i < a->out_depth; i++)
                        to[i] = w->out[i * columns + c];
        }
}

static void run_block(const struct matrix *m, size_t first, size_t n) {
        const struct attention *a = m->attention;
        const struct workspace *w = &m->workspace;

        pack_queries(m, first, n);
        multiply(a->native, m->n_keys, a->depth, w->keys, w->queries, w->products);
        for (size_t i = 0; i < a->n_addends; i++)
                add_block(m, m->addends[i], first, n);
        a->native->softmax_columns(w->products, m->n_keys, w->inverses);
        multiply(a->native, a->out_depth, m->n_keys, w->values, w->products, w->out);
        store_block(m, first, n);
}

/* ---- all of them ---- */

struct job {
        const struct attention *attention;
        const float *const *matrices;
        const float *const *addends;
        float *scratch, *out;
};

static void run_share(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct attention *a = job->attention;
        size_t block = a->native->gemm_columns, last = SIZE_MAX, begin, end;
        struct matrix m = {
                .attention = a,
                .workspace = workspace_of(a, job->scratch),
                .n_queries = attention_n_queries(a),
                .n_keys = attention_n_keys(a),
        };
        size_t n_blocks = (m.n_queries + block - 1) / block;

        m.workspace = workspace_of(a, job->scratch + thread * m.workspace.n);
        /* Blocks of all matrices in a row; keys are packed again only where a matrix begins. */
        team_share(attention_n_batch(a) * n_blocks, thread, n_threads, &begin, &end);
        for (size_t i = begin; i < end; i++) {
                size_t batch = i / n_blocks, first = i % n_blocks * block;

                if (batch != last) {
                        size_t at[ATTENTION_N_MATRICES];

                        for (size_t k = 0; k < ATTENTION_N_MATRICES; k++)
                                at[k] = a->strides[k].offset +
                                        offset_of(batch, a->batch, a->strides[k].batch, a->n_batch_dims);
                        m.q = job->matrices[ATTENTION_Q] + at[ATTENTION_Q];
                        m.k = job->matrices[ATTENTION_K] + at[ATTENTION_K];
                        m.v = job->matrices[ATTENTION_V] + at[ATTENTION_V];
                        m.out = job->out + at[ATTENTION_OUT];
                        for (size_t k = 0; k < a->n_addends; k++)
                                m.addends[k] = job->addends[k] + batch / a->addends[k].divisor %
                                                                         a->addends[k].n * m.n_queries *
                                                                         m.n_keys;
                        pack_keys_and_values(&m);
                        last = batch;
                }
                run_block(&m, first, MIN(block, m.n_queries - first));
        }
}

void attention_run(const struct attention *attention, const float *const matrices[ATTENTION_OUT],
                   const float *const *addends, float *scratch, float *out) {
        struct job job = {attention, matrices, addends, scratch, out};

        team_run(attention->threads, run_share, &job);
}
