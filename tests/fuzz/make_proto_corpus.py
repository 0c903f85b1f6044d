#!/usr/bin/env python3
"""Writes the seeds of corpus/query and corpus/multipart from the vectors of tests/proto, beside what fuzzing has found."""
import json
import pathlib

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "proto" / "vectors"


def write(folder, number, seed):
    path = HERE / "corpus" / folder / f"seed-{number:03}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seed)


for number, vector in enumerate(json.loads((VECTORS / "query.json").read_text())[:80]):
    write("query", number, bytes.fromhex(vector["input"]))
for number, text in enumerate([b"top_k=5&model=resnet50&timeout_ms=100", b"top_k=1001", b"timeout_ms=600001", b"model="], 80):
    write("query", number, text)
for number, vector in enumerate(json.loads((VECTORS / "multipart.json").read_text())):
    write("multipart", number, vector["content_type"].encode() + b"\n" + bytes.fromhex(vector["body"]))
