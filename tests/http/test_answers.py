#!/usr/bin/env python3
"""What the server answers when all is well, held against the contract."""
import concurrent.futures
import os
import re
import socket
import subprocess
import unittest

from contract import Contract
from process import BOUND_S, CAT, ROOT, Server, fetch, multipart, wait_until

CONTRACT = Contract(ROOT / "proto" / "openapi.json")
STAGES = ["receive", "decode", "queue", "infer", "encode", "total"]


def server_timing(answer):
    return {name: float(value) for name, value in
            re.findall(r"(\w+);dur=([0-9.]+)", answer.headers["Server-Timing"])}


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def check(self, method, path, answer, status=200):
        self.assertEqual(answer.status, status, answer.body)
        CONTRACT.check_response(method, path, answer.status, answer.headers, answer.body)
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        return answer

    def test_a_cat_is_a_cat(self):
        answer = self.check("POST", "/v1/classify", self.server.classify(query="?top_k=3")).json()
        predictions = answer["results"][0]["predictions"]
        self.assertEqual(len(predictions), 3)
        self.assertIn("cat", predictions[0]["label"])
        self.assertEqual([p["probability"] for p in predictions],
                         sorted((p["probability"] for p in predictions), reverse=True))

    def test_the_label_of_the_body_does_not_matter(self):
        first = self.server.classify().json()["results"]
        for label in ["application/octet-stream", "image/png", "application/x-www-form-urlencoded", ""]:
            answer = self.server.classify(headers={"Content-Type": label})
            self.assertEqual(self.check("POST", "/v1/classify", answer).json()["results"], first)

    def test_every_image_of_a_form_is_answered_in_order(self):
        kind, body = multipart(("one.jpg", CAT), ("broken.jpg", CAT[:2000]), ("three.jpg", CAT))
        answer = self.check("POST", "/v1/classify", self.server.classify(body, headers={"Content-Type": kind})).json()
        self.assertEqual([r["filename"] for r in answer["results"]], ["one.jpg", "broken.jpg", "three.jpg"])
        self.assertEqual([r["id"] for r in answer["results"]], ["0", "1", "2"])
        self.assertEqual(answer["results"][0]["predictions"], answer["results"][2]["predictions"])
        self.assertEqual(answer["results"][1]["error"]["status"], 422)
        self.assertNotIn("predictions", answer["results"][1])

    def test_all_images_of_a_form_may_fail(self):
        kind, body = multipart(("a.jpg", b"text"), ("b.jpg", b"text"))
        answer = self.check("POST", "/v1/classify", self.server.classify(body, headers={"Content-Type": kind}))
        self.assertEqual([r["error"]["status"] for r in answer.json()["results"]], [415, 415])

    def test_a_chunked_body_is_taken(self):
        with self.server.connect() as connection:
            answer = fetch(connection, "POST", "/v1/classify", iter([CAT[:100], CAT[100:20000], CAT[20000:]]),
                           {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            self.assertEqual(answer.status, 200)

    def test_stages_add_up_to_the_total(self):
        for _ in range(5):
            answer = self.server.classify()
            timing = server_timing(answer)
            self.assertEqual(list(timing), STAGES)
            self.assertAlmostEqual(sum(timing[s] for s in STAGES[:-1]), timing["total"], delta=0.05 * timing["total"])
            latency = answer.json()["latency_ms"]
            self.assertAlmostEqual(sum(latency[s] for s in STAGES[:4]), latency["total"],
                                   delta=0.05 * latency["total"])
            for stage in STAGES[:4]:
                self.assertGreaterEqual(latency[stage], 0)

    def test_the_request_id_is_taken_or_made(self):
        answer = self.server.classify(headers={"X-Request-ID": "abc-123"})
        self.assertEqual((answer.headers["X-Request-ID"], answer.json()["id"]), ("abc-123", "abc-123"))
        for bad in ["a b", "x" * 65, "\"quoted\"", "<script>", ""]:
            answer = self.server.request("GET", "/livez", headers={"X-Request-ID": bad})
            self.assertRegex(answer.headers["X-Request-ID"], "^[0-9A-HJKMNP-TV-Z]{26}$")
        self.assertNotEqual(self.server.classify().json()["id"], self.server.classify().json()["id"])

    def test_the_trace_is_in_the_log(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        self.server.request("GET", "/livez", headers={"traceparent": trace, "X-Request-ID": "traced"})
        self.server.request("GET", "/livez", headers={"traceparent": "00-zz", "X-Request-ID": "untraced"})
        events = wait_until(lambda: {e["id"]: e for e in self.server.log() if e.get("id") in ("traced", "untraced")
                                     and e["event"] == "request"}, "two log lines")
        wait_until(lambda: len([e for e in self.server.log() if e.get("id") == "untraced"]) == 1, "the second line")
        events = {e["id"]: e for e in self.server.log() if "id" in e}
        self.assertEqual(events["traced"]["traceparent"], trace)
        self.assertNotIn("traceparent", events["untraced"])
        self.assertEqual((events["traced"]["method"], events["traced"]["target"], events["traced"]["status"],
                          events["traced"]["client"]), ("GET", "/livez", 200, "127.0.0.1"))

    def test_a_hostile_target_cannot_forge_a_log_line(self):
        self.server.raw(b'GET /%0a{"event":"forged"}"\x1b[31m\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        targets = lambda: [e["target"] for e in self.server.log() if "forged" in e.get("target", "")]
        self.assertEqual(wait_until(targets, "the log line"), ['/%0a{"event":"forged"}"\x1b[31m\ufffd'])

    def test_models_are_described(self):
        listed = self.check("GET", "/v1/models", self.server.request("GET", "/v1/models")).json()["models"]
        self.assertEqual([m["name"] for m in listed], ["efficientnet-lite0"])
        self.assertGreater(listed[0]["cost_table"][0]["ms"], 0)
        one = self.check("GET", "/v1/models/{name}", self.server.request("GET", "/v1/models/efficientnet-lite0")).json()
        self.assertEqual(len(one["labels"]), 1000)
        answer = self.server.classify(query="?model=efficientnet-lite0").json()
        self.assertEqual(answer["model"]["version"], one["version"])

    def test_health_contract_and_page(self):
        for path in ["/livez", "/readyz", "/openapi.json", "/"]:
            self.check("GET", path, self.server.request("GET", path))
        self.assertEqual(self.server.request("GET", "/openapi.json").body,
                         (ROOT / "proto" / "openapi.json").read_bytes())
        page = self.server.request("GET", "/")
        self.assertIn("default-src 'none'", page.headers["Content-Security-Policy"])
        self.assertNotRegex(page.body.decode(), r"(src|href)=\"(https?:)?//")

    def test_head_answers_as_get_without_the_body(self):
        for path in ["/livez", "/metrics", "/openapi.json", "/", "/v1/models", "/nothing"]:
            with self.server.connect() as connection:
                head = fetch(connection, "HEAD", path)
                get = fetch(connection, "GET", path)
            self.assertEqual((head.status, head.body), (get.status, b""))
            self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"])

    def test_options_says_what_is_allowed(self):
        answer = self.server.request("OPTIONS", "/v1/classify")
        self.assertEqual((answer.status, answer.headers["Allow"]), (204, "POST, OPTIONS"))

    def test_a_connection_serves_many_requests(self):
        with self.server.connect() as connection:
            connection.connect()
            port = connection.sock.getsockname()
            for _ in range(3):
                self.assertEqual(fetch(connection, "POST", "/v1/classify", CAT).status, 200)
                self.assertEqual(fetch(connection, "GET", "/livez").status, 200)
                self.assertEqual(fetch(connection, "POST", "/v1/classify", b"no image").status, 415)
                self.assertEqual(fetch(connection, "POST", "/nothing", CAT).status, 404)
            self.assertEqual(connection.sock.getsockname(), port)

    def test_pipelined_requests_are_answered_in_order(self):
        one = (b"POST /v1/classify?top_k=1 HTTP/1.1\r\nHost: x\r\nX-Request-ID: %d\r\nContent-Length: %d\r\n\r\n")
        data = b"".join(one % (i, len(CAT)) + CAT for i in range(4))
        data += b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: 4\r\nConnection: close\r\n\r\n"
        answer = self.server.raw(data).decode()
        self.assertEqual(re.findall(r"X-Request-ID: (\d+)", answer), ["0", "1", "2", "3", "4"])
        self.assertEqual(answer.count("HTTP/1.1 200 OK"), 5)

    def test_one_byte_at_a_time_is_still_a_request(self):
        with socket.create_connection(("127.0.0.1", self.server.port), BOUND_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
                connection.sendall(bytes([byte]))
            self.assertTrue(connection.recv(4096).startswith(b"HTTP/1.1 200"))

    def test_many_clients_at_once_get_their_own_answers(self):
        def one(i):
            answer = self.server.classify(query=f"?top_k={i % 5 + 1}", headers={"X-Request-ID": f"client-{i}"})
            return answer.status, answer.json()["id"], len(answer.json()["results"][0]["predictions"])

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            for i, result in enumerate(pool.map(one, range(64))):
                self.assertEqual(result, (200, f"client-{i}", i % 5 + 1))


class Overload(unittest.TestCase):
    def test_a_full_queue_sheds_with_retry_after(self):
        with Server("--queue-images", "2", "--threads", "1") as server:
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                answers = list(pool.map(lambda _: server.classify(), range(64)))
            statuses = [a.status for a in answers]
            self.assertEqual(set(statuses), {200, 429})
            for answer in answers:
                CONTRACT.check_response("POST", "/v1/classify", answer.status, answer.headers, answer.body)
                if answer.status == 429:
                    self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            self.assertEqual(server.metric('saccade_shed_total{reason="queue_full"}'), statuses.count(429))
            self.assertEqual(server.metric("saccade_queue_images"), 0)
            self.assertEqual(server.metric("saccade_inflight_requests"), 0)

    def test_more_images_than_places_are_shed(self):
        with Server("--queue-images", "2") as server:
            kind, body = multipart(*[(f"{i}.jpg", CAT) for i in range(3)])
            self.assertEqual(server.classify(body, headers={"Content-Type": kind}).status, 429)
            self.assertEqual(server.metric("saccade_queue_images"), 0)

    def test_a_passed_deadline_is_answered_504(self):
        with Server("--threads", "1") as server:
            kind, body = multipart(*[(f"{i}.jpg", CAT) for i in range(40)])
            answer = server.classify(body, "?timeout_ms=60", headers={"Content-Type": kind})
            if answer.status == 200:
                statuses = {r["error"]["status"] for r in answer.json()["results"] if "error" in r}
                self.assertEqual(statuses, {504})
            else:
                self.assertEqual(answer.status, 429)  # it was foreseen

    def test_a_client_that_leaves_is_not_worked_for(self):
        with Server("--threads", "1") as server:
            kind, body = multipart(*[(f"{i}.jpg", CAT) for i in range(60)])
            with server.connect() as connection:
                connection.request("POST", "/v1/classify", body, {"Content-Type": kind})
            cancelled = 'saccade_images_total{model="efficientnet-lite0",outcome="cancelled"}'
            wait_until(lambda: server.metric(cancelled) > 0, "images dropped")
            wait_until(lambda: server.metric("saccade_inflight_requests") == 0, "the request's end")
            self.assertEqual(server.metric("saccade_queue_images"), 0)
            self.assertEqual(server.metric('saccade_requests_total{handler="classify",code="499"}'), 1)
            self.assertEqual(server.classify().status, 200)

    def test_too_many_connections_are_told_so(self):
        with Server("--max-connections", "3") as server:
            held = []

            def refused():
                # One of the first may find that the connection which asked for readiness still counts, and be refused.
                held.append(socket.create_connection(("127.0.0.1", server.port)))
                answer = server.request("GET", "/livez")
                return answer.status == 503 and answer

            answer = wait_until(refused, "the limit")
            self.assertEqual(answer.json()["status"], 503)
            for connection in held:
                connection.close()
            wait_until(lambda: server.request("GET", "/livez").status == 200, "room again")


class Addresses(unittest.TestCase):
    def test_an_ipv6_address_is_listened_at(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        with Server(host="::1") as server:
            self.assertEqual(server.classify().status, 200)
            clients = lambda: {e["client"] for e in server.log() if e["event"] == "request"}
            self.assertEqual(wait_until(clients, "a log line"), {"::1"})

    def test_an_address_in_use_is_an_error_that_names_it(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = subprocess.run([os.environ["SACCADE"], "serve", "--listen", f"127.0.0.1:{port}"],
                                  capture_output=True, text=True, timeout=BOUND_S)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"127.0.0.1 port {port}: Address already in use", done.stderr)


if __name__ == "__main__":
    unittest.main()
