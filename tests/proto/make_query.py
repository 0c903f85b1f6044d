#!/usr/bin/env python3
"""Writes vectors/query.json: query strings and what Python's urllib.parse makes of them.

urllib.parse.parse_qsl() follows the URL standard's application/x-www-form-urlencoded parser where it is told to keep
blank values and to replace bad UTF-8. Bytes beyond ASCII are escaped before it sees them, which means the same to the
standard and spares the detour by str. Where proto/query.h is stricter than the standard, the vector says "error".
"""
import json
import pathlib
import random
import re
import urllib.parse

INPUTS = [
    b"", b"top_k", b"top_k=5", b"top_k=", b"=5", b"=", b"&", b"&&&", b"&a", b"a&", b"a&a", b"a&b&c", b"a=1&b=2",
    b"a=1&b=2&", b"&&a=1&&b=2&&", b"a=1&a=2&a=3", b"a==b", b"a=b=c", b"a=+b++c+", b"+=+", b"%61=%62", b"%4d%4D=x",
    b"a=%2B", b"a=%26%3D%25", b"a=1;b=2", b"a=?#/", b"m=caf%C3%A9", b"m=caf\xc3\xa9", b"m=caf%c3\xa9", b"%EF%BB%BFa=b",
    b"\xef\xbb\xbfa=b", b"a=%EF%BF%BF", b"a=%FE%FF", b"a=%C2", b"a=%C2x", b"a=%E2%82", b"a=%E2%82x", b"a=%E2%28%A1",
    b"a=%F0%9F%90%88", b"a=%F0%9F%90", b"a=%F0%80%80%80", b"a=%F4%90%80%80", b"a=%ED%A0%80", b"a=%C0%AF",
    b"a=%E0%80%AF", b"a=%80%80%80%80", b"a=%F5%80%80%80", b"a=\xff\xfe&\x80=1", b"a=\x01\x1f\x7f",
    # Stricter than the standard.
    b"%", b"a=%", b"a=1%", b"a=%4", b"a=%zz", b"a=%2", b"%=a", b"a=%%32", b"a=%2 0", b"a=%00", b"a=\x00b", b"a&b=%0",
    b"x=%g1", b"x=%1g",
]


def fuzzed(count):
    """Strings of the pieces that matter, always the same ones."""
    draw = random.Random(9110)
    pieces = [b"a", b"bc", b"=", b"&", b"+", b"%41", b"%26", b"%C3%A9", b"%C3", b"%A9", b"%E2%82%AC", b"%F0%9F", b"%ED%BF",
              b"\xc3\xa9", b"\xe2\x82", b"%f4%8F%bf%BF", b"%7E", b";"]
    return [b"".join(draw.choices(pieces, k=draw.randint(3, 14))) for _ in range(count)]


def is_refused(text):
    return b"\0" in text or re.search(rb"%(?![0-9A-Fa-f]{2})", text) or b"%00" in text


def vector(text):
    if is_refused(text):
        return {"input": text.hex(), "error": True}
    escaped = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in text)
    pairs = urllib.parse.parse_qsl(escaped, keep_blank_values=True, errors="replace", separator="&")
    return {"input": text.hex(), "pairs": [[part.encode().hex() for part in pair] for pair in pairs]}


vectors = [vector(text) for text in INPUTS + fuzzed(150)]
path = pathlib.Path(__file__).parent / "vectors" / "query.json"
path.write_text("[\n" + ",\n".join(json.dumps(v) for v in vectors) + "\n]\n")
