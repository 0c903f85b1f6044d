#include "server/request_id.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"

bool request_id_is_valid(const char *text) {
        size_t size = strnlen(text, REQUEST_ID_MAX + 1);

        return size > 0 && size <= REQUEST_ID_MAX &&
               strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=@") ==
                       size;
}

void request_id_make(char ret_id[REQUEST_ID_MADE_SIZE + 1]) {
        static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        struct timespec now;
        uint64_t ms, random[2];

        clock_gettime(CLOCK_REALTIME, &now);
        ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
                /* Early at boot. Ids need to differ, not to be secret. */
                random[0] = clock_ns();
                random[1] = random[0] * 0x9e3779b97f4a7c15u;
        }
        for (int i = 9; i >= 0; i--, ms >>= 5)
                ret_id[i] = digits[ms & 31];
        for (int i = 0; i < 8; i++) {
                ret_id[10 + i] = digits[random[0] >> (5 * i) & 31];
                ret_id[18 + i] = digits[random[1] >> (5 * i) & 31];
        }
        ret_id[REQUEST_ID_MADE_SIZE] = 0;
}

static bool is_hex(const char *text, size_t size) {
        bool nonzero = false;

        for (size_t i = 0; i < size; i++) {
                if (!strchr("0123456789abcdef", text[i]) || !text[i])
                        return false;
                nonzero |= text[i] != '0';
        }
        return nonzero;
}

bool traceparent_is_valid(const char *text) {
        return strnlen(text, TRACEPARENT_SIZE + 1) == TRACEPARENT_SIZE && strncmp(text, "00-", 3) == 0 &&
               is_hex(text + 3, 32) && text[35] == '-' && is_hex(text + 36, 16) && text[52] == '-' &&
               strspn(text + 53, "0123456789abcdef") == 2;
}

void traceparent_trace_id(char ret_id[TRACE_ID_SIZE + 1], const char *traceparent) {
        memcpy(ret_id, traceparent + strlen("00-"), TRACE_ID_SIZE);
        ret_id[TRACE_ID_SIZE] = 0;
}
