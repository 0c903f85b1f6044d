#pragma once
/* contract: proto/openapi.json, linked into the program, byte for byte. */
#include "base/blob.h"

struct blob contract_openapi(void);
