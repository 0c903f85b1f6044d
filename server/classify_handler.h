#pragma once
/*
 * classify_handler: POST /v1/classify.
 *
 * A raw body is one image, told by its bytes; multipart/form-data has one image in each file part. An image
 * that fails does not fail the others: several images are answered with 200, each with its predictions or
 * its error, even where all failed. One image alone that fails is answered with its problem.
 */
struct request;

void classify_begin(struct request *request);
void classify_complete(struct request *request);
