"""bench_load and `saccade bench` as functions: one run each, what it found as a dict."""
import json
import os
import subprocess

from serving.servers import Failure


def command_of(options, server, images, clients=None, rate=None, arrival="constant", seconds=2.0, warm_up=0.3, deadline_ms=None,
               body_bytes=None, obey=False, read_late=False, grace=10, interval=None, seed=1):
    command = [options.bench_load, "--images", images, "--seconds", seconds, "--warm-up", warm_up, "--grace", grace]
    if rate:
        command += ["--rate", f"{rate:.4f}", "--arrival", arrival, "--seed", seed]
    else:
        command += ["--clients", clients]
    if deadline_ms:
        command += ["--deadline", f"{deadline_ms:.0f}"]
        command += ["--send-deadline"] if server.tells_deadline else []
    command += ["--body-bytes", body_bytes] if body_bytes else []
    command += ["--obey-retry-after"] if obey else []
    command += ["--read-late"] if read_late else []
    command += ["--interval", interval] if interval else []
    return [str(part) for part in command + [server.url()]]


def run(options, server, images, **kind):
    """One run; the CPU time that the server took for it is in it as well."""
    before = server.cpu_s()
    result = subprocess.run(command_of(options, server, images, **kind), capture_output=True, text=True)
    if result.returncode != 0:
        server.fail(f"the load generator failed: {result.stderr.strip()}")
    answer = json.loads(result.stdout.splitlines()[-1])
    answer["server_cpu_s"] = server.cpu_s() - before
    return answer


def unclean(answer):
    """What makes throughput and latencies of a closed loop mean less than they say, in words; "" where nothing does."""
    others = {status: n for status, n in answer["statuses"].items() if status != "200"}
    found = [f"status {status}: {n}" for status, n in others.items()]
    if answer["broken"]:
        found.append(f"{answer['broken']} broken connections")
    if not answer["accepted"]["n"]:
        found.append(f"no answer within {answer['seconds']:g} s")
    return ", ".join(found)


def limit(options, model, precision, images, seconds, streams=None, threads=None, batch=1):
    """Decoding and inference together without HTTP."""
    command = [options.saccade, "bench", "--images", images, "--precision", precision, "--seconds", seconds, "--batch", batch,
               "--threads", threads or options.threads, "--tune-cache", options.tune_cache, "--json"]
    command += ["--streams", streams] if streams else []
    command += ["--model", model] if model else []
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                            env={**os.environ, **options.isa_environment})
    if result.returncode != 0:
        raise Failure(f"saccade bench: {result.stderr.strip()}")
    return json.loads(result.stdout.splitlines()[-1])
