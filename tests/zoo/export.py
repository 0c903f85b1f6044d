#!/usr/bin/env python3
"""Exports torchvision's classifiers as a user would, with random weights.

    python3 export.py DIRECTORY [NAME...]    writes DIRECTORY/NAME.onnx; names: see MODELS

Needs torch and torchvision (Debian 12: python3-torch, python3-torchvision; versions 1.13 and 0.14).

Weights come from a fixed seed. BatchNormalization gets scales and shifts away from 1 and 0, and the statistics of what
really flows through it, so that folding it wrongly shows and activations neither vanish nor explode with depth.
The exporter folds BatchNormalization into convolutions by itself; NAME_batch_norm keeps the nodes in the file.
"""
import argparse
import pathlib
import warnings

import torch
import torchvision

SEED = 20
CALIBRATION_IMAGES = 8
MODELS = {
    "resnet18": (torchvision.models.resnet18, False),
    "resnet18_batch_norm": (torchvision.models.resnet18, True),
    "resnet50": (torchvision.models.resnet50, False),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, False),
    "mobilenet_v2_batch_norm": (torchvision.models.mobilenet_v2, True),
}


def seeded(build):
    torch.manual_seed(SEED)
    model = build(weights=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.uniform_(module.bias, -0.4, 0.4)
            module.momentum = None  # a plain average over the calibration batches
    model.train()
    with torch.no_grad():
        model(torch.randn(CALIBRATION_IMAGES, 3, 224, 224))
    return model.eval()


def export(name, path):
    build, keep_batch_norm = MODELS[name]
    mode = torch.onnx.TrainingMode.PRESERVE if keep_batch_norm else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        # Debian builds torch without Caffe2, which the exporter mentions each time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            seeded(build),
            torch.randn(1, 3, 224, 224),
            str(path),
            opset_version=13,
            training=mode,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODELS))
    options = parser.parse_args()
    unknown = set(options.names) - set(MODELS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in options.names or MODELS:
        path = options.directory / f"{name}.onnx"
        export(name, path)
        print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
