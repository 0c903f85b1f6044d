#include "proto/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/utf8.h"

/* Digits after which every float reads back (C17 5.2.4.2.2: FLT_DECIMAL_DIG), and from where it is worth
 * trying: %g drops trailing zeros itself. */
#define FLOAT_DIGITS_FIRST 6
#define FLOAT_DIGITS_LAST  9

cJSON *json_text(const char *text) {
        _cleanup_(freep) char *repaired = NULL;
        size_t size, room;

        if (!text)
                return cJSON_CreateNull();
        size = strlen(text);
        if (utf8_is_valid(text, size))
                return cJSON_CreateString(text);
        if (!size_multiply(&room, size, UTF8_REPAIR_FACTOR) || !size_add(&room, room, 1))
                return NULL;
        repaired = malloc(room);
        if (!repaired)
                return NULL;
        repaired[utf8_repair(repaired, text, size)] = 0;
        return cJSON_CreateString(repaired);
}

bool json_add(cJSON *object, const char *key, cJSON *item) {
        if (!item)
                return false;
        if (cJSON_AddItemToObjectCS(object, key, item))
                return true;
        cJSON_Delete(item);
        return false;
}

bool json_append(cJSON *array, cJSON *item) {
        if (!item)
                return false;
        if (cJSON_AddItemToArray(array, item))
                return true;
        cJSON_Delete(item);
        return false;
}

bool json_add_text(cJSON *object, const char *key, const char *text) {
        return json_add(object, key, json_text(text));
}

bool json_add_size(cJSON *object, const char *key, size_t value) {
        char text[32];

        /* Raw: cJSON's own numbers are printed, read back and compared first. */
        snprintf(text, sizeof(text), "%zu", value);
        return json_add(object, key, cJSON_CreateRaw(text));
}

bool json_add_float(cJSON *object, const char *key, float value) {
        char text[32];

        for (int digits = FLOAT_DIGITS_FIRST; digits <= FLOAT_DIGITS_LAST; digits++) {
                snprintf(text, sizeof(text), "%.*g", digits, (double)value);
                if (strtof(text, NULL) == value)
                        break;
        }
        return json_add(object, key, cJSON_CreateRaw(text));
}

bool json_add_ms(cJSON *object, const char *key, double value_ms) {
        char text[32];
        long long us;
        int n;

        us = isfinite(value_ms) && value_ms > 0 && value_ms < 1e12 ? llround(value_ms * 1e3) : 0;
        n = snprintf(text, sizeof(text), "%lld.%03lld", us / 1000, us % 1000);
        while (text[n - 1] == '0')
                n--;
        if (text[n - 1] == '.')
                n--;
        text[n] = 0;
        return json_add(object, key, cJSON_CreateRaw(text));
}

cJSON *json_add_object(cJSON *object, const char *key) {
        cJSON *item = cJSON_CreateObject();

        return json_add(object, key, item) ? item : NULL;
}

cJSON *json_add_array(cJSON *object, const char *key) {
        cJSON *item = cJSON_CreateArray();

        return json_add(object, key, item) ? item : NULL;
}

int json_print(char **ret_text, size_t *ret_size, const cJSON *root, struct error *error) {
        /* Room for an ordinary answer, so that printing it does not grow the buffer. */
        char *text = cJSON_PrintBuffered(root, 2048, false);

        if (!text)
                return error_no_memory(error);
        *ret_text = text;
        *ret_size = strlen(text);
        return 0;
}
