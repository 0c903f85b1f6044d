"""What test_zoo.py and models.py share: exported files, inputs for them, and both engines on one input. Needs numpy."""
import json
import os
import pathlib
import subprocess

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 900

# Of the largest reference value. Attention sums over more and over larger numbers than a convolution does.
TOLERANCE = 1e-4
TOLERANCE_TRANSFORMER = 1e-3
TRANSFORMERS = ("maxvit", "swin", "vit")


def tolerance(name):
    return TOLERANCE_TRANSFORMER if name.startswith(TRANSFORMERS) else TOLERANCE


class Failure(Exception):
    """A program that ended with an error; the text is its last line."""


def run(command, environment=None):
    """What the program wrote to stdout."""
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Failure(f"took more than {TIMEOUT_S} s") from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        raise Failure(lines[-1] if lines else f"status {result.returncode}")
    return result.stdout


def environment_of(isa):
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    return {**environment, "ONEDNN_MAX_CPU_ISA": isa} if isa else environment


def cpu_flags():
    try:
        return set(pathlib.Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def export_python():
    """A Python that has torch and torchvision, or None."""
    python = os.environ.get("ZOO_PYTHON", "/usr/bin/python3")
    try:
        subprocess.run([python, "-c", "import torch, torchvision"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return python


class Exported:
    """One network in a directory, as export.py writes it."""

    def __init__(self, directory, name):
        self.directory, self.name = pathlib.Path(directory), name
        self.facts_path = self.directory / f"{name}.json"

    def make(self, python):
        """Exports it where it is not there yet."""
        if not self.facts_path.exists():
            run([python, str(HERE / "export.py"), str(self.directory), self.name])
        return self

    @property
    def path(self):
        file = self.directory / f"{self.name}.onnx"
        return file if file.exists() else self.directory / self.name / "model.onnx"

    @property
    def facts(self):
        return json.loads(self.facts_path.read_text())

    def files(self):
        """All that belongs to it, also what was kept beside it."""
        inner = self.directory / self.name
        return [*self.directory.glob(f"{self.name}.*"), *(inner.iterdir() if inner.is_dir() else ())]


def pictures(batch, side=224):
    """[N, 3, side, side]: noise over a gradient, each image another one, so that mixing them up shows. All are like those
    for which export.py made the statistics: with more contrast, gates that multiply (squeeze and excitation) let
    activations grow from layer to layer until the last bit of a picture decides."""
    random = np.random.default_rng(7)
    ramp = np.linspace(-0.2, 0.2, side, dtype=np.float32)
    images = random.standard_normal((batch, 3, side, side), np.float32)
    for index in range(batch):
        images[index] = images[index] * (0.7 + 0.08 * index) + (ramp[:, None] if index % 2 else ramp)
    return images


def infer(program, model, x, isa, scratch):
    """The network's output for x by `saccade infer`; scratch is a directory. Fails with Failure."""
    source, target = scratch / "x.npy", scratch / "y.npy"
    np.save(source, x)
    target.unlink(missing_ok=True)
    run([program, "infer", "--model", str(model), "--input", str(source), "--output", str(target)], environment_of(isa))
    return np.load(target)


def reference_steps(program, model, precision, isa):
    """Steps of its plan, as operator and kernel, that `saccade inspect` flags as reference implementations."""
    output = run([program, "inspect", str(model), "--json", "--precision", precision], environment_of(isa))
    return [(step["op"], step["kernel"]) for step in json.loads(output)["steps"] if step.get("reference")]


def relative_difference(y, reference):
    """The largest difference, each picture's in units of its own largest score, so that none hides behind another;
    infinite where the shape differs or a score is no number."""
    if y.shape != reference.shape or not np.isfinite(y).all():
        return float("inf")
    rows = (len(reference), -1)
    return float((np.abs(y - reference).reshape(rows).max(1) / np.abs(reference).reshape(rows).max(1)).max())
