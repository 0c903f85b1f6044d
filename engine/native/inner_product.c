#include "engine/native/inner_product.h"

#include "base/macros.h"
#include "engine/team.h"

#define MAX_ROWS    16u
#define MAX_COLUMNS 64u

struct job {
        const struct inner_product *product;
        const float *x, *w, *bias;
        float *y;
};

/* One tile of the result; panel: of the columns from column on. */
static void run_tile(const struct job *job, size_t row, size_t n_rows, size_t column, const float *panel) {
        const struct inner_product *p = job->product;
        size_t columns = p->native->gemm_columns, n = MIN(columns, p->n - column);
        float tile[MAX_ROWS * MAX_COLUMNS] __attribute__((aligned(64)));
        struct gemm_left left = gemm_rows_of(job->x + row * p->k, p->k, p->k);
        struct gemm_result result = gemm_tile(tile, columns, p->native->lanes);

        p->native->gemm(n_rows, &left, panel, &result);
        p->native->gelu(n_rows, n, tile, columns, job->bias ? job->bias + column : NULL,
                        job->y + row * p->n + column, p->n);
}

/* A panel stays in the second-level cache while all rows pass it, or a block of rows in the first while all
 * panels pass: whichever is read again is the smaller. */
static void run_share(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct inner_product *p = job->product;
        size_t step = p->native->gemm_rows, columns = p->native->gemm_columns;
        size_t n_panels = (p->n + columns - 1) / columns, n_blocks = (p->rows + step - 1) / step;
        size_t begin, end;

        if (p->rows > p->n) {
                team_share(n_blocks, thread, n_threads, &begin, &end);
                for (size_t i = begin; i < end; i++)
                        for (size_t panel = 0; panel < n_panels; panel++)
                                run_tile(job, i * step, MIN(step, p->rows - i * step), panel * columns,
                                         job->w + panel * columns * p->k);
                return;
        }
        team_share(n_panels, thread, n_threads, &begin, &end);
        for (size_t panel = begin; panel < end; panel++)
                for (size_t i = 0; i < n_blocks; i++)
                        run_tile(job, i * step, MIN(step, p->rows - i * step), panel * columns,
                                 job->w + panel * columns * p->k);
}

void inner_product_gelu(const struct inner_product *product, const float *x, const float *w,
                        const float *bias, float *y) {
        struct job job = {product, x, w, bias, y};

        team_run(product->threads, run_share, &job);
}
