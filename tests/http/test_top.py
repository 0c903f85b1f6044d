#!/usr/bin/env python3
"""saccade top against real servers and against those that are none, in a pipe and on a terminal."""
import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

from process import BOUND_S, Server, wait_until

LEAVE = b"\x1b[?1049l"


def top(*words, **kwargs):
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
    return subprocess.run([os.environ["SACCADE"], "top", "--interval", "200ms", *words], capture_output=True, text=True,
                          env=environment, timeout=BOUND_S, **kwargs)


class Impostor:
    """Answers every connection with the same bytes, then closes it."""

    def __init__(self, answer, family=socket.AF_INET):
        self.answer, self.requests = answer, []
        self.socket = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with connection, contextlib.suppress(OSError):
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(4096)
                    self.requests.append(request.decode())
                    connection.sendall(self.answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def answer_of(text, status="200 OK", extra=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text.encode())}\r\n{extra}\r\n{text}".encode()


class Once(unittest.TestCase):
    def test_a_report_says_what_the_server_did_meanwhile(self):
        with Server() as server:
            precision = server.request("GET", "/v1/models").json()["models"][0]["precision"]
            stop = threading.Event()
            load = threading.Thread(target=lambda: [server.classify() for _ in iter(stop.is_set, True)])
            load.start()
            try:
                done = top("--interval", "500ms", f"127.0.0.1:{server.port}")
            finally:
                stop.set()
                load.join()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
        self.assertEqual(rows["requests"][2], "200")
        self.assertGreater(float(rows["requests"][1].removesuffix("/s")), 0)
        self.assertEqual(rows["requests"][1:], [rows["requests"][1], "200", rows["requests"][1].removesuffix("/s")])
        self.assertEqual(rows["images"][2], "ok")
        self.assertEqual(rows["refused"][1:], ["0.0/s"])
        for stage in ("decode", "infer", "total"):
            p50, p99, mean, per_s = map(float, rows[stage][1:])
            self.assertTrue(0 < p50 <= p99)
            self.assertTrue(0 < mean <= p99)
            self.assertGreater(per_s, 0)
        self.assertGreater(float(rows["total"][1]), float(rows["decode"][1]))
        self.assertEqual(rows["efficientnet-lite0"][2], precision)
        self.assertGreater(float(rows["process"][1]), 0)
        self.assertGreater(float(re.search(r"([0-9.]+) MiB", done.stdout)[1]), 1)

    def test_ipv6(self):
        metrics = "saccade_build_info{version=\"7.7.7\"} 1\n"
        try:
            impostor = Impostor(answer_of(metrics), socket.AF_INET6)
        except OSError:
            self.skipTest("no IPv6 here")
        with impostor:
            done = top(f"http://[::1]:{impostor.port}/metrics?x=y")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("saccade 7.7.7", done.stdout)
            self.assertTrue(impostor.requests[0].startswith("GET /metrics?x=y HTTP/1.1\r\n"), impostor.requests[0])
            self.assertIn(f"\r\nHost: [::1]:{impostor.port}\r\n", impostor.requests[0])

    def test_a_hostile_answer_sends_nothing_to_the_terminal(self):
        metrics = ('saccade_build_info{version="\x1b]0;x\x07"} 1\nsaccade_model_info{model="\x1b[2J\\n\x9b1m",version="v"} 1\n'
                   'saccade_requests_total{code="\x1b[31m"} 1\n')
        with Impostor(answer_of(metrics)) as impostor:
            done = top(f"127.0.0.1:{impostor.port}")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\A[\n -~\u00a0-\uffff]*\Z")

    def check_failure(self, *words, say, status=1):
        done = top(*words)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Asaccade top: [^\n]+\n\Z")
        self.assertIn(say, done.stderr)

    def test_what_is_no_server_is_told_why(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.check_failure(f"127.0.0.1:{port}", say=f"127.0.0.1:{port}: Connection refused")
        self.check_failure("https://127.0.0.1", say="TLS", status=2)
        self.check_failure("127.0.0.1:99999", say="port", status=2)
        for answer, say in [
            (answer_of("go_goroutines 7\n"), "not those of saccade"),
            (answer_of("<html>\n"), "/metrics: these are no metrics: line 1: "),
            (answer_of("", "404 Not Found"), "answered 404"),
            (answer_of("", "301 Moved", "Location: http://example.org/m\r\n"), "http://example.org/m"),
            (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsacc", "ended early"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", "more than 8388608 bytes"),
            (b"", "ended early"),
        ]:
            with self.subTest(answer=answer), Impostor(answer) as impostor:
                self.check_failure(f"127.0.0.1:{impostor.port}", say=say)

    def test_who_does_not_answer_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.check_failure(f"127.0.0.1:{listener.getsockname()[1]}", say="no complete answer within")


class Live:
    """saccade top on a terminal of its own."""

    def __init__(self, *words, lines=30, columns=100):
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [os.environ["SACCADE"], "top", "--interval", "100ms", *words], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen

    def wait_for(self, text):
        wait_until(lambda: text in self.read(), f"{text} in {self.seen[-3000:]}")

    def forget(self):
        self.read()
        self.seen = b""

    def end(self):
        """The exit status, when all that was written has been read."""
        wait_until(lambda: self.read() is not None and self.process.poll() is not None, "the end")
        self.read()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def has_socket(pid):
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.readlink(link).startswith("socket:"):
                return True
    return False


class OnATerminal(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.url = f"127.0.0.1:{self.server.port}"

    def check_restored(self, live):
        self.assertTrue(live.seen.endswith(LEAVE), live.seen[-200:])
        self.assertIn(b"\x1b[?25h", live.seen)
        self.assertEqual(termios.tcgetattr(live.slave), live.before)

    def test_it_follows_the_server_and_ends_at_q(self):
        with Live(self.url) as live:
            live.wait_for(b"efficientnet-lite0")
            self.assertTrue(live.seen.startswith(b"\x1b[?1049h"))
            self.assertFalse(termios.tcgetattr(live.slave)[3] & (termios.ICANON | termios.ECHO))
            self.server.classify(b"no image")
            live.wait_for(b" 415 ")
            live.wait_for(b"unsupported_image")
            os.write(live.master, b"xq")
            self.assertEqual(live.end(), 0)
            self.check_restored(live)

    def test_ctrl_c_and_sigterm_restore_the_terminal(self):
        for end in (lambda live: os.write(live.master, b"\x03"), lambda live: live.process.send_signal(signal.SIGTERM)):
            with Live(self.url) as live:
                live.wait_for(b"efficientnet-lite0")
                end(live)
                self.assertEqual(live.end(), 0)
                self.check_restored(live)

    def test_another_size_is_another_picture(self):
        with Live("--interval", "60m", self.url) as live:
            live.wait_for(b"efficientnet-lite0")
            live.forget()
            live.resize(5, 60)
            live.wait_for(b"refused")
            wait_until(lambda: live.read().endswith(b"\x1b[J"), "the rest of the picture")
            self.assertNotIn(b"efficientnet", live.seen)
            self.assertEqual(live.seen.count(b"\r\n"), 4)
            os.write(live.master, b"q")
            self.assertEqual(live.end(), 0)

    def test_a_server_that_goes_away_is_asked_again(self):
        with Live(self.url) as live:
            live.wait_for(b"efficientnet-lite0")
            self.server.process.kill()
            live.wait_for(b"Connection refused")
            live.forget()
            live.wait_for(b"efficientnet-lite0")  # what was known stays
            os.write(live.master, b"q")
            self.assertEqual(live.end(), 0)

    def test_it_can_be_left_while_a_server_does_not_answer(self):
        with Live(self.url) as live:
            live.wait_for(b"efficientnet-lite0")
            self.server.process.send_signal(signal.SIGSTOP)
            # The next question waits for its answer now.
            wait_until(lambda: live.read() is not None and has_socket(live.process.pid), "a question")
            started = time.monotonic()
            os.write(live.master, b"q")
            self.assertEqual(live.end(), 0)
            self.assertLess(time.monotonic() - started, 4)
            self.server.process.send_signal(signal.SIGCONT)

    def test_stopped_it_gives_the_terminal_back(self):
        with Live(self.url) as live:
            live.wait_for(b"efficientnet-lite0")
            live.forget()
            os.write(live.master, b"\x1a")
            live.wait_for(LEAVE)
            wait_until(lambda: termios.tcgetattr(live.slave) == live.before, "the terminal's old mode")
            self.assertTrue(os.WIFSTOPPED(os.waitpid(live.process.pid, os.WUNTRACED)[1]))
            live.process.send_signal(signal.SIGCONT)
            live.wait_for(b"\x1b[?1049h")
            live.wait_for(b"efficientnet-lite0")
            os.write(live.master, b"q")
            self.assertEqual(live.end(), 0)
            self.check_restored(live)


if __name__ == "__main__":
    unittest.main()
