"""Models that come and go while the server serves: reload by signal, load and unload by request, and what is bad."""
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import unittest

from contract import Contract
from process import BOUND_S, CAT, ROOT, Clients, Server, wait_until

sys.path.insert(0, str(ROOT / "tests"))
from onnx_writer import classifier  # noqa: E402

CONTRACT = Contract(ROOT / "proto" / "openapi.json")
MIB = 1 << 20
SANITIZED = {"ASAN_OPTIONS", "TSAN_OPTIONS"} & set(os.environ)
CLASSES = (16, 24)  # of two models, by which they are told apart


class Reloading(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def write(self, name="m", classes=CLASSES[0], layers=1):
        """A model directory; as it should be done: a file beside it, renamed over the old one."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        (directory / "new").write_bytes(classifier(layers=layers, channels=classes))
        os.replace(directory / "new", directory / "model.onnx")
        return directory

    def post(self, server, path, body=b"", status=200):
        answer = server.request("POST", path, body, {"Content-Type": "application/json"})
        self.assertEqual(answer.status, status, answer.body)
        return CONTRACT.check_response("POST", path, answer.status, answer.headers, answer.body)

    def control(self, server, verb, name="m", body=b"", status=200):
        return self.post(server, f"/v2/repository/models/{name}/{verb}", body, status)

    def entry(self, server, name="m"):
        answer = server.request("GET", "/v1/models/" + name)
        return CONTRACT.check_response("GET", "/v1/models/" + name, answer.status, answer.headers, answer.body)

    def loads(self, server, outcome, name="m"):
        return server.metric(f'saccade_model_reloads_total{{model="{name}",outcome="{outcome}"}}')

    def hang_up(self, server, outcome="ok", name="m"):
        """Sends SIGHUP, and waits until the model was loaded, or was not."""
        before = self.loads(server, outcome, name)
        server.terminate(signal.SIGHUP)
        wait_until(lambda: self.loads(server, outcome, name) > before, f"a load that is {outcome}")

    def n_classes(self, server, query=""):
        answer = server.classify(query="?top_k=1000" + query)
        self.assertEqual(answer.status, 200, answer.body)
        return len(answer.json()["results"][0]["predictions"])


class BySignal(Reloading):
    def test_under_load_no_request_fails_and_each_is_answered_by_one_model(self):
        directory = self.write(classes=CLASSES[0])
        with Server("--model", str(directory), "--max-batch", "4") as server:
            def model_and_size(answer):
                content = answer.json() if answer.status == 200 else None
                return answer.status, content and (content["model"]["version"], len(content["results"][0]["predictions"]))

            versions = {self.entry(server)["version"]: CLASSES[0]}
            with Clients(server, 8, "?top_k=1000", model_and_size) as clients:
                for turn in range(1, 21):
                    self.write(classes=CLASSES[turn % 2])
                    self.hang_up(server)
                    entry = self.entry(server)
                    self.assertEqual((entry["n_classes"], entry["generation"]), (CLASSES[turn % 2], turn + 1))
                    versions[entry["version"]] = entry["n_classes"]
                    n = len(clients.answers)
                    wait_until(lambda: len(clients.answers) >= n + 8 or clients.failures, "answers of the new model")
            self.assertEqual(clients.failures, [])
            self.assertEqual({status for status, _ in clients.answers}, {200})
            self.assertEqual(len(versions), 2)
            self.assertEqual({model for _, model in clients.answers}, set(versions.items()))
            self.assertEqual(self.loads(server, "ok"), 20)

    def test_a_request_ends_on_the_model_that_it_began_with(self):
        directory = self.write(classes=CLASSES[0])
        with Server("--model", str(directory)) as server:
            version = self.entry(server)["version"]
            with socket.create_connection(("127.0.0.1", server.port), BOUND_S) as slow:
                slow.sendall(b"POST /v1/classify?top_k=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d"
                             b"\r\n\r\n" % len(CAT) + CAT[:9])
                wait_until(lambda: server.metric("saccade_inflight_requests") == 1, "the request")
                self.write(classes=CLASSES[1])
                self.hang_up(server)
                self.assertEqual(self.n_classes(server), CLASSES[1])
                slow.sendall(CAT[9:])
                answer = b""
                while chunk := slow.recv(65536):
                    answer += chunk
            head, body = answer.split(b"\r\n\r\n", 1)
            self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
            self.assertEqual(json.loads(body)["model"]["version"], version)
            self.assertEqual(len(json.loads(body)["results"][0]["predictions"]), CLASSES[0])

    def check_bad(self, spoil, outcome="failed"):
        """spoil(directory) makes it bad. The old model is served on, everybody is told, and a good one heals it."""
        directory = self.write(classes=CLASSES[0])
        with Server("--model", str(directory)) as server:
            before = self.entry(server)
            spoil(directory)
            self.hang_up(server, outcome)
            self.assertEqual(self.n_classes(server), CLASSES[0])
            after = self.entry(server)
            self.assertEqual([after[k] for k in ("version", "generation", "loaded_at")],
                             [before[k] for k in ("version", "generation", "loaded_at")])
            self.assertEqual(after["last_load"]["outcome"], outcome)
            (event,) = [e for e in server.log() if e["event"] == "model not loaded"]
            self.assertEqual((event["level"], event["model"], event["outcome"]), ("error", "m", outcome))
            self.assertEqual(event["error"], after["last_load"]["error"])
            self.assertEqual(server.metric('saccade_model_last_reload_successful{model="m"}'), 0)
            self.assertEqual(server.metric('saccade_model_loaded{model="m"}'), 1)
            self.assertEqual(server.request("GET", "/readyz").status, 200)

            for name in ("golden.json", "config.json"):
                (directory / name).unlink(missing_ok=True)
            self.write(classes=CLASSES[1])
            self.hang_up(server)
            self.assertEqual(self.n_classes(server), CLASSES[1])
            self.assertEqual(self.entry(server)["last_load"]["outcome"], "ok")
            self.assertEqual(server.metric('saccade_model_last_reload_successful{model="m"}'), 1)
            return event["error"]

    def test_a_broken_model(self):
        self.check_bad(lambda directory: (directory / "model.onnx").write_bytes(b"this is no model"))

    def test_a_half_written_model(self):
        data = classifier(layers=1, channels=CLASSES[1])
        self.check_bad(lambda directory: (directory / "model.onnx").write_bytes(data[:len(data) // 2]))

    def test_an_empty_model(self):
        self.check_bad(lambda directory: (directory / "model.onnx").write_bytes(b""))

    def test_a_vanished_model(self):
        error = self.check_bad(lambda directory: (directory / "model.onnx").unlink())
        self.assertIn("model.onnx", error)

    def test_a_model_for_two_images_at_a_time(self):
        model = ROOT / "tests" / "engine" / "vectors" / "batch_of_two_fixed_by_the_file" / "model.onnx"
        error = self.check_bad(lambda directory: (directory / "model.onnx").write_bytes(model.read_bytes()))
        self.assertIn("dynamic batch axis", error)

    def test_labels_that_are_no_json(self):
        self.check_bad(lambda directory: (directory / "config.json").write_text("{"))

    def test_golden_answers_that_the_model_does_not_give(self):
        def spoil(directory):
            (directory / "cat.jpg").write_bytes(CAT)
            (directory / "golden.json").write_text(json.dumps({"answers": [
                {"image": "cat.jpg", "predictions": [{"class_id": 0, "probability": 0.999}]}]}))

        error = self.check_bad(spoil, "rejected")
        self.assertRegex(error, r"golden.json: image 'cat.jpg': class 0 has probability 0\.\d+, expected 0.999000 within 0.01")

    def test_golden_answers_without_their_image(self):
        error = self.check_bad(lambda directory: (directory / "golden.json").write_text(json.dumps(
            {"answers": [{"image": "cat.jpg", "predictions": [{"class_id": 0, "probability": 0}]}]})), "rejected")
        self.assertIn("image 'cat.jpg'", error)

    def test_memory_is_given_back(self):
        if SANITIZED:
            self.skipTest("a sanitizer has memory of its own")
        directory = self.write(classes=1024, layers=6)  # 25 MiB of weights
        with Server("--model", str(directory), "--max-batch", "1") as server:
            def resident():
                wait_until(lambda: [e["event"] for e in server.log() if e["event"] in ("model reloaded", "measured")][-1:] ==
                           ["measured"], "the end of measuring")
                return server.metric("process_resident_memory_bytes")

            weights = next(e for e in server.log() if e["event"] == "model loaded")["weight_bytes"]
            self.assertGreater(weights, 24 * MIB)
            for _ in range(3):
                self.hang_up(server)
            before = resident()
            for _ in range(10):
                self.hang_up(server)
            # Ten models that are kept would be 250 MiB.
            wait_until(lambda: resident() - before < weights / 2, "the memory of the old models")

    def test_the_service_manager_is_told(self):
        path = str(self.directory / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(BOUND_S)
            with Server("--model", str(self.write()), environment={"NOTIFY_SOCKET": path}) as server:
                self.assertEqual(manager.recv(100), b"READY=1")
                for outcome in ("ok", "failed"):  # it is ready again in any case
                    server.terminate(signal.SIGHUP)
                    self.assertRegex(manager.recv(100), rb"^RELOADING=1\nMONOTONIC_USEC=[0-9]+$")
                    self.assertEqual(manager.recv(100), b"READY=1")
                    self.assertEqual(self.loads(server, outcome), 1)
                    (self.directory / "m" / "model.onnx").unlink(missing_ok=True)

    def test_while_it_drains_it_does_nothing(self):
        with Server("--model", str(self.write()), "--drain-delay", "60s") as server:
            server.terminate()
            wait_until(lambda: any(e["event"] == "draining" for e in server.log()), "draining")
            server.terminate(signal.SIGHUP)
            self.assertEqual(server.classify().status, 200)
            self.assertEqual(self.loads(server, "ok"), 0)
            server.terminate(signal.SIGINT)
            self.assertEqual(server.wait(), 1)

    def test_while_it_loads_it_is_not_lost(self):
        with Server("--model", str(self.write(classes=512, layers=8)), ready=False) as server:
            server.terminate(signal.SIGHUP)
            wait_until(lambda: any(e["event"] == "model reloaded" for e in server.log()), "the reload")
            self.assertEqual(server.classify().status, 200)

    def test_tuning_follows_the_model(self):
        with tempfile.TemporaryDirectory() as cache:
            directory = self.write(classes=64)
            with Server("--model", str(directory), "--tune", "fast", "--tune-cache", cache, "--max-batch", "2") as server:
                first = self.entry(server)["version"]
                self.write(classes=96)
                self.hang_up(server)  # in the middle of it, most likely
                second = self.entry(server)["version"]
                wait_until(lambda: (events := [e["event"] for e in server.log()]) and "measured" in
                           events[events.index("model reloaded"):], "the end of measuring")
                events = [e["event"] for e in server.log()]
                self.assertIn("tuned", events[events.index("model reloaded"):])
                kept = {path.name[:12] for path in pathlib.Path(cache).iterdir()}
                self.assertLessEqual({second}, kept)
                self.assertLessEqual(kept, {first, second})
                self.assertEqual(self.n_classes(server), 96)


class GoldenAnswers(Reloading):
    def golden(self, directory, **changes):
        """What the server itself answers, as the file wants it."""
        with Server("--model", str(directory)) as server:
            predictions = server.classify().json()["results"][0]["predictions"]
        (directory / "images").mkdir()
        (directory / "images" / "cat.jpg").write_bytes(CAT)
        document = {"answers": [{"image": "images/cat.jpg", "tolerance": 0.0001, "predictions": predictions, **changes}]}
        (directory / "golden.json").write_text(json.dumps(document))

    def test_a_model_that_gives_them_is_served(self):
        directory = self.write()
        self.golden(directory)
        with Server("--model", str(directory)) as server:
            (event,) = [e for e in server.log() if e["event"] == "model loaded"]
            self.assertEqual(event["golden_images"], 1)
            self.hang_up(server)
            self.write(classes=CLASSES[1])
            self.hang_up(server, "rejected")
            self.assertEqual(self.n_classes(server), CLASSES[0])

    def test_a_server_does_not_start_with_a_model_that_does_not(self):
        directory = self.write()
        self.golden(directory)
        self.write(classes=CLASSES[1])
        with Server("--model", str(directory), ready=False) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("golden.json: image 'images/cat.jpg'", server.log_path.read_text())

    def test_a_link_out_of_the_directory_is_not_followed(self):
        directory = self.write()
        self.golden(directory)
        image = directory / "images" / "cat.jpg"
        image.unlink()
        image.symlink_to(ROOT / "docs" / "cat.jpg")
        with Server("--model", str(directory), ready=False) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("it is a link", server.log_path.read_text())


class ByRequest(Reloading):
    def test_of_two_models_one_is_reloaded(self):
        self.write("a", CLASSES[0])
        self.write("b", CLASSES[0])
        with Server("--model-control", "--model", str(self.directory / "a"), "--model", str(self.directory / "b")) as server:
            self.write("a", CLASSES[1])
            self.write("b", CLASSES[1])
            entry = self.control(server, "load", "b")
            self.assertEqual(entry, {"name": "b", "version": self.entry(server, "b")["version"], "state": "READY",
                                     "reason": ""})
            self.assertEqual((self.n_classes(server, "&model=a"), self.n_classes(server, "&model=b")), CLASSES)
            self.assertEqual([self.entry(server, n)["generation"] for n in "ab"], [1, 2])
            self.assertEqual((self.loads(server, "ok", "a"), self.loads(server, "ok", "b")), (0, 1))

    def test_unload_and_load(self):
        self.write("a")
        self.write("b")
        with Server("--model-control", "--model", str(self.directory / "a"), "--model", str(self.directory / "b")) as server:
            info = f'saccade_model_info{{model="b",version="{self.entry(server, "b")["version"]}",precision="f32"}}'
            self.assertEqual(server.metric(info), 1)
            self.assertEqual(self.control(server, "unload", "b"), {"name": "b", "state": "UNAVAILABLE", "reason": "unloaded"})
            self.control(server, "unload", "b")  # again: that is no failure
            refused = server.classify(query="?model=b")
            CONTRACT.check_response("POST", "/v1/classify", refused.status, refused.headers, refused.body)
            self.assertEqual(refused.status, 503)
            self.assertIn('"b" is not loaded', refused.json()["detail"])
            self.assertEqual(server.classify().status, 200)
            self.assertEqual(server.request("GET", "/readyz").status, 200)
            self.assertEqual(self.entry(server, "b")["state"], "unloaded")
            answer = server.request("GET", "/v1/models")
            models = CONTRACT.check_response("GET", "/v1/models", 200, answer.headers, answer.body)["models"]
            self.assertEqual([(m["name"], m["state"]) for m in models], [("a", "ready"), ("b", "unloaded")])
            self.assertEqual(server.metric('saccade_model_loaded{model="b"}'), 0)
            self.assertEqual(server.metric(info, absent=0), 0)
            index = self.post(server, "/v2/repository/index")
            self.assertEqual([(m["name"], m["state"]) for m in index], [("a", "READY"), ("b", "UNAVAILABLE")])
            index = self.post(server, "/v2/repository/index", b'{"ready": true}')
            self.assertEqual([m["name"] for m in index], ["a"])

            self.hang_up(server, name="a")  # leaves unloaded what is unloaded
            self.assertEqual(self.entry(server, "b")["state"], "unloaded")

            (self.directory / "b" / "model.onnx").rename(self.directory / "away")
            problem = self.control(server, "load", "b", status=400)
            self.assertEqual(problem["error"], problem["detail"])
            self.assertIn("model.onnx", problem["error"])
            (entry,) = [m for m in self.post(server, "/v2/repository/index") if m["name"] == "b"]
            self.assertEqual((entry["state"], entry["reason"]), ("UNAVAILABLE", problem["error"]))
            self.assertEqual(server.classify(query="?model=b").status, 503)

            (self.directory / "away").rename(self.directory / "b" / "model.onnx")
            self.assertEqual(self.control(server, "load", "b")["state"], "READY")
            self.assertEqual(server.classify(query="?model=b").status, 200)
            self.assertEqual(self.entry(server, "b")["generation"], 2)

    def test_the_default_model_is_unloaded(self):
        with Server("--model-control") as server:
            (name,) = [m["name"] for m in self.post(server, "/v2/repository/index")]
            self.control(server, "unload", name)
            self.assertEqual(server.classify().status, 503)
            self.control(server, "load", name)
            self.assertEqual(server.classify().status, 200)

    def test_loads_that_come_together_are_all_answered(self):
        with Server("--model-control", "--model", str(self.write())) as server:
            results = []
            threads = [threading.Thread(target=lambda verb=verb: results.append(self.control(server, verb)))
                       for verb in ["load", "unload"] * 4 + ["load"]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(results), 9)
            self.assertEqual(self.loads(server, "ok"), 5)
            self.control(server, "load")
            self.assertEqual(server.classify().status, 200)

    def test_a_failed_load_says_so_to_clients_of_the_protocol(self):
        directory = self.write()
        with Server("--model-control", "--model", str(directory)) as server:
            (directory / "model.onnx").write_bytes(b"x")
            problem = self.control(server, "load", status=400)
            self.assertEqual(problem["type"], "urn:saccade:problem:model-not-loaded")
            self.assertEqual(problem["error"], problem["detail"])
            (entry,) = self.post(server, "/v2/repository/index")
            self.assertEqual(entry["state"], "READY")
            self.assertIn("the last load failed", entry["reason"])
            self.assertEqual(self.n_classes(server), CLASSES[0])

    def test_what_is_wrong_is_told(self):
        with Server("--model-control", "--model", str(self.write())) as server:
            for body, text in [(b"{", "JSON object"), (b"[]", "JSON object"), (b"{} {}", "JSON object"),
                               (b'{"parameters": 1}', "must be an object"),
                               (b'{"parameters": {"config": "{}"}}', '"config" is not supported'),
                               (b'{"parameters": {"file:1/model.onnx": "AAAA"}}', "is not supported")]:
                self.assertIn(text, self.control(server, "load", body=body, status=400)["error"])
            self.control(server, "unload", body=b'{"parameters": {"unload_dependents": 1}}', status=400)
            self.control(server, "load", body=b" " * 65537, status=413)
            self.post(server, "/v2/repository/index", b'{"ready": "yes"}', status=400)
            self.assertIn('no model \\"n\\"', json.dumps(self.control(server, "load", "n", status=404)["error"]))
            for path in ("/v2/repository/models/m", "/v2/repository/models/m/", "/v2/repository/models//load",
                         "/v2/repository/models/m/reload"):
                self.assertEqual(server.request("POST", path).status, 404, path)
            for path in ("/v2/repository/index", "/v2/repository/models/m/load"):
                answer = server.request("GET", path)
                CONTRACT.check_response("GET", path, answer.status, answer.headers, answer.body)
                self.assertEqual((answer.status, answer.headers["Allow"]), (405, "POST, OPTIONS"))
            self.assertEqual(self.entry(server)["generation"], 1)
            self.control(server, "load", body=b'{"parameters": {}}')
            self.control(server, "unload", body=b'{"parameters": {"unload_dependents": true}}')

    def test_it_is_not_there_unless_it_was_asked_for(self):
        with Server("--model", str(self.write())) as server:
            for problem in (self.post(server, "/v2/repository/index", status=404), self.control(server, "load", status=404),
                            self.control(server, "unload", status=404)):
                self.assertIn("--model-control", problem["error"])
            self.assertEqual(self.entry(server)["generation"], 1)


if __name__ == "__main__":
    unittest.main()
