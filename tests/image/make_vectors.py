#!/usr/bin/env python3
"""Makes the vectors of the image tests: what Pillow and torchvision say. Needs Pillow 13 and NumPy.

    make_vectors.py [--photographs DIR] [--torchvision]

Without arguments it writes vectors/*.resize and vectors/*.jpg with *.rgb again. --photographs writes
vectors/photographs.tsv, a digest of what Pillow makes of each photograph in DIR. --torchvision (needs torchvision)
writes vectors/layout.tsv. Pictures are synthetic, so the vectors are free of any licence.
"""
import argparse
import io
import pathlib
import struct

import numpy as np
from PIL import Image, ImageOps

VECTORS = pathlib.Path(__file__).parent / "vectors"
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def noise(width, height, seed=1):
    """Hard edges and full range, so that clipping and rounding both happen."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[generator.random((height, width)) < 0.3] = 255
    pixels[generator.random((height, width)) < 0.3] = 0
    return Image.fromarray(pixels)


def picture(width, height):
    """Smooth with a few edges, different in each corner; small as a JPEG."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = 127 + 120 * np.sin(x / 5 + y / 9)
    pixels = np.stack([red, green, blue], axis=2)
    pixels[height // 5 : height // 3, width // 8 : width // 2] = (230, 20, 40)
    pixels[height // 2 :, : width // 4, 2] = 10
    return Image.fromarray(pixels.astype(np.uint8))


# name: filter, input size, size after the resize, what is kept of it (left, top, width, height), box or None
RESIZES = {
    "bilinear_down": ("bilinear", (61, 47), (33, 25), None, None),
    "bilinear_up": ("bilinear", (23, 17), (61, 43), None, None),
    "bicubic_down": ("bicubic", (61, 47), (33, 25), None, None),
    "bicubic_up": ("bicubic", (23, 17), (61, 43), None, None),
    "bilinear_down_far": ("bilinear", (131, 47), (7, 5), None, None),
    "bicubic_down_far": ("bicubic", (131, 47), (7, 5), None, None),
    "bilinear_identity": ("bilinear", (29, 31), (29, 31), None, None),
    "bicubic_identity": ("bicubic", (29, 31), (29, 31), None, None),
    "bilinear_crop": ("bilinear", (83, 61), (47, 35), (11, 5, 25, 24), None),
    "bicubic_crop": ("bicubic", (83, 61), (47, 35), (11, 5, 25, 24), None),
    "bilinear_wider_and_lower": ("bilinear", (19, 90), (70, 11), None, None),
    "bicubic_narrower_and_higher": ("bicubic", (90, 19), (11, 70), None, None),
    "bilinear_tall": ("bilinear", (31, 190), (13, 79), (3, 20, 7, 41), None),
    "bicubic_tall": ("bicubic", (31, 190), (13, 79), (3, 20, 7, 41), None),
    "bilinear_lower": ("bilinear", (40, 50), (40, 30), None, None),
    "bilinear_as_much_lower": ("bilinear", (60, 60), (50, 40), None, None),
    "bilinear_one_row": ("bilinear", (3000, 1), (256, 3), None, None),
    "bicubic_one_column": ("bicubic", (1, 3000), (3, 256), None, None),
    "bilinear_one_pixel": ("bilinear", (1, 1), (5, 4), None, None),
    "bicubic_one_pixel": ("bicubic", (1, 1), (5, 4), None, None),
    "bilinear_to_one_pixel": ("bilinear", (50, 40), (1, 1), None, None),
    "bicubic_to_one_pixel": ("bicubic", (50, 40), (1, 1), None, None),
    "bilinear_extreme_aspect": ("bilinear", (400, 2), (12800, 64), (6300, 10, 40, 40), None),
    "bilinear_box": ("bilinear", (40, 30), (16, 13), None, (0, 0, 39.25, 29.5)),
    "bicubic_box": ("bicubic", (40, 30), (16, 13), None, (0.875, 0.5, 40, 30)),
    "bilinear_one_output_column": ("bilinear", (64, 48), (32, 24), (31, 0, 1, 24), None),
}


def make_resizes():
    for seed, (name, (filter_name, source, size, crop, box)) in enumerate(RESIZES.items()):
        image = noise(*source, seed)
        box = box or (0, 0, *source)
        left, top, width, height = crop or (0, 0, *size)
        result = image.resize(size, FILTERS[filter_name], box=box).crop((left, top, left + width, top + height))
        head = (
            f"{filter_name} in {source[0]} {source[1]} box {box[0]} {box[2]} {box[1]} {box[3]} "
            f"out {size[0]} {size[1]} window {left} {top} {width} {height}\n"
        )
        (VECTORS / f"{name}.resize").write_bytes(head.encode() + image.tobytes() + result.tobytes())


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 85, **options})
    return out.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


def write(name, data, image):
    """A JPEG file and the pixels that it must become."""
    (VECTORS / f"{name}.jpg").write_bytes(data)
    (VECTORS / f"{name}.rgb").write_bytes(image.convert("RGB").tobytes())


def segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def exif(orientation, order):
    """An APP1 segment with two tags, one of them the orientation."""
    endian = {"II": "<", "MM": ">"}[order]
    tiff = order.encode() + struct.pack(endian + "HIH", 42, 8, 2)
    tiff += struct.pack(endian + "HHI4s", 0x010F, 2, 4, b"abc\0")
    tiff += struct.pack(endian + "HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(endian + "I", 0)
    return segment(0xE1, b"Exif\0\0" + tiff)


def with_segment(data, extra):
    return data[:2] + extra + data[2:]


def make_kinds():
    base = picture(61, 43)
    cmyk = Image.merge("CMYK", [*base.split(), base.convert("L").transpose(Image.Transpose.ROTATE_180)])
    kinds = {
        "baseline_444": jpeg(base, subsampling="4:4:4"),
        "baseline_422": jpeg(base, subsampling="4:2:2"),
        "baseline_420": jpeg(base, subsampling="4:2:0"),
        "baseline_restarts": jpeg(base, restart_marker_blocks=1),
        "progressive_420": jpeg(base, progressive=True, subsampling="4:2:0"),
        "progressive_444": jpeg(base, progressive=True, subsampling="4:4:4"),
        "grey": jpeg(base.convert("L")),
        "grey_progressive": jpeg(base.convert("L"), progressive=True),
        "rgb": jpeg(base, keep_rgb=True),
        "cmyk": jpeg(cmyk),
        "cmyk_progressive": jpeg(cmyk, progressive=True),
    }
    # Pillow writes no YCCK; a CMYK file whose Adobe segment says 2 is one, with odd but definite colours.
    adobe = b"Adobe\0\x64\0\0\0\0"
    assert kinds["cmyk"].count(adobe + b"\0") == 1
    kinds["ycck"] = kinds["cmyk"].replace(adobe + b"\0", adobe + b"\2")
    for name, data in kinds.items():
        write(name, data, opened(data))
    one = jpeg(picture(1, 1))
    write("one_pixel", one, opened(one))
    # Its last block is in the decoder's bit buffer before the last byte is read: only who goes on to the end marker
    # notices that there is none.
    last = jpeg(picture(20, 16).convert("L"))
    write("last_block_buffered", last, opened(last))


def make_orientations():
    plain = jpeg(picture(37, 23), quality=90)
    for orientation in range(1, 9):
        data = with_segment(plain, exif(orientation, "MM" if orientation % 2 else "II"))
        write(f"exif_{orientation}", data, ImageOps.exif_transpose(opened(data)))


def reversals(orientation):
    """Whether the shown axes x and y run against the stored ones that they come from."""
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)


def make_scaled():
    """Shorter side 9 and crop 9 x 9: the DCT may scale 157 pixels by 8, since 157 / 8 >= 2 * 9."""
    side = 9
    for orientation in range(1, 9):
        data = with_segment(jpeg(picture(203, 157), quality=60), exif(orientation, "II"))
        image = opened(data)
        image.draft(None, (24, 18))
        scaled = ImageOps.exif_transpose(image)
        width, height = (203, 157) if orientation < 5 else (157, 203)
        assert scaled.size == (-(-width // 8), -(-height // 8)), scaled.size
        size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
        box = [0, 0, width / 8, height / 8]
        reverse_x, reverse_y = reversals(orientation)
        if reverse_x:
            box[0], box[2] = scaled.width - width / 8, scaled.width
        if reverse_y:
            box[1], box[3] = scaled.height - height / 8, scaled.height
        result = scaled.resize(size, Image.Resampling.BILINEAR, box=box)
        left, top = (int(round((s - side) / 2.0)) for s in size)
        write(f"scaled_{orientation}", data, result.crop((left, top, left + side, top + side)))


def make_scans():
    """Progressive, 8 x 8, grey: one DC scan, and AC scans that say nothing, each in 12 bytes."""
    quantisation = segment(0xDB, b"\0" + bytes([1] * 64))
    frame = segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + bytes([1, 0x11, 0]))
    one_code = bytes([1] + [0] * 15)  # one code of one bit, for the value 0
    tables = segment(0xC4, b"\x00" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\0")
    dc = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\x7f"
    ac = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + b"\x7f"
    for n_scans in (64, 65):
        data = b"\xff\xd8" + quantisation + frame + tables + dc + ac * (n_scans - 1) + b"\xff\xd9"
        write(f"scans_{n_scans}", data, Image.new("RGB", (8, 8), (128, 128, 128)))


def digest(data):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def make_photographs(directory):
    """Orientation, RGB, shorter side 256 bilinear, centre crop 224."""
    lines = []
    for path in sorted(directory.glob("*.JPEG")):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        width, height = image.size
        size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
        left, top = (int(round((s - 224) / 2.0)) for s in size)
        image = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
        lines.append(f"{path.name}\t{digest(image.tobytes()):016x}\n")
    (VECTORS / "photographs.tsv").write_text("".join(lines))


def make_layout():
    """width, height, shorter side, crop width and height -> resized, first kept pixel, how many, zeros before."""
    from torchvision.transforms import functional

    def axis(resized, crop):
        # The pixels of a line tell where the crop took them from; 0 is padding.
        line = Image.fromarray(np.arange(1, resized + 1, dtype=np.int32)[np.newaxis, :])
        kept = np.asarray(functional.center_crop(line, [1, crop]))[0]
        inside = np.flatnonzero(kept)
        return resized, kept[inside[0]] - 1, inside.size, inside[0]

    lines = []
    for width, height, shorter, crop_width, crop_height in [
        (500, 375, 256, 224, 224), (375, 500, 256, 224, 224), (500, 333, 256, 224, 224), (501, 334, 255, 224, 224),
        (257, 256, 256, 224, 224), (256, 259, 256, 224, 224), (256, 261, 256, 224, 223), (1, 1, 7, 3, 5),
        (10, 1, 3, 8, 8), (1, 10, 3, 8, 9), (100, 90, 20, 33, 32), (90, 100, 20, 32, 33), (4000, 3000, 256, 224, 224),
        (299, 299, 299, 224, 224), (640, 481, 321, 300, 299), (65500, 999, 256, 224, 224),
    ]:
        probe = Image.new("L", (width, height))
        resized = functional.resize(probe, shorter).size
        x, y = axis(resized[0], crop_width), axis(resized[1], crop_height)
        lines.append("\t".join(map(str, (width, height, shorter, crop_width, crop_height, *x, *y))) + "\n")
    (VECTORS / "layout.tsv").write_text("".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--torchvision", action="store_true")
    arguments = parser.parse_args()
    VECTORS.mkdir(exist_ok=True)
    if arguments.photographs:
        make_photographs(arguments.photographs)
    elif arguments.torchvision:
        make_layout()
    else:
        make_resizes()
        make_kinds()
        make_orientations()
        make_scaled()
        make_scans()
