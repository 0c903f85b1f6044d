#pragma once
/*
 * error: what went wrong, said once, where the fact is known.
 *
 * A function that can fail returns 0 or a negative enum error_code and fills the struct error it was given;
 * on the way up the text is only prefixed. A struct error belongs to one thread at a time. Passing NULL is
 * allowed everywhere and loses only the text. Outputs (ret_*) are untouched on failure.
 */

enum error_code {
        ERROR_INVALID = -1,     /* the input is malformed or contradicts itself */
        ERROR_UNSUPPORTED = -2, /* the input may be right, but it is nothing that is implemented */
        ERROR_LIMIT = -3,       /* the input exceeds a limit that has a name */
        ERROR_NO_MEMORY = -4,
        ERROR_IO = -5,        /* the operating system said no */
        ERROR_NOT_FOUND = -6, /* what was named does not exist */
        ERROR_INTERNAL = -7,  /* a library below failed in a way that no input should cause */
};

#define ERROR_TEXT_MAX 1024u /* bytes with the terminating zero; a longer text is cut */

struct error {
        int code; /* enum error_code, or 0 */
        char text[ERROR_TEXT_MAX];
};

#define ERROR_NONE ((struct error){0})

/* Sets code and text; its value is code, so that a caller can write: return error_set(error, ERROR_INVALID,
 * ...); A macro, as the next one, so that the compiler sees which code comes back and that it is not 0. */
#define error_set(error, code, ...)                                                                         \
        ({                                                                                                  \
                const int _code = (code);                                                                   \
                error_fill((error), _code, __VA_ARGS__);                                                    \
                _code;                                                                                      \
        })

/* Puts "prefix: " before the text that error already has; its value is code. */
#define error_prefix(error, code, ...)                                                                      \
        ({                                                                                                  \
                const int _code = (code);                                                                   \
                error_fill_prefix((error), _code, __VA_ARGS__);                                             \
                _code;                                                                                      \
        })

/* ERROR_NO_MEMORY with the one text there is to say. */
#define error_no_memory(error) error_set((error), ERROR_NO_MEMORY, "out of memory")

/* Behind the macros. */
void error_fill(struct error *error, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void error_fill_prefix(struct error *error, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
