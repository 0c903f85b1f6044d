#pragma once
/* models_handler: GET /v1/models and /v1/models/{name}. Lists what is loaded; 503 while nothing is. */
struct request;

void models_list(struct request *request);
void models_one(struct request *request);
