#include "server/server.h"
const struct server_options SERVER_OPTIONS_DEFAULT = {0};
int server_run(const struct server_options *options, struct error *error) { (void)options; return error_set(error, ERROR_UNSUPPORTED, "stub"); }
