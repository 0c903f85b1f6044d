#!/usr/bin/env python3
"""Writes vectors/multipart.json: form bodies, and the parts that they hold.

Bodies of two origins. What curl and urllib3 (PyPI) really send for given names and files, recorded here: the parts must
be what was handed to the client. And bodies written by hand for the corners of RFC 2046, of which the parts are those
that Python's email package finds. Boundaries are made the same in every run, so that the file does not change.
"""
import email
import email.policy
import http.server
import json
import pathlib
import re
import subprocess
import tempfile
import threading

import urllib3

JPEG_LIKE = bytes(range(256)) + b"\r\n--\r\n\r\n" + b"\xff\xd8\xff\xd9"


class Recorder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.recorded = (self.headers["Content-Type"], body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def with_fixed_boundary(content_type, body):
    boundary = re.search(r'boundary="?([^";]+)', content_type)[1]
    fixed = "-" * (len(boundary) - 12) + "0123456789ab"
    return content_type.replace(boundary, fixed), body.replace(boundary.encode(), fixed.encode())


def vector(name, content_type, body, parts):
    return {
        "name": name, "content_type": content_type, "body": body.hex(),
        "parts": [{"name": n.encode().hex(), "filename": None if f is None else f.encode().hex(), "bytes": b.hex()}
                  for n, f, b in parts],
    }


def curl_vectors(server, url):
    def record(name, arguments, parts):
        subprocess.run(["curl", "-sS", "-H", "Expect:", *arguments, url], check=True)
        return vector("curl: " + name, *with_fixed_boundary(*server.recorded), parts)

    with tempfile.TemporaryDirectory() as folder:
        picture, empty = pathlib.Path(folder, "cat.jpg"), pathlib.Path(folder, "empty.jpg")
        picture.write_bytes(JPEG_LIKE)
        empty.write_bytes(b"")
        yield record("one file", ["-F", f"image=@{picture}"], [("image", "cat.jpg", JPEG_LIKE)])
        yield record("two files and a field", ["-F", f"image=@{picture}", "-F", "note=hello", "-F", f"b=@{empty}"],
                     [("image", "cat.jpg", JPEG_LIKE), ("note", None, b"hello"), ("b", "empty.jpg", b"")])
        yield record("a type for the part", ["-F", f"image=@{picture};type=image/jpeg"], [("image", "cat.jpg", JPEG_LIKE)])
        for shown, filename in [("quote", 'my "best" cat.jpg'), ("umlaut", "Kätzchen €.jpg"), ("semicolon", "a;b=c.jpg")]:
            escaped = filename.replace('"', '\\"')
            for option in [[], ["--form-escape"]]:
                yield record(f"{shown} in the filename {option}", [*option, "-F", f'image=@{picture};filename="{escaped}"'],
                             [("image", filename, JPEG_LIKE)])
        yield record("backslash with --form-escape", ["--form-escape", "-F", f'image=@{picture};filename="a\\\\b.jpg"'],
                     [("image", "a\\b.jpg", JPEG_LIKE)])
        yield record("backslash", ["-F", f'image=@{picture};filename="a\\\\b.jpg"'], [("image", "a\\b.jpg", JPEG_LIKE)])


def urllib3_vectors(server, url):
    pool = urllib3.PoolManager()
    for shown, filename in [("plain", "cat.jpg"), ("quote and line end", 'a"b\r\nc.jpg'), ("umlaut", "Kätzchen.jpg"),
                            ("per cent", "100%.jpg"), ("empty name", "")]:
        pool.request("POST", url, fields={"image": (filename, JPEG_LIKE, "image/jpeg"), "x": "1"})
        yield vector(f"urllib3: {shown}", *with_fixed_boundary(*server.recorded),
                     [("image", filename, JPEG_LIKE), ("x", None, b"1")])


BY_HAND = [
    ("preamble and epilogue", "multipart/form-data; boundary=b",
     b"This is a form.\r\nReally.\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\nThe end.\r\n--b\r\n"),
    ("no line end after the last boundary", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--"),
    ("quoted boundary with a colon and blanks", 'multipart/form-data; boundary="a b:c=d?e"',
     b"--a b:c=d?e\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--a b:c=d?e--\r\n"),
    ("blanks after boundaries", "multipart/form-data; boundary=b",
     b"--b \t \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\t\r\n"
     b"Content-Disposition: form-data; name=\"c\"\r\n\r\n2\r\n--b--  \r\n"),
    ("upper case, more parameters", "MULTIPART/Form-Data; Charset=utf-8; BOUNDARY=b",
     b"--b\r\nCONTENT-DISPOSITION: Form-Data; NAME=\"a\"; FileName=\"x\"\r\nX-Other: y\r\n\r\n1\r\n--b--\r\n"),
    ("folded header", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data;\r\n name=\"a\";\r\n\tfilename=\"x.jpg\"\r\n\r\n1\r\n--b--\r\n"),
    ("lines that begin like the boundary", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--bb\r\n--b-\r\n-b\r\n--b--x\r\n--b--\r\n"),
    ("content of line ends", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n\r\n\r\n--b--\r\n"),
    ("escaped quotes and backslashes", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data; name=\"a\\\"b\"; filename=\"C:\\pictures\\\\x.jpg\"\r\n\r\n1\r\n--b--\r\n"),
    ("boundary of 70 characters", "multipart/form-data; boundary=" + "x" * 70,
     b"--" + b"x" * 70 + b"\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--" + b"x" * 70 + b"--\r\n"),
    ("filename by RFC 8187", "multipart/form-data; boundary=b",
     b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8'de'K%c3%a4tzchen%20%E2%82%AC.jpg\r\n\r\n1\r\n--b--\r\n"),
]


def email_vectors():
    for name, content_type, body in BY_HAND:
        message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body,
                                           policy=email.policy.compat32)
        parts = [(part.get_param("name", header="content-disposition"), part.get_filename(),
                  part.get_payload(decode=True)) for part in message.get_payload()]
        yield vector("email: " + name, content_type, body, parts)


def main():
    with http.server.HTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        vectors = [*curl_vectors(server, url), *urllib3_vectors(server, url), *email_vectors()]
        server.shutdown()
    path = pathlib.Path(__file__).parent / "vectors" / "multipart.json"
    path.write_text("[\n" + ",\n".join(json.dumps(v) for v in vectors) + "\n]\n")


main()
