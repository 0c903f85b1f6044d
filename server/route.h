#pragma once
/*
 * route: which handler answers which path.
 *
 * A handler has no state of its own; what it keeps for a request hangs at request->state.
 */
#include <stdbool.h>
#include <stddef.h>

struct request;

enum route_method {
        ROUTE_GET = 1 << 0, /* and HEAD */
        ROUTE_POST = 1 << 1,
};

/* Also the labels of the metrics, in this order. */
enum route_handler {
        ROUTE_CLASSIFY,
        ROUTE_MODELS,
        ROUTE_REPOSITORY,
        ROUTE_LIVEZ,
        ROUTE_READYZ,
        ROUTE_METRICS,
        ROUTE_OPENAPI,
        ROUTE_PAGE,
        ROUTE_OTHER, /* no such path */
        ROUTE_MAX,
};

struct route {
        enum route_handler handler;
        const char *path;
        bool is_prefix;       /* matches everything that begins with path */
        bool takes_body;      /* else a body is read and thrown away */
        bool speaks_protocol; /* the Open Inference Protocol: errors have a member "error" too */
        unsigned methods;
        const char *allow;                         /* the Allow header */
        void (*begin)(struct request *request);    /* at the headers: may set the reply; NULL: nothing */
        void (*complete)(struct request *request); /* sets the reply, or suspends the request */
};

extern const char *const route_handler_names[ROUTE_MAX];

/* Never NULL: an unknown path has a route of its own, whose begin() refuses. */
const struct route *route_find(const char *path);

/* Whether the route has the method; else the reply is set: 405, or the answer to OPTIONS. */
bool route_check_method(const struct route *route, struct request *request);
