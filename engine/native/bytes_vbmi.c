/* Tables of bytes by AVX-512 VBMI, with whose flags this is compiled: 128 entries an instruction. */
#define LANES 16

#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes_internal.h"
#include "engine/native/vector.h"

#define WIDTH 64
#include "engine/native/bytes_width.inc.h"

struct table {
        V quarters[4];
};

INLINE struct table table_of(const uint8_t *entries) {
        return (struct table){{LOAD(entries), LOAD(entries + 64), LOAD(entries + 128), LOAD(entries + 192)}};
}

INLINE V look_up(const struct table *t, V x) {
        V low = _mm512_permutex2var_epi8(t->quarters[0], x, t->quarters[1]);
        V high = _mm512_permutex2var_epi8(t->quarters[2], x, t->quarters[3]);

        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
}

void bytes_lookup_vbmi(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_lookup *p = job->op;
        bool dense = p->src_pixel == p->channels && p->dst_pixel == p->channels;
        size_t together = dense ? end - begin : 1;
        struct table table;

        if (!job->other) {
                bytes_avx512.lookup(job, begin, end);
                return;
        }
        table = table_of(job->other);
        for (size_t i = begin; i < end; i += together) {
                const uint8_t *src = (const uint8_t *)job->src + i * p->src_pixel;
                uint8_t *dst = (uint8_t *)job->dst + i * p->dst_pixel;
                size_t n = together * p->channels;

                for (size_t c = 0; c < n; c += WIDTH)
                        WIDE(store)(dst + c, look_up(&table, LOAD(src + c)), n - c);
        }
}

/* Bytes of WIDTH of channels in turn whose channel is c, the first of them being of channel first. */
INLINE uint64_t channel_mask(size_t first, size_t channels, size_t c) {
        uint64_t mask = 0;

        for (size_t i = 0; i < WIDTH; i++)
                mask |= (uint64_t)((first + i) % channels == c) << i;
        return mask;
}

void bytes_pixels_vbmi(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_pixels *p = job->op;
        const uint8_t *src = (const uint8_t *)job->src + begin * p->channels;
        uint8_t *dst = (uint8_t *)job->dst + begin * p->channels;
        size_t n = (end - begin) * p->channels;
        struct table tables[4];
        uint64_t masks[4][4];

        for (size_t c = 0; c < p->channels; c++) {
                tables[c] = table_of((const uint8_t *)job->other + 256 * c);
                for (size_t k = 0; k < p->channels; k++)
                        masks[k][c] = channel_mask(k * WIDTH % p->channels, p->channels, c);
        }
        for (size_t i = 0, k = 0; i < n; i += WIDTH, k = k + 1 == p->channels ? 0 : k + 1) {
                V x = LOAD(src + i), y = look_up(&tables[0], x);

                for (size_t c = 1; c < p->channels; c++)
                        y = _mm512_mask_blend_epi8(masks[k][c], y, look_up(&tables[c], x));
                WIDE(store)(dst + i, y, n - i);
        }
}
