"""Times ONNX Runtime alone: python3 ort_engine.py MODEL.onnx THREADS BATCH SECONDS -> one line of JSON"""
import json
import statistics
import sys
import time

import numpy as np
import onnxruntime

WARM_UP_RUNS = 3
MIN_RUNS = 5


def main():
    path, threads, batch, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    shape = [batch] + [size if isinstance(size, int) else 224 for size in first.shape[1:]]
    feed = {first.name: np.random.default_rng(1).standard_normal(shape, np.float32)}
    for _ in range(WARM_UP_RUNS):
        session.run(None, feed)
    times_ms = []
    deadline = time.perf_counter() + seconds
    while len(times_ms) < MIN_RUNS or time.perf_counter() < deadline:
        start = time.perf_counter()
        session.run(None, feed)
        times_ms.append(1e3 * (time.perf_counter() - start))
    median_ms = statistics.median(times_ms)
    print(json.dumps({"median_ms": median_ms, "min_ms": min(times_ms), "version": onnxruntime.__version__}))


if __name__ == "__main__":
    main()
