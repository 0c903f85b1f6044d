#pragma once
/* info_handlers: what needs no model: health, metrics, the contract, and the page to try it. */
struct request;

void info_livez(struct request *request);   /* 200 as long as requests are answered at all */
void info_readyz(struct request *request);  /* 503 while loading and while draining */
void info_metrics(struct request *request); /* OpenMetrics where Accept asks for it */
void info_openapi(struct request *request);
void info_page(struct request *request);
