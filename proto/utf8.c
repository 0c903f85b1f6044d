#include "proto/utf8.h"

#include <string.h>

/* Table 3-7 of Unicode 15: what may follow a lead byte. Only the second byte has bounds of its own. */
struct lead {
        unsigned char first, last; /* of the lead byte */
        unsigned char low, high;   /* of the second byte */
        unsigned char size;        /* of the sequence */
};

static const struct lead leads[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static const struct lead *lead_of(unsigned char byte) {
        for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
                if (byte >= leads[i].first && byte <= leads[i].last)
                        return &leads[i];
        return NULL;
}

size_t utf8_step(const void *bytes, size_t size, bool *ret_valid) {
        const unsigned char *p = bytes;
        const struct lead *lead;
        size_t n = 1;

        if (p[0] < 0x80) {
                *ret_valid = true;
                return 1;
        }
        lead = lead_of(p[0]);
        if (lead && size > 1 && p[1] >= lead->low && p[1] <= lead->high)
                for (n = 2; n < lead->size && n < size && (p[n] & 0xC0) == 0x80;)
                        n++;
        *ret_valid = lead && n == lead->size;
        return n;
}

bool utf8_is_valid(const void *bytes, size_t size) {
        const unsigned char *p = bytes;
        bool valid = true;

        for (size_t i = 0; i < size && valid;)
                i += p[i] < 0x80 ? 1 : utf8_step(p + i, size - i, &valid);
        return valid;
}

size_t utf8_repair(char *to, const void *bytes, size_t size) {
        const unsigned char *p = bytes;
        size_t n_written = 0;

        for (size_t i = 0; i < size;) {
                bool valid;
                size_t n = utf8_step(p + i, size - i, &valid);

                if (valid) {
                        memcpy(to + n_written, p + i, n);
                        n_written += n;
                } else {
                        memcpy(to + n_written, "\xEF\xBF\xBD", 3);
                        n_written += 3;
                }
                i += n;
        }
        return n_written;
}

size_t utf8_prefix(const void *bytes, size_t size, size_t max) {
        const unsigned char *p = bytes;
        size_t end = max;

        if (size <= max)
                return size;
        /* A character has at most three continuation bytes; more of them are no UTF-8 and may be cut. */
        while (end > 0 && max - end < 3 && (p[end] & 0xC0) == 0x80)
                end--;
        return (p[end] & 0xC0) == 0x80 ? max : end;
}
