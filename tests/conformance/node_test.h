#pragma once
/*
 * node_test: runs one of the ONNX project's node tests through the engine.
 *
 * A test is a directory: model.onnx, and input_*.pb and output_*.pb in test_data_set_*. Integers are shapes
 * to the engine, so inputs of any other type than float32 are constants. Which of the float32 inputs are
 * data is tried in three ways; each must give the right answer or be refused as unsupported.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum feed {
        FEED_DATA,       /* all float32 inputs are data */
        FEED_FIRST_DATA, /* the first is, others are constant, as weights are */
        FEED_CONSTANT,   /* none is: all is folded */
        N_FEEDS,
};

enum outcome {
        OUTCOME_UNSUPPORTED,
        OUTCOME_PASSED,
        OUTCOME_WRONG, /* another answer, or another error than ERROR_UNSUPPORTED and ERROR_LIMIT */
};

struct node_test {
        char operator[64]; /* of the only node; "" where there are several, or where reading failed */
        char types[64];    /* of the inputs, or of the outputs where there are none: "float32, int64" */
        enum outcome outcomes[N_FEEDS];
        char texts[N_FEEDS][ERROR_TEXT_MAX]; /* why it is not passed */
};

void node_test_run(struct node_test *ret_test, const char *directory);

/* Passed in one way at least, wrong in none. */
bool node_test_passed(const struct node_test *test);
bool node_test_wrong(const struct node_test *test);
