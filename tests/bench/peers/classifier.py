"""What the peer servers have in common: ONNX Runtime's session, pre-processing by Pillow, the answer.

PEER_MODEL: a model directory (model.onnx, preprocessor_config.json) or a file, for which torchvision's ImageNet
pre-processing holds. PEER_THREADS: threads of ONNX Runtime (default 1).
"""
import io
import json
import os
import pathlib

import numpy as np
import onnxruntime
from PIL import Image

IMAGENET = {
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


class Preprocess:
    def __init__(self, config):
        self.side = config["size"]["shortest_edge"]
        self.crop = config["crop_size"]["width"], config["crop_size"]["height"]
        self.resample = config["resample"]
        # (pixel * rescale - mean) / std as one multiplication and one addition.
        deviation = np.array(config["image_std"], np.float32)
        self.scale = np.float32(config["rescale_factor"]) / deviation
        self.offset = -np.array(config["image_mean"], np.float32) / deviation

    def __call__(self, encoded):
        """JPEG bytes to [3, H, W]. Pillow, too, may decode at a smaller DCT scale."""
        image = Image.open(io.BytesIO(encoded))
        image.draft("RGB", (self.side, self.side))
        image = image.convert("RGB")
        ratio = self.side / min(image.size)
        size = [self.side if edge == min(image.size) else int(edge * ratio) for edge in image.size]
        left, top = (size[0] - self.crop[0]) // 2, (size[1] - self.crop[1]) // 2
        image = image.resize(size, self.resample).crop((left, top, left + self.crop[0], top + self.crop[1]))
        pixels = np.asarray(image, np.float32) * self.scale + self.offset
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def load():
    """The path of the ONNX file, and its pre-processing."""
    path = pathlib.Path(os.environ["PEER_MODEL"])
    config = path / "preprocessor_config.json"
    preprocess = Preprocess(json.loads(config.read_text()) if config.exists() else IMAGENET)
    return (path / "model.onnx" if path.is_dir() else path), preprocess


class Network:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("PEER_THREADS", "1"))
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, images):
        """[3, H, W] each -> an answer each."""
        (logits,) = self.session.run(None, {self.input: np.stack(images)})
        return [answer(row) for row in logits]


def answer(logits, k=5):
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    best = np.argpartition(-probabilities, k)[:k]
    best = best[np.argsort(-probabilities[best])]
    return {"predictions": [{"class_id": int(i), "probability": float(probabilities[i])} for i in best]}
