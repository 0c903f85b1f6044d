#include "proto/contract.h"

/* From contract.S. */
extern const unsigned char contract_json[], contract_json_end[];

struct blob contract_openapi(void) {
        return blob_borrow(contract_json, (size_t)(contract_json_end - contract_json));
}
