"""Photographs as phones send them: python3 enlarge.py FOLDER OUTPUT N baseline|progressive

The first N photographs of FOLDER by name, enlarged to 12 megapixels in their own proportions, as JPEG of quality 90.
"""
import pathlib
import sys

from PIL import Image

PIXELS = 12_000_000
QUALITY = 90


def main():
    folder, output, n, kind = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))[:n]
    for path in paths:
        image = Image.open(path).convert("RGB")
        scale = (PIXELS / (image.width * image.height)) ** 0.5
        size = round(image.width * scale), round(image.height * scale)
        image.resize(size, Image.BICUBIC).save(output / f"{path.stem}.jpg", quality=QUALITY, progressive=kind == "progressive")


if __name__ == "__main__":
    main()
