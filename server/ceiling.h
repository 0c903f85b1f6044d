#pragma once
/*
 * ceiling: the most memory that the server takes, by its limits.
 *
 * What is resident once the models are loaded, plus all that requests may take together. Hot reloads are not
 * in it: while they last, a model is there twice.
 */

struct context;

/* Says it in the log, part by part, once the models are loaded. */
void ceiling_log(const struct context *context);
