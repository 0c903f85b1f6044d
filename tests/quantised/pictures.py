"""Photographs as a network's input, by Pillow and NumPy: what quantisation is calibrated and measured on."""
import json
import pathlib

import numpy as np

SUFFIXES = (".jpg", ".jpeg")


def files(directory):
    """Sorted by name; IMAGES/labels.tsv does not matter here."""
    return sorted(path for path in pathlib.Path(directory).iterdir() if path.suffix.lower() in SUFFIXES)


def spread(paths, count):
    """So many of them, at even distances, so that no class is preferred."""
    if count >= len(paths):
        return list(paths)
    return [paths[index * len(paths) // count] for index in range(count)]


class Preprocessing:
    """Resize of the shorter side by Pillow's bilinear filter, centre crop, (x / 255 - mean) / deviation."""

    def __init__(self, resize=256, crop=224, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)):
        self.resize, self.crop = resize, crop
        self.mean, self.deviation = np.array(mean, np.float32), np.array(deviation, np.float32)

    @classmethod
    def of(cls, model):
        """What preprocessor_config.json in the model's directory says; torchvision's values where there is none."""
        path = pathlib.Path(model) / "preprocessor_config.json"
        if not path.is_file():
            return cls()
        config = json.loads(path.read_text())
        return cls(config["size"]["shortest_edge"], config["crop_size"]["height"], config["image_mean"],
                   config["image_std"])

    def read(self, path):
        """float32 [3, crop, crop]"""
        from PIL import Image

        image = Image.open(path).convert("RGB")
        scale = self.resize / min(image.size)
        image = image.resize([max(self.resize, int(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
        left, top = ((side - self.crop) // 2 for side in image.size)
        pixels = np.asarray(image.crop((left, top, left + self.crop, top + self.crop)), np.float32) / 255
        return np.ascontiguousarray(((pixels - self.mean) / self.deviation).transpose(2, 0, 1))
