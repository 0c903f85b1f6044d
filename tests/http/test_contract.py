#!/usr/bin/env python3
"""The contract checker must itself fail where it should: each rule is shown a value on either side of it."""
import pathlib
import unittest

from contract import Contract, Mismatch, parse_json

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "proto" / "openapi.json"

PREDICTION = {"class_id": 285, "label": "Egyptian cat", "probability": 0.5}
IMAGE = {"id": "0", "width": 4, "height": 3, "predictions": [PREDICTION]}
PROBLEM = {"type": "urn:saccade:problem:queue-full", "title": "Queue full", "status": 429, "detail": "wait"}
ANSWER = {
    "id": "r",
    "model": {"name": "m", "version": "0123456789ab", "precision": "f32"},
    "results": [IMAGE],
    "latency_ms": {"receive": 0, "decode": 1.5, "queue": 0, "infer": 1, "total": 3},
    "batch_size": 1,
}


def changed(value, path, new):
    """A copy of value in which the member at path is new; ... removes it."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]] if len(path) > 1 else None, path[1:], new)
    return copy


class SchemaRules(unittest.TestCase):
    RULES = [
        ({"type": "object"}, [{}], [[], None, "x"]),
        ({"type": "integer"}, [0, -1], [1.0, 1.5, True, "1", None]),
        ({"type": "number"}, [0, 1.5], [True, "1", None]),
        ({"type": "boolean"}, [True], [0, None]),
        ({"type": ["string", "null"]}, ["x", None], [0, []]),
        ({"enum": ["a", 1]}, ["a", 1], ["b", True, 1.5]),
        ({"const": 1}, [1], [True, 2]),
        ({"minimum": 1}, [1, "x"], [0.5]),
        ({"maximum": 1}, [1, "x"], [1.5]),
        ({"minLength": 1}, ["x", 0], [""]),
        ({"maxLength": 1}, ["x", 22], ["xx"]),
        ({"pattern": "^[0-9]$"}, ["1"], ["11", "x"]),
        ({"minItems": 1}, [[0]], [[]]),
        ({"maxItems": 1}, [[0]], [[0, 0]]),
        ({"items": {"type": "string"}}, [[], ["x"]], [["x", 1]]),
        ({"required": ["a"]}, [{"a": None}], [{}]),
        ({"properties": {"a": {"type": "string"}}}, [{}, {"a": "x"}, {"b": 1}], [{"a": 1}]),
        ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"a": 1, "b": 1}]),
        ({"additionalProperties": {"type": "string"}}, [{"x": "y"}], [{"x": 1}]),
        ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [1, 5.5], [5, 1.5]),
        ({"anyOf": [{"type": "integer"}, {"minimum": 5}]}, [1, 5, 5.5], [1.5]),
        ({"$ref": "#/components/schemas/S"}, ["x"], [1]),
    ]

    def test_each_rule_takes_and_refuses(self):
        contract = Contract.of({"components": {"schemas": {"S": {"type": "string"}}}})
        for schema, good, bad in self.RULES:
            for value in good:
                with self.subTest(schema=schema, good=value):
                    contract.check_schema(value, schema)
            for value in bad:
                with self.subTest(schema=schema, bad=value), self.assertRaises(Mismatch):
                    contract.check_schema(value, schema)

    def test_an_unknown_keyword_is_an_error(self):
        with self.assertRaisesRegex(Mismatch, "does not know the keyword 'multipleOf'"):
            Contract.of({}).check_schema(4, {"multipleOf": 2})

    def test_a_reference_to_nothing_is_an_error(self):
        with self.assertRaisesRegex(Mismatch, "points to nothing"):
            Contract.of({"components": {}}).check_schema(4, {"$ref": "#/components/schemas/S"})

    def test_json_is_strict(self):
        self.assertEqual(parse_json(b'{"a": [1.5, null]}'), {"a": [1.5, None]})
        for bad in [b'{"a": NaN}', b'{"a": 1, "a": 2}', b'"\xff"', b"", b"{} x"]:
            with self.subTest(bad=bad), self.assertRaises(Mismatch):
                parse_json(bad)


class Answers(unittest.TestCase):
    def setUp(self):
        self.contract = Contract(DOCUMENT)

    def test_a_good_answer_is_taken(self):
        self.contract.check_schema(ANSWER, "Classification")
        failed = {"id": "0", "error": PROBLEM}
        self.contract.check_schema(changed(ANSWER, ["results", 0], failed), "Classification")

    def test_a_changed_answer_is_refused_and_the_place_named(self):
        for path, new, text in [
            (["id"], ..., r"\$: lacks id"),
            (["extra"], 1, "'extra', which the contract does not know"),
            (["results"], [], "fewer than 1"),
            (["results", 0, "predictions", 0, "probability"], 1.5, r"probability: 1.5 is above 1"),
            (["results", 0, "predictions", 0, "probability"], "0.5", "is no number"),
            (["results", 0, "predictions", 0, "class_id"], -1, "is below 0"),
            (["results", 0, "width"], 0, "width: 0 is below 1"),
            (["results", 0, "error"], PROBLEM, "fits 0 of the alternatives"),
            (["results", 0, "predictions"], ..., "lacks predictions"),
            (["latency_ms", "infer"], ..., "latency_ms: lacks infer"),
            (["latency_ms", "infer"], -0.1, "is below 0"),
            (["model", "version"], "abc", "does not match"),
            (["batch_size"], 1.0, "is no integer"),
        ]:
            with self.subTest(path=path), self.assertRaisesRegex(Mismatch, text):
                self.contract.check_schema(changed(ANSWER, path, new), "Classification")


class Responses(unittest.TestCase):
    JSON = {"Content-Type": "application/json", "X-Request-ID": "r"}
    PROBLEM_JSON = {"Content-Type": "application/problem+json", "X-Request-ID": "r"}
    OK = b'{"status":"ok"}'

    def setUp(self):
        self.contract = Contract(DOCUMENT)

    def problem(self, slug, status):
        return (f'{{"type":"urn:saccade:problem:{slug}","title":"t","status":{status},"detail":"d"}}').encode()

    def test_good_responses_are_taken(self):
        check = self.contract.check_response
        self.assertEqual(check("GET", "/livez", 200, self.JSON, self.OK), {"status": "ok"})
        check("GET", "/livez", 200, {**self.JSON, "content-type": "application/json; charset=utf-8"}, self.OK)
        check("GET", "/v1/models/no%20such", 404, self.PROBLEM_JSON, self.problem("not-found", 404))
        check("GET", "/nothing", 404, self.PROBLEM_JSON, self.problem("not-found", 404))
        check("PUT", "/v1/classify?top_k=1", 405, {**self.PROBLEM_JSON, "Allow": "POST"},
              self.problem("method-not-allowed", 405))
        check("POST", "/v1/classify", 429, {**self.PROBLEM_JSON, "Retry-After": "2"}, self.problem("queue-full", 429))
        check("GET", "/metrics", 200, {"Content-Type": "text/plain; version=0.0.4"}, b"up 1\n")

    def test_bad_responses_are_refused_and_the_reason_named(self):
        full = self.problem("queue-full", 429)
        for method, path, status, headers, body, text in [
            ("GET", "/livez", 200, {"X-Request-ID": "r"}, self.OK, "Content-Type is ''"),
            ("GET", "/livez", 200, {"Content-Type": "application/json"}, self.OK, "lacks the header X-Request-ID"),
            ("GET", "/livez", 200, self.JSON, b'{"status":"fine"}', "is none of"),
            ("GET", "/livez", 200, self.JSON, b"ok", "not JSON"),
            ("GET", "/livez", 302, self.JSON, b"", "the contract knows only"),
            ("GET", "/nothing", 200, self.JSON, self.OK, "does not know this path"),
            ("GET", "/v1/models/a/b", 200, self.JSON, self.OK, "does not know this path"),
            ("POST", "/v1/classify", 429, self.PROBLEM_JSON, full, "lacks the header Retry-After"),
            ("POST", "/v1/classify", 429, {**self.PROBLEM_JSON, "Retry-After": "1.5"}, full, "no whole number"),
            ("POST", "/v1/classify", 429, {**self.PROBLEM_JSON, "Retry-After": "0"}, full, "below 1"),
            ("POST", "/v1/classify", 400, self.PROBLEM_JSON, full, "the problem says status 429"),
            ("POST", "/v1/classify", 400, self.JSON, full, "Content-Type is 'application/json'"),
            ("PUT", "/v1/classify", 405, self.PROBLEM_JSON, self.problem("method-not-allowed", 405), "header Allow"),
        ]:
            with self.subTest(text=text), self.assertRaisesRegex(Mismatch, text):
                self.contract.check_response(method, path, status, headers, body)


if __name__ == "__main__":
    unittest.main()
