#include "cli/inspect/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/utf8.h"

struct writer {
        const char *suffix;
        int (*print)(const struct view *view, FILE *file, struct error *error);
};

static const struct writer writers[] = {{".svg", svg_print}, {".dot", dot_print}};

static const struct writer *find_writer(const char *path) {
        size_t n = strlen(path);

        for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
                size_t n_suffix = strlen(writers[i].suffix);

                if (n > n_suffix && strcmp(path + n - n_suffix, writers[i].suffix) == 0)
                        return &writers[i];
        }
        return NULL;
}

bool picture_knows(const char *path) {
        return find_writer(path) != NULL;
}

int picture_write(const struct view *view, const char *path, struct error *error) {
        const struct writer *writer = find_writer(path);
        bool failed;
        FILE *file;
        int r;

        errno = 0;
        file = fopen(path, "we");
        if (!file)
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        r = writer->print(view, file, error);
        failed = ferror(file);
        if ((fclose(file) != 0 || failed) && r >= 0)
                r = error_set(error, ERROR_IO, "%s: %s", path,
                              errno ? strerror(errno) : "it could not be written");
        if (r < 0)
                unlink(path);
        return r;
}

/* ---- text ---- */

static size_t count_characters(const char *text) {
        size_t n = 0, size = strlen(text), step;
        bool valid;

        for (; size > 0; text += step, size -= step, n++)
                step = utf8_step(text, size, &valid);
        return n;
}

/* U+FFFE and U+FFFF are no characters, and XML forbids them. */
static bool is_printable(const char *character, size_t n, bool valid) {
        if (n == 1)
                return valid && (unsigned char)*character >= 0x20 && *character != 0x7f;
        return valid && !(n == 2 && memcmp(character, "\xc2\xa0", 2) < 0) /* C1 control characters */
               && !(n == 3 && memcmp(character, "\xef\xbf\xbe", 3) >= 0);
}

static void print_character(FILE *file, enum picture_quoting quoting, const char *character, size_t n) {
        static const struct {
                char character;
                const char *quoted[2]; /* by enum picture_quoting */
        } special[] = {
                {'&', {"&amp;", "&"}},     {'<', {"&lt;", "<"}},   {'>', {"&gt;", ">"}},
                {'"', {"&quot;", "\\\""}}, {'\'', {"&#39;", "'"}}, {'\\', {"\\", "\\\\"}},
        };

        for (size_t i = 0; n == 1 && i < ARRAY_SIZE(special); i++)
                if (special[i].character == *character) {
                        fputs(special[i].quoted[quoting], file);
                        return;
                }
        fwrite(character, 1, n, file);
}

void picture_print_text(FILE *file, enum picture_quoting quoting, const char *text, size_t max, bool tail) {
        size_t n_characters = count_characters(text), size = strlen(text), step, i = 0;
        bool cut = n_characters > max, valid;
        size_t first = cut && tail ? n_characters - max + 1 : 0;
        size_t end = cut && !tail ? max - 1 : n_characters;

        if (cut && tail)
                fputs("…", file);
        for (; size > 0; text += step, size -= step, i++) {
                step = utf8_step(text, size, &valid);
                if (i < first || i >= end)
                        continue;
                if (is_printable(text, step, valid))
                        print_character(file, quoting, text, step);
                else
                        fputc('?', file);
        }
        if (cut && !tail)
                fputs("…", file);
}

/* ---- what both drawings show ---- */

struct picture_colours picture_colours(enum step_class class) {
        static const struct picture_colours colours[] = {
                [STEP_CONV_1X1] = {"#dcebfb", "#2f6fb5"},
                [STEP_CONV_3X3] = {"#d5d9fa", "#4a53b5"},
                [STEP_CONV_DEPTHWISE] = {"#d0f0ee", "#23827e"},
                [STEP_CONV_OTHER] = {"#dce2ea", "#4f5d75"},
                [STEP_MATRIX] = {"#eadff8", "#7748b0"},
                [STEP_POOL] = {"#dcf2d7", "#47893d"},
                [STEP_ELEMENTWISE] = {"#fbf0cf", "#a57c12"},
                [STEP_NORMALISATION] = {"#fde3cd", "#bb6118"},
                [STEP_MOVEMENT] = {"#eeeeee", "#757575"},
                [STEP_CONVERSION] = {"#f7d6ea", "#a8327d"},
                [STEP_REORDER] = {"#fbd8d8", "#bd2f2f"},
        };

        return colours[class];
}

int picture_edges(const struct view *view, struct layers_edge **ret_edges, size_t *ret_n,
                  struct error *error) {
        _cleanup_(freep) struct layers_edge *edges = NULL;
        size_t n = 0, n_allocated = 0;

        for (size_t i = 0; i < plan_n_steps(view->plan); i++) {
                uint32_t sources[PLAN_MAX_SOURCES];
                size_t n_sources = plan_step_sources(view->plan, i, sources, PLAN_MAX_SOURCES);

                if (n + n_sources > n_allocated) {
                        size_t n_more = MAX(2 * n_allocated, n + n_sources + 64);
                        struct layers_edge *more = reallocarray(edges, n_more, sizeof(*more));

                        if (!more)
                                return error_no_memory(error);
                        edges = more;
                        n_allocated = n_more;
                }
                for (size_t k = 0; k < n_sources; k++)
                        edges[n++] = (struct layers_edge){.from = sources[k], .to = (uint32_t)i};
        }
        *ret_edges = steal_ptr(&edges);
        *ret_n = n;
        return 0;
}
