/* Two scrapes, parted by a line "# next" -> a report of them, printed: what saccade top does with any
 * answer. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/top/exposition.h"
#include "cli/top/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char separator[] = "\n# next\n";

static void require(bool condition) {
        if (!condition)
                abort();
}

static struct exposition *parse(const char *text, size_t size) {
        struct exposition *exposition = NULL;
        struct error error = ERROR_NONE;
        int r = exposition_parse(&exposition, text, size, &error);

        require(r == 0 ? exposition != NULL : !exposition && error.code == r && error.text[0]);
        for (size_t i = 0; exposition && i < exposition_n_samples(exposition); i++) {
                const struct exposition_sample *sample = exposition_sample(exposition, i);

                require(sample->name[0] && sample->n_labels <= EXPOSITION_MAX_LABELS);
                exposition_label(exposition, sample, "model");
        }
        return exposition;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        const struct report_style style = {
                .plain = "", .bold = "", .dim = "", .alarm = "", .width = 80, .max_lines = size % 40};
        const char *text = (const char *)bytes, *cut = memmem(text, size, separator, sizeof(separator) - 1);
        size_t first = cut ? (size_t)(cut - text) : size,
               second = cut ? first + sizeof(separator) - 1 : size;
        _cleanup_(exposition_freep) struct exposition *before = parse(text, first);
        _cleanup_(exposition_freep) struct exposition *now =
                cut ? parse(text + second, size - second) : NULL;
        _cleanup_(freep) char *printed = NULL;
        struct report report;
        size_t n_printed = 0;
        FILE *file;

        if (!now || report_check(now, NULL) < 0)
                return 0;
        if (before && report_check(before, NULL) < 0)
                exposition_free(steal_ptr(&before));
        report_make(&report, now, before, 1, 1.7e9);
        file = open_memstream(&printed, &n_printed);
        require(file != NULL);
        report_print(file, &report, "127.0.0.1:8080", &style);
        require(fclose(file) == 0);
        /* Nothing that a terminal would obey. */
        for (size_t i = 0; i < n_printed; i++)
                require((unsigned char)printed[i] >= ' ' || printed[i] == '\n');
        return 0;
}
