#!/usr/bin/env python3
"""check_contract.py OPENAPI SAMPLES: what proto/ writes fits the contract, and the contract fits proto/.

SAMPLES is the program of samples.c.
"""
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "http"))
from contract import Contract, parse_json  # noqa: E402


def check(condition, text):
    if not condition:
        sys.exit(f"check_contract.py: {text}")


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def main(openapi, samples):
    contract = Contract(openapi)
    document = contract.document

    embedded = subprocess.run([samples, "openapi"], check=True, stdout=subprocess.PIPE).stdout
    check(embedded == pathlib.Path(openapi).read_bytes(), "the embedded contract is not proto/openapi.json")

    problems, n_checked = set(), 0
    for line in subprocess.run([samples], check=True, stdout=subprocess.PIPE).stdout.splitlines():
        schema, text = line.split(b"\t", 1)
        value = parse_json(text)
        contract.check_schema(value, schema.decode())
        if schema == b"Problem":
            problems.add(value["type"])
        n_checked += 1
    promised = set(document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
    check(problems == promised, f"problem types differ: {problems ^ promised}")

    n_examples = contract.check_examples()
    check(n_examples >= 6, "the contract has lost its examples")

    used = set(references(document))
    for kind, components in document["components"].items():
        for name in components:
            check(f"#/components/{kind}/{name}" in used, f"nothing refers to components/{kind}/{name}")

    # Limits that C and the contract both state.
    header = (pathlib.Path(openapi).parent / "classify.h").read_text()
    schemas = {p["name"]: p["schema"] for p in document["paths"]["/v1/classify"]["post"]["parameters"] if "name" in p}
    for macro, name, keyword in [("TOP_K_DEFAULT", "top_k", "default"), ("TOP_K_MAX", "top_k", "maximum"),
                                 ("TIMEOUT_MS_MAX", "timeout_ms", "maximum"), ("MODEL_NAME_MAX", "model", "maxLength")]:
        value = int(re.search(rf"CLASSIFY_{macro}\s+(\d+)u", header)[1])
        check(schemas[name][keyword] == value, f"{name}: {keyword} is {schemas[name][keyword]}, in classify.h {value}")
    print(json.dumps({"samples": n_checked, "examples": n_examples}))


main(*sys.argv[1:])
