#pragma once
/* embedded: the default model, linked into the program, so that nothing need lie beside it. */
#include "engine/model.h"

/* Borrowed bytes that live as long as the program. Thread safe. */
struct model_source embedded_model(void);
