"""The photographs that the default model is calibrated on: those of scikit-image 0.19.3, and parts of them.

Fourteen photographs (people, a cat, a machine, textures, what microscopes and telescopes show) are too few to say what
ranges the values of a network take; parts of them, at other scales and some mirrored, are other pictures to it: 98 in
all. They are cut out and never resampled, so that they depend on no library's filters. None is in the repository: they
come from the published wheel, by its hash. Needs Pillow.
"""
import io
import zipfile

from PIL import Image, ImageOps

PACKAGE = "scikit-image"
VERSION = "0.19.3"
# One of the wheels, since all hold the same photographs; it is only read, so that any machine may take it.
PLATFORM = ("--only-binary=:all:", "--platform", "manylinux2014_x86_64", "--python-version", "3.9")
WHEEL_SHA256 = "ff3b1025356508d41f4fe48528e509d95f9e4015e90cf158cd58c56dc63e0ac5"

COLOUR = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png",
          "retina.jpg", "rocket.jpg")
GREY = ("brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png")


def part(photograph, side, x, y):
    return photograph.crop((x, y, x + side, y + side))


def views(photograph, columns, corners):
    """The whole; squares of two thirds of the shorter side, in two rows, every other one mirrored; squares of two
    fifths, their corners in quarters of the free width and thirds of the free height."""
    width, height = photograph.size
    views = [photograph]
    side = min(width, height) * 2 // 3
    for row in range(2):
        for column in range(columns):
            view = part(photograph, side, (width - side) * column // 2, (height - side) * row)
            views.append(ImageOps.mirror(view) if len(views) % 2 == 1 else view)
    side = min(width, height) * 2 // 5
    for column, row in corners:
        views.append(part(photograph, side, (width - side) * column // 4, (height - side) * row // 3))
    return views


def write(wheel, directory):
    """JPEG files of all views into directory: at quality 100, each pixel's colour its own."""
    with zipfile.ZipFile(wheel) as archive:
        for name in COLOUR + GREY:
            photograph = Image.open(io.BytesIO(archive.read(f"skimage/data/{name}"))).convert("RGB")
            columns, corners = (3, ((1, 1), (2, 2), (3, 1))) if name in COLOUR else (1, ())
            for index, view in enumerate(views(photograph, columns, corners)):
                view.save(directory / f"{name.split('.')[0]}-{index}.jpg", quality=100, subsampling=0)
