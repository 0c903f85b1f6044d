"""Checks answers of the server against its contract, proto/openapi.json. Standard library only.

    contract = Contract(path)                         or Contract.of(document)
    contract.check_response("POST", "/v1/classify", 200, headers, body)
    contract.check_schema(value, "Problem")

Both raise Mismatch, whose text names the place ("results[0].predictions[2].probability: 1.5 is above 1").

The validator knows the part of JSON Schema 2020-12 that the contract uses. A keyword that it does not know is an error,
so that a schema never seems to be checked while it is not.
"""
import json
import re

# Said about a schema for people, without a rule for values.
ANNOTATIONS = {"description", "title", "default", "example", "examples", "contentMediaType"}

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    # JSON Schema takes 1.0 for an integer too, but cJSON, Go and Rust do not all: the contract promises digits only.
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


class Mismatch(AssertionError):
    """What was answered is not what the contract promises."""


def _refuse_constant(name):
    raise Mismatch(f"{name} is no JSON")


def _refuse_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise Mismatch(f"a member comes twice: {keys}")
    return dict(pairs)


def parse_json(text):
    """JSON as RFC 8259 has it: no NaN, no member twice, UTF-8 only."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
    except ValueError as error:
        raise Mismatch(f"not JSON in UTF-8: {error}: {text[:200]!r}") from error


def _equal(a, b):
    """Equality of JSON values: Python's True == 1 does not hold there."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


class Contract:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = parse_json(file.read())

    @classmethod
    def of(cls, document):
        contract = cls.__new__(cls)
        contract.document = document
        return contract

    def resolve(self, node):
        """Follows $ref within the document."""
        while "$ref" in node:
            if set(node) - {"$ref", "description", "summary"}:
                raise Mismatch(f"$ref beside other keywords: {sorted(node)}")
            pointer = node["$ref"]
            if not pointer.startswith("#/"):
                raise Mismatch(f"$ref '{pointer}' leaves the document")
            node = self.document
            for step in pointer[2:].split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                if step not in node:
                    raise Mismatch(f"$ref '{pointer}' points to nothing")
                node = node[step]
        return node

    def check_schema(self, value, schema, where="$"):
        """schema: a schema object, or the name of one in components/schemas."""
        if isinstance(schema, str):
            schema = {"$ref": f"#/components/schemas/{schema}"}
        schema = self.resolve(schema)
        for keyword, argument in schema.items():
            if keyword in ANNOTATIONS:
                continue
            rule = getattr(self, "_rule_" + keyword, None)
            if rule is None:
                raise Mismatch(f"{where}: the checker does not know the keyword '{keyword}'")
            rule(value, argument, schema, where)

    def _rule_type(self, value, names, _schema, where):
        names = [names] if isinstance(names, str) else names
        if not any(TYPES[name](value) for name in names):
            raise Mismatch(f"{where}: {value!r} is no {' or '.join(names)}")

    def _rule_enum(self, value, values, _schema, where):
        if not any(_equal(value, one) for one in values):
            raise Mismatch(f"{where}: {value!r} is none of {values}")

    def _rule_const(self, value, only, _schema, where):
        if not _equal(value, only):
            raise Mismatch(f"{where}: {value!r} is not {only!r}")

    def _rule_minimum(self, value, minimum, _schema, where):
        if TYPES["number"](value) and value < minimum:
            raise Mismatch(f"{where}: {value} is below {minimum}")

    def _rule_maximum(self, value, maximum, _schema, where):
        if TYPES["number"](value) and value > maximum:
            raise Mismatch(f"{where}: {value} is above {maximum}")

    def _rule_minLength(self, value, minimum, _schema, where):
        if isinstance(value, str) and len(value) < minimum:
            raise Mismatch(f"{where}: {value!r} is shorter than {minimum}")

    def _rule_maxLength(self, value, maximum, _schema, where):
        if isinstance(value, str) and len(value) > maximum:
            raise Mismatch(f"{where}: {value[:40]!r}... is longer than {maximum}")

    def _rule_pattern(self, value, pattern, _schema, where):
        if isinstance(value, str) and not re.search(pattern, value):
            raise Mismatch(f"{where}: {value!r} does not match {pattern}")

    def _rule_minItems(self, value, minimum, _schema, where):
        if isinstance(value, list) and len(value) < minimum:
            raise Mismatch(f"{where}: {len(value)} items are fewer than {minimum}")

    def _rule_maxItems(self, value, maximum, _schema, where):
        if isinstance(value, list) and len(value) > maximum:
            raise Mismatch(f"{where}: {len(value)} items are more than {maximum}")

    def _rule_items(self, value, schema, _schema, where):
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.check_schema(item, schema, f"{where}[{index}]")

    def _rule_required(self, value, names, _schema, where):
        if isinstance(value, dict):
            missing = [name for name in names if name not in value]
            if missing:
                raise Mismatch(f"{where}: lacks {', '.join(missing)}")

    def _rule_properties(self, value, properties, _schema, where):
        if isinstance(value, dict):
            for name, schema in properties.items():
                if name in value:
                    self.check_schema(value[name], schema, f"{where}.{name}")

    def _rule_additionalProperties(self, value, allowed, schema, where):
        if not isinstance(value, dict):
            return
        for name in value.keys() - schema.get("properties", {}).keys():
            if allowed is False:
                raise Mismatch(f"{where}: has '{name}', which the contract does not know")
            if allowed is not True:
                self.check_schema(value[name], allowed, f"{where}.{name}")

    def _failures(self, value, schemas, where):
        failures = []
        for schema in schemas:
            try:
                self.check_schema(value, schema, where)
            except Mismatch as mismatch:
                failures.append(str(mismatch))
        return failures

    def _rule_oneOf(self, value, schemas, _schema, where):
        failures = self._failures(value, schemas, where)
        n_fitting = len(schemas) - len(failures)
        if n_fitting != 1:
            raise Mismatch(f"{where}: fits {n_fitting} of the alternatives, not one: {'; '.join(failures)}")

    def _rule_anyOf(self, value, schemas, _schema, where):
        failures = self._failures(value, schemas, where)
        if len(failures) == len(schemas):
            raise Mismatch(f"{where}: fits no alternative: {'; '.join(failures)}")

    def operation(self, method, path):
        """The operation of a concrete path, which a template like /v1/models/{name} may stand for."""
        path = path.split("?")[0]
        for template, item in self.document["paths"].items():
            parts = re.split(r"\{[^}]*\}", template)
            if re.fullmatch("[^/]+".join(map(re.escape, parts)), path):
                if method.lower() in item:
                    return item[method.lower()]
                # What answers a wrong method is promised by the methods that exist.
                return next(iter(item.values()))
        return None

    def check_response(self, method, path, status, headers, body):
        """headers: pairs or a mapping; body: bytes. Returns the parsed JSON, or the text of other types."""
        headers = {name.lower(): value for name, value in dict(headers).items()}
        where = f"{method} {path} {status}"
        operation = self.operation(method, path)
        if operation is None:
            # Any other path is answered alike.
            if status not in (404, 431):
                raise Mismatch(f"{where}: the contract does not know this path")
            response = {"$ref": f"#/components/responses/{'NotFound' if status == 404 else 'HeadersTooLarge'}"}
        elif str(status) in operation["responses"]:
            response = operation["responses"][str(status)]
        else:
            raise Mismatch(f"{where}: the contract knows only {sorted(operation['responses'])}")
        response = self.resolve(response)
        self._check_headers(response, headers, where)
        if method == "HEAD":
            return None
        return self._check_content(response, status, headers, body, where)

    def _check_headers(self, response, headers, where):
        for name, header in response.get("headers", {}).items():
            header = self.resolve(header)
            value = headers.get(name.lower())
            if value is None:
                if header.get("required"):
                    raise Mismatch(f"{where}: lacks the header {name}")
                continue
            if header["schema"].get("type") == "integer":
                if not re.fullmatch("[0-9]+", value):
                    raise Mismatch(f"{where}: header {name}: {value!r} is no whole number")
                value = int(value)
            self.check_schema(value, header["schema"], f"{where}: header {name}")

    def _check_content(self, response, status, headers, body, where):
        content = response.get("content", {})
        media_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type not in content:
            raise Mismatch(f"{where}: Content-Type is '{media_type}', not one of {sorted(content)}")
        schema = content[media_type].get("schema", {})
        if not media_type.endswith("json"):
            return body.decode()
        value = parse_json(body)
        self.check_schema(value, schema, f"{where}: $")
        if media_type == "application/problem+json" and value["status"] != status:
            raise Mismatch(f"{where}: the problem says status {value['status']}")
        return value

    def check_examples(self):
        """Every example of the document fits its own schema; returns how many there are."""
        n_examples = 0
        operations = [operation for item in self.document["paths"].values() for operation in item.values()]
        responses = [response for operation in operations for response in operation["responses"].values()]
        for response in map(self.resolve, responses):
            for media in response.get("content", {}).values():
                for name, example in media.get("examples", {}).items():
                    self.check_schema(example["value"], media["schema"], f"example '{name}'")
                    n_examples += 1
        return n_examples
