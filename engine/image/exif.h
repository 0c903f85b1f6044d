#pragma once
/*
 * exif: the orientation of a picture, from the EXIF data of a JPEG file.
 *
 * The bytes are hostile. EXIF is a TIFF file: CIPA DC-008 (Exif 2.32) section 4.6.4 for the tag, TIFF 6.0
 * section 2 for header and directory. No state, no allocation.
 */
#include <stdbool.h>
#include <stddef.h>

/* How to show the stored picture; values and names of the tag Orientation, by what stored row 0 and column 0
 * are. */
enum exif_orientation {
        EXIF_TOP_LEFT = 1, /* as stored */
        EXIF_TOP_RIGHT,    /* mirrored left to right */
        EXIF_BOTTOM_RIGHT, /* turned by 180 degrees */
        EXIF_BOTTOM_LEFT,  /* mirrored top to bottom */
        EXIF_LEFT_TOP,     /* transposed */
        EXIF_RIGHT_TOP,    /* to be turned clockwise by 90 degrees */
        EXIF_RIGHT_BOTTOM, /* transposed along the other diagonal */
        EXIF_LEFT_BOTTOM,  /* to be turned counterclockwise by 90 degrees */
};

/* Whether the payload of an APP1 segment is EXIF; XMP uses the same marker. */
bool exif_is(const void *bytes, size_t size);

/* bytes: the payload of an APP1 segment. EXIF_TOP_LEFT where it is no EXIF, has no valid orientation, or is
 * malformed: a broken annotation is no reason to refuse a picture. */
enum exif_orientation exif_orientation_of(const void *bytes, size_t size);
