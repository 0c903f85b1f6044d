#include "cli/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/terminal.h"

const char *const TUNE_CHOICES[] = {"off", "fast", "full", NULL};
const char *const WINOGRAD_CHOICES[] = {"on", "off", NULL};

char *tune_cache_directory(const char *option) {
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        char *directory = NULL;

        if (option)
                return strcmp(option, "none") != 0 ? strdup(option) : NULL;
        if (xdg && xdg[0] == '/')
                return asprintf(&directory, "%s/saccade", xdg) < 0 ? NULL : directory;
        if (home && home[0] == '/')
                return asprintf(&directory, "%s/.cache/saccade", home) < 0 ? NULL : directory;
        return NULL;
}

static void warn(const struct error *error) {
        fputs("saccade: tuning results: ", stderr);
        terminal_print_text(stderr, error->text, SIZE_MAX);
        fputc('\n', stderr);
}

int tune_plan(struct tuning **tuning, struct model *model, struct plan_options *options,
              const struct tune_values *values, struct error *error) {
        const struct tuner_options tuner = {.effort = (enum tune_effort)values->effort};
        _cleanup_(freep) char *directory = tune_cache_directory(values->cache);
        char identity[TUNING_MAX_TEXT];
        struct error trouble = ERROR_NONE;
        bool measured = false;
        int r;

        tuner_identity(identity);
        if (!*tuning) {
                r = tuning_new(tuning, error);
                if (r < 0)
                        return r;
                /* Missing: the first time. Another identity: another machine's, or an older program's. */
                if (directory &&
                    tuning_load(*tuning, directory, model_version(model), identity, &trouble) < 0 &&
                    trouble.code != ERROR_NOT_FOUND && tuner.effort != TUNE_OFF)
                        warn(&trouble);
        }
        options->tuning = *tuning;
        options->no_winograd = values->winograd == WINOGRAD_OFF;
        r = tuner_run(model, options, &tuner, &measured, error);
        if (r < 0)
                return r;
        if (measured && directory &&
            tuning_save(*tuning, directory, model_version(model), identity, &trouble) < 0)
                warn(&trouble);
        return 0;
}
