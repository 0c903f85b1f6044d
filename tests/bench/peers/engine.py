"""Times one inference engine alone, in a process of its own, and prints one line of JSON:

    python3 engine.py ort|openvino|mnn MODEL.onnx --input X.npy [--threads N] [--seconds S] [--output Y.npy]

X.npy is float32 [N, C, H, W]; Y.npy gets what the network gives, to be compared. MNN runs a format of its own:
--mnn says where the converted model is kept; it is made where it is missing, which is not timed.

--precision is a hint that OpenVINO takes; "own" leaves it the choice, as quantised models need it to be fastest.
"exact" is for ONNX Runtime: no graph optimisation, each operator as the file has it.
--each runs the pictures of X.npy one by one, once, and tells the median.

An engine is warm after at least WARM_UP_RUNS runs and WARM_UP_S seconds, as in `saccade bench`.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

WARM_UP_RUNS, WARM_UP_S, MIN_RUNS = 3, 0.2, 3


def onnxruntime_engine(path, x, threads, converted, precision):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if precision == "exact":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return onnxruntime.__version__, lambda: session.run(None, feed)[0]


def openvino_engine(path, x, threads, converted, precision):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({model.input(0): list(x.shape)})
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision != "own":
        hints["INFERENCE_PRECISION_HINT"] = precision
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    # Views instead of copies of input and output: the fastest that its Python interface has.
    return openvino.__version__.split("-")[0], lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)[0]


def convert_for_mnn(path, converted):
    """mnnconvert lies beside the interpreter; the result appears whole or not at all."""
    unfinished = pathlib.Path(f"{converted}.{os.getpid()}")
    program = pathlib.Path(sys.executable).parent / "mnnconvert"
    command = [program, "-f", "ONNX", "--modelFile", path, "--MNNModel", unfinished, "--bizCode", "none"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0 or not unfinished.exists():
        sys.exit(f"mnnconvert failed: {(result.stdout + result.stderr).strip()[-300:]}")
    unfinished.rename(converted)


def mnn_engine(path, x, threads, converted, precision):
    import MNN
    import onnx

    if not converted.exists():
        convert_for_mnn(path, converted)
    # The names are in the file: not every exporter calls them "input" and "output".
    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "high"},))
    module = MNN.nn.load_module_from_file(str(converted), inputs, [graph.output[0].name], runtime_manager=manager)
    variable = MNN.expr.const(x, list(x.shape), MNN.expr.NCHW)
    return MNN.version(), lambda: module.forward([variable])[0].read()


ENGINES = {"ort": onnxruntime_engine, "openvino": openvino_engine, "mnn": mnn_engine}


def measure(run, seconds):
    started, runs = time.perf_counter(), 0
    while runs < WARM_UP_RUNS or time.perf_counter() - started < WARM_UP_S:
        run()
        runs += 1
    times_ms = []
    started = time.perf_counter()
    while len(times_ms) < MIN_RUNS or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        run()
        times_ms.append(1e3 * (time.perf_counter() - before))
    return {"median_ms": statistics.median(times_ms), "min_ms": min(times_ms), "runs": len(times_ms)}


def measure_each(engine, x, output):
    """engine: as the functions above without x. Outputs go to a file, the answer is the line of JSON."""
    picture = x[:1].copy()
    version, run = engine(picture)
    outputs, times_ms = [], []
    for _ in range(WARM_UP_RUNS):
        run()
    for index in range(len(x)):
        picture[:] = x[index]
        before = time.perf_counter()
        y = run()
        times_ms.append(1e3 * (time.perf_counter() - before))
        outputs.append(np.array(y, np.float32).reshape(-1))
    np.save(output, np.stack(outputs))
    return {"version": version, "median_ms": statistics.median(times_ms), "min_ms": min(times_ms), "runs": len(x)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--input", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output")
    parser.add_argument("--precision", choices=("f32", "bf16", "own", "exact"), default="f32")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--mnn", type=pathlib.Path)
    options = parser.parse_args()
    x = np.load(options.input)
    converted = options.mnn or pathlib.Path(f"{options.model}.mnn")
    if options.each:
        def engine(picture):
            return ENGINES[options.engine](options.model, picture, options.threads, converted, options.precision)

        print(json.dumps(measure_each(engine, x, options.output)))
        return
    version, run = ENGINES[options.engine](options.model, x, options.threads, converted, options.precision)
    if options.output:
        np.save(options.output, np.array(run(), np.float32).reshape(x.shape[0], -1))
    print(json.dumps({"version": version, **measure(run, options.seconds)}))


if __name__ == "__main__":
    main()
