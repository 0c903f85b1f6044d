#include "engine/native/bytes.h"

#include <math.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/macros.h"
#include "engine/native/bytes_internal.h"
#include "engine/team.h"

#define LEAST_WORK 1e5 /* bytes, for a team: waking it takes some 5 us */

const struct bytes_code *bytes_best(void) {
#if defined(__x86_64__)
        switch (dnnl_get_effective_cpu_isa()) {
        case dnnl_cpu_isa_all:
        case dnnl_cpu_isa_sse41:
        case dnnl_cpu_isa_avx:
                return NULL;
        case dnnl_cpu_isa_avx2:
        case dnnl_cpu_isa_avx2_vnni:
        case dnnl_cpu_isa_avx512_core:
                return &bytes_avx2;
        default:
                return &bytes_avx512;
        }
#else
        return NULL;
#endif
}

bool bytes_supported(void) {
        return bytes_best() != NULL;
}

#if defined(__x86_64__)
static bool has_vbmi(void) {
        return bytes_best() == &bytes_avx512 && __builtin_cpu_supports("avx512vbmi");
}
#endif

const char *bytes_isa(void) {
        return bytes_best()->isa;
}

/* ---- who does what ---- */

struct team_job {
        bytes_part *part;
        const struct bytes_job *job;
        size_t units;
};

static void team_job_run(void *argument, size_t thread, size_t n_threads) {
        const struct team_job *t = argument;
        size_t begin, end;

        team_share(t->units, thread, n_threads, &begin, &end);
        t->part(t->job, begin, end);
}

void bytes_run(bytes_part *part, const struct bytes_job *job, size_t units, double work, size_t threads) {
        struct team_job t = {.part = part, .job = job, .units = units};

        if (threads <= 1 || work < LEAST_WORK)
                part(job, 0, units);
        else
                team_run(threads, team_job_run, &t);
}

/* ---- integers of a map ---- */

int32_t bytes_from_real(struct bytes_real real, float y) {
        float q = rintf(y / real.scale);

        /* Beyond both ends of bytes and zero points alike. */
        q = fminf(fmaxf(q, -1e6f), 1e6f) + (float)real.zero;
        return (int32_t)fminf(fmaxf(q, 0), 255);
}

void bytes_requantise_table(uint8_t table[256], struct bytes_real from, struct bytes_real to) {
        for (int32_t q = 0; q < 256; q++)
                table[q] = (uint8_t)bytes_from_real(to, (float)(q - from.zero) * from.scale);
}

/* ---- pools, and pixel by pixel ---- */

void bytes_pool_run(const struct bytes_pool *p, const uint8_t *src, uint8_t *dst) {
        size_t rows = p->images * p->out_height;

        bytes_run(bytes_best()->pool, &(struct bytes_job){.op = p, .src = src, .dst = dst}, rows,
                  (double)(rows * p->out_width * p->channels) *
                          (double)(p->window.kernel[0] * p->window.kernel[1]),
                  p->threads);
}

void bytes_global_pool_run(const struct bytes_global_pool *p, const uint8_t *src, void *dst) {
        size_t width = bytes_best()->width;

        bytes_run(bytes_best()->global_pool, &(struct bytes_job){.op = p, .src = src, .dst = dst},
                  p->images * ((p->channels + width - 1) / width),
                  (double)(p->images * p->pixels * p->channels), p->threads);
}

void bytes_binary_run(const struct bytes_binary *p, const uint8_t *a, const uint8_t *b, uint8_t *dst) {
        bytes_run(bytes_best()->binary, &(struct bytes_job){.op = p, .src = a, .other = b, .dst = dst},
                  p->pixels, 2.0 * (double)(p->pixels * p->channels), p->threads);
}

void bytes_lookup_run(const struct bytes_lookup *p, const uint8_t table[256], const uint8_t *src,
                      uint8_t *dst) {
        bytes_part *part = bytes_best()->lookup;

#if defined(__x86_64__)
        if (has_vbmi())
                part = bytes_lookup_vbmi;
#endif
        bytes_run(part, &(struct bytes_job){.op = p, .src = src, .other = table, .dst = dst}, p->pixels,
                  (double)(p->pixels * p->channels), p->threads);
}

void bytes_pixels_run(const struct bytes_pixels *p, const uint8_t *tables, const uint8_t *src,
                      uint8_t *dst) {
        bytes_part *part = bytes_best()->pixels;

#if defined(__x86_64__)
        if (has_vbmi())
                part = bytes_pixels_vbmi;
#endif
        bytes_run(part, &(struct bytes_job){.op = p, .src = src, .other = tables, .dst = dst}, p->pixels,
                  (double)(p->pixels * p->channels), p->threads);
}

void bytes_quantise_run(const struct bytes_quantise *p, const float *src, uint8_t *dst) {
        bytes_run(bytes_best()->quantise, &(struct bytes_job){.op = p, .src = src, .dst = dst},
                  p->images * p->pixels, 4.0 * (double)(p->images * p->pixels * p->channels), p->threads);
}

void bytes_dequantise_run(const struct bytes_quantise *p, const uint8_t *src, float *dst) {
        bytes_run(bytes_best()->dequantise, &(struct bytes_job){.op = p, .src = src, .dst = dst},
                  p->images * p->pixels, 4.0 * (double)(p->images * p->pixels * p->channels), p->threads);
}
