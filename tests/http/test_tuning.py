"""What the server measures beside serving, and answers that are the same to the last bit."""
import json
import pathlib
import tempfile
import threading
import unittest

from process import Clients, Server, wait_until


def logits(answer):
    return json.loads(answer.body)["results"][0]["predictions"]


class Tuning(unittest.TestCase):
    def events(self, server, name):
        return [event for event in server.log() if event["event"] == name]

    def test_results_are_kept_for_the_next_start(self):
        with tempfile.TemporaryDirectory() as cache:
            with Server("--tune", "fast", "--tune-cache", cache, "--max-batch", "1") as server:
                wait_until(lambda: self.events(server, "measured"), "the end of measuring")
                self.assertEqual(len(self.events(server, "tuned")), 1)
                self.assertEqual(server.classify().status, 200)
            (path,) = pathlib.Path(cache).iterdir()
            kept = path.read_bytes()
            with Server("--tune", "fast", "--tune-cache", cache, "--max-batch", "1") as server:
                wait_until(lambda: self.events(server, "measured"), "the end of measuring")
                self.assertEqual(self.events(server, "tuned"), [])
            self.assertEqual(path.read_bytes(), kept)

    def test_damaged_results_do_not_keep_it_from_serving(self):
        with tempfile.TemporaryDirectory() as cache:
            with Server("--tune", "fast", "--tune-cache", cache, "--max-batch", "1") as server:
                wait_until(lambda: self.events(server, "measured"), "the end of measuring")
            (path,) = pathlib.Path(cache).iterdir()
            path.write_bytes(path.read_bytes()[:-1])
            with Server("--tune", "fast", "--tune-cache", cache, "--max-batch", "1") as server:
                self.assertEqual(len(self.events(server, "tuning results not used")), 1)
                self.assertEqual(server.classify().status, 200)

    def test_answers_go_on_while_plans_are_replaced(self):
        with tempfile.TemporaryDirectory() as cache, Server("--tune", "fast", "--tune-cache", cache, "--max-batch", "4") as server:
            with Clients(server, 4) as clients:
                wait_until(lambda: self.events(server, "measured"), "the end of measuring")
            self.assertEqual(len(self.events(server, "tuned")), 1)
            self.assertEqual(clients.failures, [])
            self.assertEqual(set(clients.answers), {200})


class Deterministic(unittest.TestCase):
    def test_the_same_picture_has_the_same_answer_whatever_else_is_asked(self):
        with Server("--deterministic") as server:
            alone = logits(server.classify())
            answers = []

            def client():
                for _ in range(5):
                    answers.append(logits(server.classify()))

            threads = [threading.Thread(target=client) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(answers), 30)
            for answer in answers:
                self.assertEqual(answer, alone)
