"""What the server makes of cores that come and go, and of the memory that it may take."""
import os
import unittest

from process import Clients, Server, wait_until


def set_affinity(server, cpus):
    """Of all threads, as taskset --all-tasks does."""
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        os.sched_setaffinity(int(task), cpus)


class Cores(unittest.TestCase):
    def used(self, server):
        return [event["used"] for event in server.log() if event["event"] == "cores"]

    def test_it_works_on_as_many_cores_as_it_is_left(self):
        cpus = os.sched_getaffinity(0)
        if len(cpus) < 2:
            self.skipTest("a single CPU")
        with Server("--elastic", "off") as server:
            with Clients(server, 6) as clients:
                set_affinity(server, {min(cpus)})
                wait_until(lambda: self.used(server) == [1], "one core")
                n = len(clients.answers)
                wait_until(lambda: len(clients.answers) > n + 10, "answers on one core")
                set_affinity(server, cpus)
                wait_until(lambda: self.used(server)[1:] == [len(cpus)], "all cores again")
                n = len(clients.answers)
                wait_until(lambda: len(clients.answers) > n + 10, "answers on all cores")
            self.assertEqual(clients.failures, [])
            self.assertEqual(set(clients.answers), {200})

    def test_a_number_that_was_asked_for_stays(self):
        with Server("--threads", "1") as server:
            self.assertEqual(server.classify().status, 200)
            self.assertEqual(self.used(server), [])


class Ceiling(unittest.TestCase):
    def test_the_ceiling_is_the_sum_of_its_parts_and_follows_the_limits(self):
        with Server("--max-inflight", "32M", "--max-pixels", "1M", "--max-connections", "10", "--threads", "1") as server:
            (event,) = [event for event in server.log() if event["event"] == "memory ceiling"][:1]
            parts = ("loaded_bytes", "body_bytes", "decode_bytes", "pixel_bytes", "connection_bytes")
            self.assertEqual(event["total_bytes"], sum(event[part] for part in parts))
            self.assertEqual(event["body_bytes"], 32 << 20)
            self.assertLess(event["decode_bytes"], 32 << 20)
            self.assertLess(event["connection_bytes"], 1 << 20)
            self.assertGreater(event["loaded_bytes"], 1 << 20)

    def test_bodies_hold_no_more_than_they_may(self):
        """One body is always possible; a second one is refused while the first is held."""
        body = b"\xff\xd8" + b"x" * (1 << 20)
        with Server("--max-body", "2M", "--max-inflight", "2M", "--read-timeout", "60s") as server:
            with server.connect() as first:
                first.putrequest("POST", "/v1/classify")
                first.putheader("Content-Type", "image/jpeg")
                first.putheader("Content-Length", str(3 << 19))
                first.endheaders(body[:1000])  # a mebibyte is held for what its length promises
                wait_until(lambda: server.classify(body + body[:1000]).status == 429, "a body that finds no room")
                self.assertEqual(server.classify().status, 200)  # a small one does
