#include "server/route.h"

#include <string.h>

#include "base/macros.h"
#include "server/classify_handler.h"
#include "server/info_handlers.h"
#include "server/models_handler.h"
#include "server/repository_handler.h"
#include "server/request.h"

const char *const route_handler_names[ROUTE_MAX] = {
        [ROUTE_CLASSIFY] = "classify", [ROUTE_MODELS] = "models", [ROUTE_REPOSITORY] = "repository",
        [ROUTE_LIVEZ] = "livez",       [ROUTE_READYZ] = "readyz", [ROUTE_METRICS] = "metrics",
        [ROUTE_OPENAPI] = "openapi",   [ROUTE_PAGE] = "page",     [ROUTE_OTHER] = "other",
};

static void refuse_unknown_path(struct request *request) {
        request_refuse(
                request, PROBLEM_NOT_FOUND,
                "there is nothing at this path; images go to POST /v1/classify, and /openapi.json lists "
                "all paths");
}

#define GET_ALLOW  "GET, HEAD, OPTIONS"
#define POST_ALLOW "POST, OPTIONS"

static const struct route routes[] = {
        {ROUTE_CLASSIFY, "/v1/classify", false, true, false, ROUTE_POST, POST_ALLOW, classify_begin,
         classify_complete},
        {ROUTE_MODELS, "/v1/models", false, false, false, ROUTE_GET, GET_ALLOW, NULL, models_list},
        {ROUTE_MODELS, "/v1/models/", true, false, false, ROUTE_GET, GET_ALLOW, NULL, models_one},
        {ROUTE_REPOSITORY, "/v2/repository/index", false, true, true, ROUTE_POST, POST_ALLOW,
         repository_index_begin, repository_index_complete},
        {ROUTE_REPOSITORY, "/v2/repository/models/", true, true, true, ROUTE_POST, POST_ALLOW,
         repository_model_begin, repository_model_complete},
        {ROUTE_LIVEZ, "/livez", false, false, false, ROUTE_GET, GET_ALLOW, NULL, info_livez},
        {ROUTE_READYZ, "/readyz", false, false, false, ROUTE_GET, GET_ALLOW, NULL, info_readyz},
        {ROUTE_METRICS, "/metrics", false, false, false, ROUTE_GET, GET_ALLOW, NULL, info_metrics},
        {ROUTE_OPENAPI, "/openapi.json", false, false, false, ROUTE_GET, GET_ALLOW, NULL, info_openapi},
        {ROUTE_PAGE, "/", false, false, false, ROUTE_GET, GET_ALLOW, NULL, info_page},
};

static const struct route unknown = {.handler = ROUTE_OTHER, .path = "", .begin = refuse_unknown_path};

const struct route *route_find(const char *path) {
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                const struct route *route = &routes[i];
                size_t size = strlen(route->path);

                if (route->is_prefix ? strncmp(path, route->path, size) == 0 && path[size]
                                     : strcmp(path, route->path) == 0)
                        return route;
        }
        return &unknown;
}

bool route_check_method(const struct route *route, struct request *request) {
        const char *method = request->method;

        if (route->handler == ROUTE_OTHER)
                return true; /* 404 says more than 405 */
        if (((route->methods & ROUTE_GET) && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)) ||
            ((route->methods & ROUTE_POST) && strcmp(method, "POST") == 0))
                return true;
        if (strcmp(method, "OPTIONS") == 0)
                reply_borrow(&request->reply, 204, NULL, "", 0);
        else
                request_refuse(request, PROBLEM_METHOD, "this path takes %s, not %s", route->allow, method);
        reply_header(&request->reply, "Allow", "%s", route->allow);
        return false;
}
