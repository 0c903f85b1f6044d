#pragma once
/*
 * preprocess: how a model wants its pictures, in the terms of Hugging Face's preprocessor_config.json.
 *
 * The order is fixed: decode, orient by EXIF, to RGB, resize, centre crop, pixel * rescale_factor, (x -
 * mean) / std. Everything up to the crop happens in image_decode() on uint8; the rest in the engine, see
 * engine/plan.h.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum image_filter {
        IMAGE_FILTER_BILINEAR, /* Pillow's BILINEAR: a triangle, widened by the scale when shrinking */
        IMAGE_FILTER_BICUBIC,  /* Pillow's BICUBIC, a = -0.5 */
};

struct preprocess {
        /* Shorter side after the resize in pixels, the aspect kept (torchvision's Resize(int)); 0:
         * resize_width and resize_height say both; all three 0: no resize. */
        size_t resize_shorter;
        size_t resize_width, resize_height;
        enum image_filter filter;
        /* Centre crop in pixels after the resize (torchvision's CenterCrop, zero padded where the image is
         * smaller). */
        size_t crop_width, crop_height;
        float rescale_factor;
        float mean[3], std[3]; /* R, G, B; in units of pixel * rescale_factor */
};

#define PREPROCESS_MAX_SIDE 4096u /* pixels; a configuration beyond it is refused */

/* torchvision's ImageNet classification defaults: shorter side 256, bilinear, crop 224, pixels / 255,
 * mean (0.485, 0.456, 0.406), deviation (0.229, 0.224, 0.225). */
extern const struct preprocess PREPROCESS_IMAGENET;

/* Fails with ERROR_INVALID, ERROR_LIMIT (PREPROCESS_MAX_SIDE) or ERROR_UNSUPPORTED where image_decode()
 * cannot follow; rescale_factor, mean and std are not looked at. */
int preprocess_check(const struct preprocess *preprocess, struct error *error);

/* One axis of resize and crop, in pixels. */
struct preprocess_axis {
        size_t resized; /* the whole axis after the resize */
        size_t from, n; /* what the crop keeps of it: [from, from + n) */
        size_t padding; /* zeros in the crop before that; what is left after it is zeros, too */
};

/* The arithmetic of torchvision's Resize and CenterCrop for a picture of width x height pixels, both at
 * least 1 and at most 65535. preprocess has passed preprocess_check(). */
void preprocess_layout(struct preprocess_axis *ret_x, struct preprocess_axis *ret_y,
                       const struct preprocess *preprocess, size_t width, size_t height);
