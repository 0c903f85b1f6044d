#!/usr/bin/env python3
"""Exports torchvision's classifiers as a user would, with random weights.

    python3 export.py DIRECTORY [NAME...]    writes DIRECTORY/NAME.onnx, and what is to be known of it: NAME.json
    python3 export.py --list                 the names: torchvision.models.list_models(), and NAME_batch_norm

Needs torch and torchvision (Debian 12: python3-torch, python3-torchvision; versions 1.13 and 0.14). What passes
protobuf's 2 GiB becomes DIRECTORY/NAME/model.onnx with its weights in files beside it, as the exporter does it.

The picture has the smallest size for which torchvision has weights of that network (224 for most). Opsets 11 to 17 go
round over the names in alphabetical order, so that each family is written in several; --opset takes one for all. The
batch axis is open; --batch N fixes it.

Weights come from a fixed seed, and every parameter is moved away from what a network begins with, where a part of it
does nothing: BatchNormalization gets scales and shifts away from 1 and 0, and the statistics of what really flows
through it, so that folding it wrongly shows and activations neither vanish nor explode with depth; so do
LayerNorm, ConvNeXt's layer scales (1e-6), biases, relative positions, and ViT's head and class token (0). The exporter
folds BatchNormalization into convolutions by itself; NAME_batch_norm keeps the nodes in the file.
"""
import argparse
import json
import pathlib
import warnings

import torch
import torchvision

SEED = 20
OPSETS = range(11, 18)
CALIBRATION_PIXELS = 8 * 224 * 224
PROTOBUF_MAX_BYTES = 2 << 30
KEEP_BATCH_NORM = "_batch_norm"


def names():
    return torchvision.models.list_models(module=torchvision.models)


def side_of(name):
    """Pixels of the smallest picture for which torchvision has weights."""
    return min(weights.transforms().crop_size[0] for weights in torchvision.models.get_model_weights(name))


def wake(model):
    """Moves away from their first value the parameters that begin as nothing."""
    for name, parameter in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if last == "layer_scale":
            torch.nn.init.uniform_(parameter, 0.2, 0.6)
        elif last == "class_token":
            torch.nn.init.normal_(parameter)
        elif last in ("pos_embedding", "relative_position_bias_table"):
            torch.nn.init.normal_(parameter, std=0.5)
        elif last in ("bias", "in_proj_bias"):
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.uniform_(module.bias, -0.4, 0.4)


def seeded(name, side):
    torch.manual_seed(SEED)
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    wake(model)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in norms:
        module.momentum = None  # a plain average over the calibration batches
    if norms:
        model.train()
        with torch.no_grad():
            model(torch.randn(max(2, CALIBRATION_PIXELS // side**2), 3, side, side))
    return model.eval()


def export(name, directory, opset=None, batch=None):
    """Writes the file, returns its path."""
    plain = name.removesuffix(KEEP_BATCH_NORM)
    side = side_of(plain)
    model = seeded(plain, side)
    opset = opset or OPSETS[names().index(plain) % len(OPSETS)]
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    path = directory / f"{name}.onnx"
    if 4 * n_parameters > PROTOBUF_MAX_BYTES:
        path = directory / name / "model.onnx"
        path.parent.mkdir(exist_ok=True)
    mode = torch.onnx.TrainingMode.PRESERVE if name != plain else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        # Debian builds torch without Caffe2, which the exporter mentions each time; and tracing warns of each shape.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            torch.randn(batch or 1, 3, side, side),
            str(path),
            opset_version=opset,
            training=mode,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=None if batch else {"input": {0: "N"}, "output": {0: "N"}},
        )
    facts = {"side": side, "opset": opset, "parameters": n_parameters, "batch": batch}
    (directory / f"{name}.json").write_text(json.dumps(facts) + "\n")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path, nargs="?")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="write the names, export nothing")
    parser.add_argument("--opset", type=int, help="for all, instead of 11 to 17 in turn")
    parser.add_argument("--batch", type=int, help="a fixed batch axis")
    options = parser.parse_args()
    if options.list:
        print("\n".join(names()))
        return
    if not options.directory:
        parser.error("no DIRECTORY")
    unknown = {name.removesuffix(KEEP_BATCH_NORM) for name in options.names} - set(names())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list writes the names")
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in options.names or names():
        path = export(name, options.directory, options.opset, options.batch)
        size = sum(file.stat().st_size for file in ([path] if path.stem == name else path.parent.iterdir()))
        print(f"{path}: {size} bytes", flush=True)


if __name__ == "__main__":
    main()
