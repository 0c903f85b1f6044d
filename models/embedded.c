#include "models/embedded.h"

/* From embedded.S. */
extern const unsigned char embedded_onnx[], embedded_onnx_end[];
extern const unsigned char embedded_config[], embedded_config_end[];
extern const unsigned char embedded_preprocessor[], embedded_preprocessor_end[];

struct model_source embedded_model(void) {
        return (struct model_source){
                .name = "efficientnet-lite0",
                .onnx = blob_borrow(embedded_onnx, (size_t)(embedded_onnx_end - embedded_onnx)),
                .config = blob_borrow(embedded_config, (size_t)(embedded_config_end - embedded_config)),
                .preprocessor = blob_borrow(embedded_preprocessor,
                                            (size_t)(embedded_preprocessor_end - embedded_preprocessor)),
        };
}
