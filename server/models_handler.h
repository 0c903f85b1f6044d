#pragma once
/* models_handler: GET /v1/models and /v1/models/{name}. What is served and how its last load went; 503 until
 * all models were loaded. */
struct request;

void models_list(struct request *request);
void models_one(struct request *request);
