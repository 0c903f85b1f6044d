#include "engine/image/preprocess.h"

const struct preprocess PREPROCESS_IMAGENET = {
        .resize_shorter = 256,
        .filter = IMAGE_FILTER_BILINEAR,
        .crop_width = 224,
        .crop_height = 224,
        .rescale_factor = 1.0f / 255.0f,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
};

int preprocess_check(const struct preprocess *preprocess, struct error *error) {
        const size_t sides[] = {preprocess->resize_shorter, preprocess->resize_width,
                                preprocess->resize_height, preprocess->crop_width, preprocess->crop_height};

        for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
                if (sides[i] > PREPROCESS_MAX_SIDE)
                        return error_set(error, ERROR_LIMIT,
                                         "pre-processing asks for a side of %zu pixels, the limit is %u",
                                         sides[i], PREPROCESS_MAX_SIDE);
        if (preprocess->crop_width == 0 || preprocess->crop_height == 0)
                return error_set(
                        error, ERROR_INVALID,
                        "pre-processing asks for a crop of %zu x %zu pixels, both must be at least 1",
                        preprocess->crop_width, preprocess->crop_height);
        if (preprocess->resize_shorter == 0 &&
            (preprocess->resize_width == 0) != (preprocess->resize_height == 0))
                return error_set(error, ERROR_INVALID,
                                 "pre-processing gives only one side of the resize (%zu x %zu), give both",
                                 preprocess->resize_width, preprocess->resize_height);
        if (preprocess->filter != IMAGE_FILTER_BILINEAR && preprocess->filter != IMAGE_FILTER_BICUBIC)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "pre-processing asks for filter %d, supported: bilinear, bicubic",
                                 (int)preprocess->filter);
        return 0;
}

/* round(difference / 2.0) as Python rounds: halves go to the even neighbour. */
static size_t half_to_even(size_t difference) {
        size_t half = difference / 2;

        return half + (difference & half & 1);
}

static struct preprocess_axis axis_of(size_t resized, size_t crop) {
        if (resized >= crop)
                return (struct preprocess_axis){
                        .resized = resized, .from = half_to_even(resized - crop), .n = crop};
        return (struct preprocess_axis){.resized = resized, .n = resized, .padding = (crop - resized) / 2};
}

void preprocess_layout(struct preprocess_axis *ret_x, struct preprocess_axis *ret_y,
                       const struct preprocess *preprocess, size_t width, size_t height) {
        size_t resized_width = width, resized_height = height;

        /* torchvision.transforms.functional._compute_resized_output_size: int(size * long / short). */
        if (preprocess->resize_shorter > 0 && width <= height) {
                resized_width = preprocess->resize_shorter;
                resized_height = preprocess->resize_shorter * height / width;
        } else if (preprocess->resize_shorter > 0) {
                resized_width = preprocess->resize_shorter * width / height;
                resized_height = preprocess->resize_shorter;
        } else if (preprocess->resize_width > 0) {
                resized_width = preprocess->resize_width;
                resized_height = preprocess->resize_height;
        }

        *ret_x = axis_of(resized_width, preprocess->crop_width);
        *ret_y = axis_of(resized_height, preprocess->crop_height);
}
