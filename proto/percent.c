#include "proto/percent.h"

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int percent_byte(const char *text, size_t size) {
        int high, low;

        high = size > 0 ? hex_digit(text[0]) : -1;
        if (high < 0)
                return -1;
        low = size > 1 ? hex_digit(text[1]) : -1;
        return low < 0 ? -1 : high * 16 + low;
}
