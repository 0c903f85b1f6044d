#!/usr/bin/env python3
"""Writes the seeds of corpus/exposition and corpus/http_reply, beside what fuzzing has found."""
import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def server(start, cpu, events, model="resnet50"):
    """A small server's metrics, in the words of docs/metrics.md."""
    lines = ["# HELP saccade_build_info The program that runs; always 1.", "# TYPE saccade_build_info gauge",
             'saccade_build_info{version="1.2.3"} 1',
             f'saccade_model_info{{model="{model}",version="0123456789ab",precision="int8"}} 1']
    lines += [f'saccade_requests_total{{handler="{handler}",code="{code}"}} {events}'
              for handler in ("classify", "livez") for code in (200, 429)]
    lines += [f'saccade_images_total{{model="{model}",outcome="{outcome}"}} {events}' for outcome in ("ok", "deadline")]
    for stage in ("receive", "decode", "queue", "infer", "encode", "total"):
        labels = f'stage="{stage}",model="{model}"'
        lines += [f'saccade_stage_duration_seconds_bucket{{{labels},le="{le}"}} {events * share // 4}'
                  for le, share in (("0.001", 0), ("0.0015", 1), ("0.01", 3), ("+Inf", 4))]
        lines += [f"saccade_stage_duration_seconds_sum{{{labels}}} {events * 0.004:.9f}",
                  f"saccade_stage_duration_seconds_count{{{labels}}} {events}"]
    lines += [f'saccade_batch_size_bucket{{model="{model}",le="+Inf"}} {events}',
              f'saccade_batch_size_sum{{model="{model}"}} {3 * events}', f'saccade_shed_total{{reason="queue_full"}} {events}',
              "saccade_cpus 2", "saccade_queue_images 3", "saccade_inflight_requests 4", "saccade_saturation_ratio 1.5",
              "saccade_queue_wait_estimate_seconds 0.046", "process_resident_memory_bytes 57671680", "process_open_fds 19",
              "process_max_fds 20000", f"process_start_time_seconds {start}", f"process_cpu_seconds_total {cpu}"]
    return "\n".join(lines) + "\n"


def write(folder, seeds):
    path = CORPUS / folder
    path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (path / f"seed-{number:03}").write_bytes(seed if isinstance(seed, bytes) else seed.encode())


NEXT = "\n# next\n"
BUILD = "saccade_build_info 1\n"
write("exposition", [
    server(1000, 5, 100) + NEXT + server(1000, 8, 300),
    server(1000, 5, 100) + NEXT + server(1050, 1, 20),
    NEXT + server(1000, 5, 100, model='a\\"b\\\\c\\nd\x1b[31m\xe9'),
    NEXT + BUILD + "".join(f'saccade_model_info{{model="{i}"}} 1\n' for i in range(80)),
    NEXT + BUILD + "".join(f'saccade_requests_total{{code="{i}"}} 1e{i}\n' for i in range(30)),
    NEXT + BUILD + "".join(f'saccade_batch_size_bucket{{le="{i}"}} {i}\n' for i in range(200, 0, -1)),
    NEXT + BUILD + 'saccade_batch_size_bucket{le="NaN"} 1\nsaccade_batch_size_bucket{le="-Inf"} 2\n'
    'saccade_batch_size_bucket{le="+Inf"} Inf\nsaccade_saturation_ratio NaN\nsaccade_queue_images 1e308\n',
    'a{b="c",} +Inf 12 # {id="x"} 0.5 1\nwith:colon{} NaN\n\t x { y = "z" } -1e-3 -7\n',
    'a{b="\\x"} 1', 'a{b="c', "a 1 2 3", "<html>", b"a 1\0b 2", b'a{b="\xff\xfe"} 1' + NEXT.encode() + b"saccade_build_info 1",
])
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
write("http_reply", [
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0 200\nA: b\n\nhello",
    CHUNKED + "3\r\nhel\r\n00002;x=y\r\nlo\r\n0\r\n\r\n",
    CHUNKED + "ffffffff\r\nabc",
    CHUNKED + "1\na\n1\nb\n0\n",
    "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:8080/metrics\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "HTTP/1.1 204\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
])
