#!/usr/bin/env python3
"""Bad requests: each is answered with its status and a detail that says what to change, and every client reads that.

A server that closes on a client which is still sending makes the kernel throw the answer away. So the refusals of large
requests are read with curl, with urllib and with wrk, which all send first and read later.
"""
import io
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from contract import Contract
from process import BOUND_S, CAT, ROOT, Server, fetch, multipart, wait_until

CONTRACT = Contract(ROOT / "proto" / "openapi.json")
MIB = 1 << 20


def jpeg_that_claims(width, height):
    """CAT with other figures in its frame header (ITU T.81, section B.2.2)."""
    at = re.search(rb"\xff[\xc0\xc2]\x00\x11\x08", CAT).start()
    return CAT[:at + 5] + struct.pack(">HH", height, width) + CAT[at + 9:]


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server("--max-body", "16M"))

    def refused(self, answer, status, *says, path="/v1/classify", method="POST"):
        self.assertEqual(answer.status, status, answer.body)
        CONTRACT.check_response(method, path, answer.status, answer.headers, answer.body)
        problem = answer.json()
        self.assertEqual(problem["instance"], answer.headers["X-Request-ID"])
        for word in says:
            self.assertIn(word, problem["detail"])
        return answer

    def test_bodies_that_are_no_image(self):
        for body, status, says in [(b"", 400, "empty"), (b"\xff", 422, "JPEG"), (b"text", 415, "JPEG"),
                                   (CAT[:len(CAT) // 2], 422, "truncated"), (CAT[:20], 422, ""),
                                   (jpeg_that_claims(60000, 60000), 422, "60000"),
                                   (jpeg_that_claims(0, 10), 422, "")]:
            self.refused(self.server.classify(body), status, says)

    def test_a_broken_image_is_timed_too(self):
        self.assertIn("decode;dur=", self.server.classify(CAT[:9000]).headers["Server-Timing"])

    def test_queries_that_mean_nothing(self):
        for query, says in [("?top_k=0", "top_k"), ("?top_k=-1", "top_k"), ("?top_k=abc", "top_k"),
                            ("?top_k=99999", "1000"), ("?topk=5", "top_k"), ("?top_k=1&top_k=2", "top_k"),
                            ("?timeout_ms=0", "timeout_ms"), ("?model=%00", ""), ("?%zz", "")]:
            self.refused(self.server.classify(query=query), 400, says)

    def test_unknown_names_and_methods(self):
        self.refused(self.server.classify(query="?model=resnet"), 404, "resnet", "efficientnet-lite0")
        self.refused(self.server.request("GET", "/v1/models/resnet"), 404, "resnet", method="GET",
                     path="/v1/models/{name}")
        for path in ["/nothing", "/v1", "/v1/classify/", "/livez/x", "/v1/models/", "//", "/%2e%2e/x", "/%zz"]:
            self.assertEqual(self.server.request("GET", path).status, 404, path)
        for method, path, allow in [("GET", "/v1/classify", "POST"), ("DELETE", "/livez", "GET"),
                                    ("POST", "/metrics", "GET"), ("PUT", "/v1/models", "GET")]:
            answer = self.server.request(method, path, b"x" if method in ("POST", "PUT") else None)
            self.assertEqual(answer.status, 405)
            self.assertIn(allow, answer.headers["Allow"])
            self.assertIn(allow, answer.json()["detail"])

    def test_media_types_that_are_no_image(self):
        for kind in ["application/json", "text/plain", "video/mp4"]:
            self.refused(self.server.classify(headers={"Content-Type": kind}), 415, kind, "multipart/form-data")

    def test_forms_that_are_none(self):
        good, body = multipart(("a.jpg", CAT))
        for kind, data, status, says in [
                (good, b"--cut--\r\n", 400, ""),
                (good, b'--cut\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--cut--\r\n', 400, "filename"),
                ("multipart/form-data", body, 400, "boundary"),
                ("multipart/form-data; boundary=other", body, 400, "boundary"),
                (good, body[:-10], 400, "boundary"),
                (good, multipart(*[("a", b"x")] * 10000)[1], 413, "256"),
                (good, multipart(*[("a", b"x")] * 100)[1], 413, "64")]:
            self.refused(self.server.classify(data, headers={"Content-Type": kind}), status, says)

    def test_framing_that_two_parsers_read_differently(self):
        for headers in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 5",
                        "Transfer-Encoding: gzip, chunked"]:
            answer = self.server.raw(f"POST /v1/classify HTTP/1.1\r\nHost: x\r\n{headers}\r\nConnection: close\r\n\r\n"
                                     "0\r\n\r\n".encode())
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertIn(b"application/problem+json", answer)

    def test_what_is_no_http(self):
        for data in [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"{}\r\n\r\n", b"\x00" * 100, b"HELO x\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /livez\r\n\r\n"]:
            answer = self.server.raw(data)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertIn(b"plain HTTP", answer)

    def test_expect_continue_is_refused_before_the_body_is_sent(self):
        with socket.create_connection(("127.0.0.1", self.server.port), BOUND_S) as connection:
            connection.sendall(b"POST /v1/classify?top_k=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
                               b"Expect: 100-continue\r\n\r\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)

    def test_memory_is_back_after_a_storm(self):
        if {"ASAN_OPTIONS", "TSAN_OPTIONS"} & set(os.environ):
            self.skipTest("a sanitizer keeps what is freed")

        def storm():
            for body in [b"", b"x", CAT[:9000], jpeg_that_claims(60000, 60000), bytes(15 * MIB), bytes(17 * MIB)]:
                self.server.classify(body)

        storm()
        before = self.server.resident_bytes()
        for _ in range(10):
            storm()
        self.assertLess(self.server.resident_bytes(), before + 8 * MIB)
        self.assertEqual(self.server.classify().status, 200)
        self.assertEqual(self.server.metric("saccade_queue_images"), 0)


class EveryClientReadsTheRefusal(unittest.TestCase):
    """body over the limit with Content-Length, the same chunked, headers too large: (urllib's, curl's) ways to send."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        cls.url = f"http://127.0.0.1:{cls.server.port}/v1/classify"
        cls.big = 100 * MIB
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.file = pathlib.Path(directory) / "big"
        with open(cls.file, "wb") as file:
            file.truncate(cls.big)

    def urllib_reads(self, status, data, headers):
        request = urllib.request.Request(self.url, data, {"Content-Type": "image/jpeg", **headers})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=BOUND_S)
        with caught.exception as error:
            self.assertEqual(error.code, status)
            problem = json.loads(error.read())
        CONTRACT.check_schema(problem, "Problem")
        self.assertEqual(problem["status"], status)
        return problem["detail"]

    def test_urllib_with_a_length(self):
        with open(self.file, "rb") as file:
            self.assertIn("limit", self.urllib_reads(413, file, {"Content-Length": str(self.big)}))

    def test_urllib_chunked(self):
        with open(self.file, "rb") as file:
            pieces = iter(lambda: file.read(MIB), b"")
            self.assertIn("limit", self.urllib_reads(413, pieces, {}))

    def test_urllib_with_a_header_of_a_mebibyte(self):
        self.assertIn("16384", self.urllib_reads(431, CAT, {"X-Long": "x" * MIB}))

    def curl_reads(self, status, *arguments):
        if not shutil.which("curl"):
            self.skipTest("no curl here")
        done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", *arguments, self.url], capture_output=True,
                              text=True, timeout=BOUND_S)
        body, _, code = done.stdout.rpartition("\n")
        self.assertEqual((done.returncode, code), (0, str(status)), done.stderr)
        self.assertEqual(json.loads(body)["status"], status)

    def test_curl_with_a_length(self):
        self.curl_reads(413, "-T", str(self.file), "-X", "POST")
        self.curl_reads(413, "-T", str(self.file), "-X", "POST", "-H", "Expect:")

    def test_curl_chunked(self):
        self.curl_reads(413, "-T", str(self.file), "-X", "POST", "-H", "Transfer-Encoding: chunked")
        self.curl_reads(413, "-T", str(self.file), "-X", "POST", "-H", "Transfer-Encoding: chunked", "-H", "Expect:")

    def test_curl_with_a_header_of_a_mebibyte(self):
        header = self.file.with_name("header")
        header.write_text("X-Long: " + "x" * (MIB - 4096))  # curl itself ends at a mebibyte of headers in all
        self.curl_reads(431, "-H", f"@{header}", "--data-binary", "x")

    def wrk_reads(self, status, request):
        """wrk counts what it read by status; a refusal that was lost is a socket error there."""
        if not shutil.which("wrk"):
            self.skipTest("no wrk here")
        script = self.file.with_name("refused.lua")
        script.write_text(f"{request}\nfunction response(status) if status ~= {status} then os.exit(3) end end\n"
                          "function done(s) local e = s.errors io.write(string.format('%d %d %d\\n', s.requests, "
                          "e.status, e.read + e.write + e.timeout)) end\n")
        for seconds in (1, 10, 40):  # a sanitizer on a busy machine may not answer one in a second
            done = subprocess.run(["wrk", "-t1", "-c4", f"-d{seconds}s", "--timeout", "60s", "-s", str(script), self.url],
                                  capture_output=True, text=True, timeout=BOUND_S + seconds)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            requests, refused, errors = map(int, done.stdout.splitlines()[-1].split())
            if requests > 0:
                break
        self.assertGreater(requests, 0)
        self.assertEqual((refused, errors), (requests, 0))

    def test_wrk_with_a_length(self):
        self.wrk_reads(413, f"wrk.method = 'POST' wrk.body = string.rep('x', {20 * MIB})")

    def test_wrk_chunked(self):
        body = "string.format('%x\\r\\n', n) .. string.rep('x', n) .. '\\r\\n0\\r\\n\\r\\n'"
        self.wrk_reads(413, f"local n = {20 * MIB} local all = 'POST /v1/classify HTTP/1.1\\r\\nHost: x\\r\\n"
                            f"Transfer-Encoding: chunked\\r\\n\\r\\n' .. {body}\n"
                            "function request() return all end")

    def test_wrk_with_a_header_that_is_too_large(self):
        # wrk parses its own request first, and its parser ends at 80 KiB of headers.
        self.wrk_reads(431, "wrk.method = 'POST' wrk.body = 'x' wrk.headers['X-Long'] = string.rep('x', 70000)")


class SlowSenders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server("--read-timeout", "1s", "--idle-timeout", "2s"))

    def answer_to(self, *pieces):
        """Sends the pieces, then nothing, and reads until the server closes."""
        with socket.create_connection(("127.0.0.1", self.server.port), BOUND_S) as connection:
            for piece in pieces:
                connection.sendall(piece)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            return answer

    def test_headers_that_never_end(self):
        answer = self.answer_to(b"GET /livez HTTP/1.1\r\nHost:")
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)

    def test_a_body_that_never_ends(self):
        answer = self.answer_to(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"abc")
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertIn(b"application/problem+json", answer)
        self.assertIn(b"instance", answer)
        self.assertGreaterEqual(self.server.metric('saccade_requests_total{handler="classify",code="408"}'), 1)

    def test_a_body_that_drips(self):
        with socket.create_connection(("127.0.0.1", self.server.port), BOUND_S) as connection:
            connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            connection.settimeout(0.05)
            answer = b""

            def drip():
                nonlocal answer
                try:
                    connection.sendall(b"x")
                    answer += connection.recv(65536)
                except TimeoutError:
                    pass
                return answer

            wait_until(drip, "an answer")
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)

    def test_second_requests_are_watched_too(self):
        first = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = self.answer_to(first, b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-")
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", answer), [b"200", b"408"])

    def test_silent_connections_are_closed(self):
        self.assertEqual(self.answer_to(), b"")
        answer = self.answer_to(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)


if __name__ == "__main__":
    unittest.main()
