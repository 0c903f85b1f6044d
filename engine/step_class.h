#pragma once
/* step_class: the kinds of work that a network spends its time on, for tables of steps. */

struct graph;
struct node;

enum step_class {
        STEP_CONV_1X1,
        STEP_CONV_3X3,
        STEP_CONV_DEPTHWISE,
        STEP_CONV_OTHER,
        STEP_MATRIX, /* products of matrices: fully connected layers, attention */
        STEP_POOL,   /* pooling and other reductions of the spatial size */
        STEP_ELEMENTWISE,
        STEP_NORMALISATION, /* BatchNormalization that is no part of a convolution, LayerNorm, Softmax, ...
                             */
        STEP_MOVEMENT,      /* Concat, Transpose, Pad, ...: what the network itself asks for; the input */
        STEP_CONVERSION,    /* between float32 and integers */
        STEP_REORDER,       /* reorders and copies: what layouts and work in place ask for */
        STEP_N_CLASSES,
};

/* The class of a step called op, which node was lowered to; node: NULL for the input. */
enum step_class step_class_of(const struct graph *graph, const struct node *node, const char *op);

const char *step_class_name(enum step_class class); /* "3x3 convolution" */
