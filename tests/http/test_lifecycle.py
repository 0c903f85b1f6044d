#!/usr/bin/env python3
"""From start to end: readiness, draining without losing a request, and what ends a drain early."""
import os
import pathlib
import signal
import socket
import tempfile
import threading
import unittest

from contract import Contract
from process import BOUND_S, CAT, ROOT, Server, fetch, wait_until

CONTRACT = Contract(ROOT / "proto" / "openapi.json")


class Client(threading.Thread):
    """Sends requests in a loop, on one connection as long as the server keeps it, until nobody listens any more."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.statuses = []
        self.lost = None

    def run(self):
        try:
            while self.session():
                pass
        except Exception as error:
            self.lost = error

    def session(self):
        """False where the server does not listen: what was never accepted is not lost."""
        with self.server.connect() as connection:
            try:
                connection.connect()
            except ConnectionRefusedError:
                return False
            while True:
                answer = fetch(connection, "POST", "/v1/classify", CAT)
                self.statuses.append(answer.status)
                if answer.headers["Connection"] == "close":
                    return True


class Draining(unittest.TestCase):
    def drain_under_load(self, *arguments):
        with Server(*arguments) as server:
            clients = [Client(server) for _ in range(32)]
            for client in clients:
                client.start()
            wait_until(lambda: all(len(c.statuses) >= 2 for c in clients), "every client at work")
            server.terminate()
            for client in clients:
                client.join(BOUND_S)
            self.assertEqual([c.lost for c in clients], [None] * 32)
            self.assertEqual({s for c in clients for s in c.statuses}, {200})
            self.assertEqual(server.wait(), 0)
            answered = [e for e in server.log() if e["event"] == "request" and e["method"] == "POST"]
            self.assertEqual(len(answered), sum(len(c.statuses) for c in clients))
            self.assertEqual({e["status"] for e in answered}, {200})

    def test_no_accepted_request_is_lost(self):
        self.drain_under_load()

    def test_no_accepted_request_is_lost_with_a_delay(self):
        self.drain_under_load("--drain-delay", "300ms")

    def test_readiness_falls_first_and_requests_are_still_taken(self):
        with Server("--drain-delay", "60s") as server:
            self.assertEqual(server.request("GET", "/readyz").status, 200)
            server.terminate()
            answer = wait_until(lambda: (a := server.request("GET", "/readyz")).status == 503 and a, "503")
            CONTRACT.check_response("GET", "/readyz", 503, answer.headers, answer.body)
            self.assertEqual(server.request("GET", "/livez").status, 200)
            answer = server.classify()
            self.assertEqual((answer.status, answer.headers["Connection"]), (200, "close"))

            server.terminate(signal.SIGINT)  # the second signal ends the patience
            self.assertEqual(server.wait(), 1)
            self.assertIn("second signal", server.log_path.read_text())

    def test_idle_connections_do_not_hold_up_the_end(self):
        with Server() as server, server.connect() as used, server.connect() as silent:
            self.assertEqual(fetch(used, "GET", "/livez").status, 200)
            silent.connect()
            server.terminate()
            self.assertEqual(server.wait(), 0)

    def test_what_hangs_is_cut_off_by_the_timeout(self):
        with Server("--drain-timeout", "300ms") as server:
            with socket.create_connection(("127.0.0.1", server.port), BOUND_S) as hanging:
                hanging.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
                wait_until(lambda: server.metric("saccade_inflight_requests") == 1, "the request")
                server.terminate()
                self.assertEqual(server.wait(), 1)
            self.assertIn("drain was not done", server.log_path.read_text())

    def test_an_upload_in_progress_is_waited_for(self):
        with Server() as server, socket.create_connection(("127.0.0.1", server.port), BOUND_S) as slow:
            slow.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(CAT) + CAT[:9])
            wait_until(lambda: server.metric("saccade_inflight_requests") == 1, "the request")
            server.terminate()
            wait_until(lambda: any(e["event"] == "draining" for e in server.log()), "draining")
            slow.sendall(CAT[9:])
            self.assertTrue(slow.recv(4096).startswith(b"HTTP/1.1 200 "))
            self.assertEqual(server.wait(), 0)


class Starting(unittest.TestCase):
    def test_a_signal_while_loading_ends_it(self):
        for sent in (signal.SIGTERM, signal.SIGINT):
            with Server(ready=False) as server:
                server.terminate(sent)
                self.assertEqual(server.wait(), 0, server.log_path.read_text())

    def test_it_listens_before_it_is_ready(self):
        with Server(ready=False) as server:
            seen = set()

            def ready():
                answer = server.request("GET", "/readyz")
                seen.add(answer.status)
                self.assertEqual(server.request("GET", "/livez").status, 200)
                if answer.status == 503:
                    CONTRACT.check_response("GET", "/readyz", 503, answer.headers, answer.body)
                    refused = server.classify()
                    self.assertIn(refused.status, (200, 503))
                    CONTRACT.check_response("POST", "/v1/classify", refused.status, refused.headers, refused.body)
                return answer.status == 200

            wait_until(ready, "readiness")
            self.assertLessEqual(seen, {200, 503})

    def test_a_model_that_is_missing_ends_it_with_an_error(self):
        with Server("--model", "/nonexistent/model.onnx", ready=False) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("/nonexistent/model.onnx", server.log_path.read_text())

    def test_two_models_of_one_name_are_refused(self):
        directory = str(ROOT / "models" / "efficientnet-lite0")
        with Server("--model", directory, "--model", directory, ready=False) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("NAME=PATH", server.log_path.read_text())

    def test_a_model_for_one_image_at_a_time_is_served_one_by_one(self):
        model = ROOT / "tests" / "engine" / "vectors" / "batch_of_one_fixed_by_the_file"
        with Server("--model", str(model)) as server:
            wait_until(lambda: any(e["event"] == "measured" for e in server.log()), "the end of measuring")
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(server.classify())) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual({(a.status, a.json()["batch_size"]) for a in answers}, {(200, 1)})
            costs = server.request("GET", "/v1/models/" + model.name).json()["cost_table"]
            self.assertEqual({cost["batch"] for cost in costs}, {1})
            self.assertNotIn("batch not available", {e["event"] for e in server.log()})

    def test_a_model_for_two_images_at_a_time_is_refused_with_what_to_do(self):
        model = ROOT / "tests" / "engine" / "vectors" / "batch_of_two_fixed_by_the_file"
        with Server("--model", str(model), ready=False) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("export it with a dynamic batch axis", server.log_path.read_text())

    def test_two_models_are_served(self):
        directory = str(ROOT / "models" / "efficientnet-lite0")
        with Server("--model", f"one={directory}", "--model", f"two={directory}") as server:
            self.assertEqual(server.classify().json()["model"]["name"], "one")
            self.assertEqual(server.classify(query="?model=two").json()["model"]["name"], "two")
            self.assertEqual(server.metric('saccade_images_total{model="two",outcome="ok"}'), 1)

    def test_the_service_manager_is_told(self):
        with tempfile.TemporaryDirectory() as directory:
            path = str(pathlib.Path(directory) / "notify")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(BOUND_S)
                with Server(environment={"NOTIFY_SOCKET": path}) as server:
                    self.assertEqual(manager.recv(100), b"READY=1")
                    server.terminate()
                    self.assertEqual(manager.recv(100), b"STOPPING=1")
                    self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main()
