#include "engine/model_config.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void cjsonp(cJSON **json) {
        cJSON_Delete(*json);
}

static int json_parse(cJSON **ret_json, const struct blob *blob, const char *file, struct error *error) {
        cJSON *json;

        if (blob->size > CONFIG_MAX_BYTES)
                return error_set(error, ERROR_LIMIT, "%s: %zu bytes, the limit is %zu", file, blob->size,
                                 CONFIG_MAX_BYTES);
        json = cJSON_ParseWithLength((const char *)blob->bytes, blob->size);
        if (!cJSON_IsObject(json)) {
                cJSON_Delete(json);
                return error_set(error, ERROR_INVALID, "%s: not a JSON object", file);
        }
        *ret_json = json;
        return 0;
}

/* ---- config.json ---- */

static int label_index(size_t *ret_index, const char *key, struct error *error) {
        char *end;
        unsigned long index = strtoul(key, &end, 10);

        if (key[0] < '0' || key[0] > '9' || *end)
                return error_set(error, ERROR_INVALID,
                                 "config.json: id2label has the key '%s', which is no class number", key);
        if (index >= CONFIG_MAX_LABELS)
                return error_set(error, ERROR_LIMIT, "config.json: class %lu, the limit is %u", index,
                                 CONFIG_MAX_LABELS);
        *ret_index = index;
        return 0;
}

int config_read_labels(const struct blob *config, struct pool *pool, const char *const **ret_labels,
                       size_t *ret_n, struct error *error) {
        _cleanup_(cjsonp) cJSON *json = NULL;
        const cJSON *map, *entry;
        const char **labels;
        size_t n = 0, index;
        int r;

        r = json_parse(&json, config, "config.json", error);
        if (r < 0)
                return r;
        map = cJSON_GetObjectItemCaseSensitive(json, "id2label");
        if (map && !cJSON_IsObject(map))
                return error_set(error, ERROR_INVALID, "config.json: id2label is not an object");
        cJSON_ArrayForEach(entry, map) {
                r = label_index(&index, entry->string, error);
                if (r < 0)
                        return r;
                if (!cJSON_IsString(entry))
                        return error_set(error, ERROR_INVALID,
                                         "config.json: the label of class %zu is not a string", index);
                n = MAX(n, index + 1);
        }
        labels = pool_allocate(pool, n, sizeof(*labels));
        if (!labels)
                return error_no_memory(error);
        cJSON_ArrayForEach(entry, map) {
                r = label_index(&index, entry->string, error);
                if (r < 0)
                        return r;
                labels[index] = pool_string(pool, entry->valuestring);
                if (!labels[index])
                        return error_no_memory(error);
        }
        *ret_labels = labels;
        *ret_n = n;
        return 0;
}

/* ---- preprocessor_config.json ---- */

static int side_read(size_t *ret_side, const cJSON *number, const char *what, struct error *error) {
        if (!cJSON_IsNumber(number) || !(number->valuedouble >= 1) ||
            number->valuedouble > PREPROCESS_MAX_SIDE || floor(number->valuedouble) != number->valuedouble)
                return error_set(
                        error, ERROR_INVALID,
                        "preprocessor_config.json: %s must be a whole number of pixels from 1 to %u", what,
                        PREPROCESS_MAX_SIDE);
        *ret_side = (size_t)number->valuedouble;
        return 0;
}

/* {"height": H, "width": W}, or one number for both. */
static int sides_read(size_t *ret_height, size_t *ret_width, const cJSON *size, const char *what,
                      struct error *error) {
        int r;

        if (cJSON_IsNumber(size)) {
                r = side_read(ret_height, size, what, error);
                *ret_width = *ret_height;
                return r;
        }
        r = side_read(ret_height, cJSON_GetObjectItemCaseSensitive(size, "height"), what, error);
        if (r >= 0)
                r = side_read(ret_width, cJSON_GetObjectItemCaseSensitive(size, "width"), what, error);
        return r;
}

static int resize_read(struct preprocess *preprocess, const cJSON *json, struct error *error) {
        const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size"), *shorter;
        const cJSON *resample = cJSON_GetObjectItemCaseSensitive(json, "resample");
        int r = 0;

        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "do_resize"))) {
                preprocess->resize_shorter = preprocess->resize_width = preprocess->resize_height = 0;
        } else if (size) {
                shorter = cJSON_GetObjectItemCaseSensitive(size, "shortest_edge");
                preprocess->resize_shorter = preprocess->resize_width = preprocess->resize_height = 0;
                if (shorter)
                        r = side_read(&preprocess->resize_shorter, shorter, "size.shortest_edge", error);
                else if (cJSON_IsNumber(size))
                        r = side_read(&preprocess->resize_shorter, size, "size", error);
                else
                        r = sides_read(&preprocess->resize_height, &preprocess->resize_width, size, "size",
                                       error);
        }
        if (r < 0)
                return r;

        /* Numbers of PIL.Image.Resampling. */
        if (!resample || (cJSON_IsNumber(resample) && resample->valuedouble == 2))
                preprocess->filter = resample ? IMAGE_FILTER_BILINEAR : preprocess->filter;
        else if (cJSON_IsNumber(resample) && resample->valuedouble == 3)
                preprocess->filter = IMAGE_FILTER_BICUBIC;
        else
                return error_set(error, ERROR_UNSUPPORTED,
                                 "preprocessor_config.json: resample must be 2 (bilinear) or 3 (bicubic)");
        return 0;
}

static int crop_read(struct preprocess *preprocess, const cJSON *json, struct error *error) {
        const cJSON *crop = cJSON_GetObjectItemCaseSensitive(json, "crop_size");
        const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size");

        if (crop && !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "do_center_crop")))
                return sides_read(&preprocess->crop_height, &preprocess->crop_width, crop, "crop_size",
                                  error);
        /* Without a crop the picture has the size that the resize gives it. */
        if (preprocess->resize_height > 0) {
                preprocess->crop_height = preprocess->resize_height;
                preprocess->crop_width = preprocess->resize_width;
        } else if (size && preprocess->resize_shorter > 0) {
                preprocess->crop_height = preprocess->crop_width = preprocess->resize_shorter;
        }
        return 0;
}

static int factors_read(float factors[3], const cJSON *json, const char *name, bool positive,
                        struct error *error) {
        const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, name), *number;
        size_t i = 0;

        if (!array)
                return 0;
        cJSON_ArrayForEach(number, array) {
                if (i == 3 || !cJSON_IsNumber(number) || !isfinite((float)number->valuedouble) ||
                    (positive && !((float)number->valuedouble > 0)))
                        break;
                factors[i++] = (float)number->valuedouble;
        }
        if (!cJSON_IsArray(array) || i != 3 || cJSON_GetArraySize(array) != 3)
                return error_set(error, ERROR_INVALID,
                                 "preprocessor_config.json: %s must be three %snumbers", name,
                                 positive ? "positive " : "");
        return 0;
}

int config_read_preprocess(const struct blob *preprocessor, struct preprocess *preprocess,
                           struct error *error) {
        _cleanup_(cjsonp) cJSON *json = NULL;
        struct preprocess read = *preprocess;
        const cJSON *factor;
        int r;

        r = json_parse(&json, preprocessor, "preprocessor_config.json", error);
        if (r >= 0)
                r = resize_read(&read, json, error);
        if (r >= 0)
                r = crop_read(&read, json, error);
        if (r >= 0)
                r = factors_read(read.mean, json, "image_mean", false, error);
        if (r >= 0)
                r = factors_read(read.std, json, "image_std", true, error);
        if (r < 0)
                return r;
        factor = cJSON_GetObjectItemCaseSensitive(json, "rescale_factor");
        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "do_rescale")))
                read.rescale_factor = 1;
        else if (factor && (!cJSON_IsNumber(factor) || !((float)factor->valuedouble > 0) ||
                            !isfinite((float)factor->valuedouble)))
                return error_set(error, ERROR_INVALID,
                                 "preprocessor_config.json: rescale_factor must be positive");
        else if (factor)
                read.rescale_factor = (float)factor->valuedouble;
        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "do_normalize")))
                for (size_t i = 0; i < 3; i++) {
                        read.mean[i] = 0;
                        read.std[i] = 1;
                }
        *preprocess = read;
        return 0;
}
