"""mosec and ONNX Runtime: a Rust front, decoding in processes of its own, dynamic batches. POST /inference

    PEER_MODEL=... PEER_DECODERS=2 python3 tests/bench/peers/mosec_server.py --address 127.0.0.1 --port PORT
"""
import os

from classifier import Network, load
from mosec import Server, Worker

MAX_BATCH_IMAGES = 8
MAX_WAIT_MS = 5


class Decode(Worker):
    def __init__(self):
        super().__init__()
        self.preprocess = load()[1]

    def deserialize(self, data):
        return data

    def forward(self, data):
        return self.preprocess(data)


class Infer(Worker):
    def __init__(self):
        super().__init__()
        self.network = Network(load()[0])

    def forward(self, data):
        return self.network(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=int(os.environ.get("PEER_DECODERS", "1")))
    server.append_worker(Infer, num=1, max_batch_size=MAX_BATCH_IMAGES, max_wait_time=MAX_WAIT_MS)
    server.run()
