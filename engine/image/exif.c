#include "engine/image/exif.h"

#include <stdint.h>
#include <string.h>

#define EXIF_SIGNATURE       "Exif\0"
#define EXIF_SIGNATURE_BYTES 6u

#define TIFF_MAGIC           42u
#define TIFF_HEADER_BYTES    8u
#define TIFF_ENTRY_BYTES     12u
#define TIFF_TAG_ORIENTATION 0x0112u

enum tiff_type {
        TIFF_BYTE = 1,
        TIFF_SHORT = 3,
        TIFF_LONG = 4,
};

struct tiff {
        const unsigned char *bytes;
        size_t size;
        bool big_endian;
};

/* n_bytes (up to 4) at offset as a number; false where they are not all inside. */
static bool tiff_read(const struct tiff *tiff, size_t offset, size_t n_bytes, uint32_t *ret_value) {
        uint32_t value = 0;

        if (offset > tiff->size || n_bytes > tiff->size - offset)
                return false;
        for (size_t i = 0; i < n_bytes; i++) {
                size_t at = tiff->big_endian ? i : n_bytes - 1 - i;

                value = value << 8 | tiff->bytes[offset + at];
        }
        *ret_value = value;
        return true;
}

/* The value of a directory entry that holds one unsigned number; TIFF justifies it to the left of its 4
 * bytes. */
static bool tiff_read_scalar(const struct tiff *tiff, size_t entry, uint32_t *ret_value) {
        uint32_t type, count;

        if (!tiff_read(tiff, entry + 2, 2, &type) || !tiff_read(tiff, entry + 4, 4, &count) || count != 1)
                return false;
        switch (type) {
        case TIFF_BYTE:
                return tiff_read(tiff, entry + 8, 1, ret_value);
        case TIFF_SHORT:
                return tiff_read(tiff, entry + 8, 2, ret_value);
        case TIFF_LONG:
                return tiff_read(tiff, entry + 8, 4, ret_value);
        default:
                return false;
        }
}

bool exif_is(const void *bytes, size_t size) {
        return size >= EXIF_SIGNATURE_BYTES && memcmp(bytes, EXIF_SIGNATURE, EXIF_SIGNATURE_BYTES) == 0;
}

enum exif_orientation exif_orientation_of(const void *bytes, size_t size) {
        uint32_t magic, directory, n_entries, tag, value;
        struct tiff tiff;

        if (!exif_is(bytes, size) || size - EXIF_SIGNATURE_BYTES < TIFF_HEADER_BYTES)
                return EXIF_TOP_LEFT;
        tiff = (struct tiff){
                .bytes = (const unsigned char *)bytes + EXIF_SIGNATURE_BYTES,
                .size = size - EXIF_SIGNATURE_BYTES,
        };
        if (memcmp(tiff.bytes, "MM", 2) == 0)
                tiff.big_endian = true;
        else if (memcmp(tiff.bytes, "II", 2) != 0)
                return EXIF_TOP_LEFT;

        if (!tiff_read(&tiff, 2, 2, &magic) || magic != TIFF_MAGIC || !tiff_read(&tiff, 4, 4, &directory) ||
            !tiff_read(&tiff, directory, 2, &n_entries))
                return EXIF_TOP_LEFT;

        /* Only the first directory describes the picture itself; the second one is the thumbnail's. */
        for (uint32_t i = 0; i < n_entries; i++) {
                size_t entry = (size_t)directory + 2 + (size_t)i * TIFF_ENTRY_BYTES;

                if (!tiff_read(&tiff, entry, 2, &tag))
                        return EXIF_TOP_LEFT;
                if (tag != TIFF_TAG_ORIENTATION)
                        continue;
                if (!tiff_read_scalar(&tiff, entry, &value) || value < EXIF_TOP_LEFT ||
                    value > EXIF_LEFT_BOTTOM)
                        return EXIF_TOP_LEFT;
                return (enum exif_orientation)value;
        }
        return EXIF_TOP_LEFT;
}
