#pragma once
/*
 * repository_handler: POST /v2/repository/index and /v2/repository/models/{name}/load|unload, see
 * proto/repository.h. 404 unless the server was started with --model-control.
 *
 * To load and to unload is the loader's work: the request is suspended meanwhile.
 */
struct request;

void repository_index_begin(struct request *request);
void repository_index_complete(struct request *request);
void repository_model_begin(struct request *request);
void repository_model_complete(struct request *request);
