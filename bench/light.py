"""Light tenants beside a hostile one, on the small ONNX model of `relay up`: p50 and p99, alone and beside it, in turns.

Nine light tenants ask for a capital once a second each. The hostile one keeps 64 requests going: short ones, or prompts of about 900
tokens. Latency is that of the whole answer, from the client. `make bench-light`, or `python3 bench/light.py --help`.
"""

import argparse
import http.client
import json
import pathlib
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAPITALS = ["France", "Japan", "Italy", "Spain", "Peru", "Kenya", "Norway", "Egypt", "Chile"]
AT_ONCE = 64
HOSTILE = {
    "short requests": ("What is the capital of Brazil?", 16),
    "long prompts": ("word and sum " * 280 + " What is the capital of Brazil?", 64),
}


def ask(port, tenant, text, tokens):
    """Seconds that the answer took; an answer that is none ends the measurement."""
    body = {"model": "relay-chat", "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0.7}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.monotonic()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", "X-Tenant-Id": tenant}
    )
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{tenant} got {answer.status}: {said[:200]!r}")
    return time.monotonic() - began


def repeat(stop, took, failed, every, *asked):
    try:
        while not stop.is_set():
            took.append(ask(*asked))
            stop.wait(max(0.0, every - took[-1]))
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        failed.append(error)


def window(port, seconds, hostile=None):
    """Latencies in ms of the light tenants, and how many answers the hostile one got."""
    stop, light, other, failed = threading.Event(), [], [], []
    attack = []
    if hostile:
        text, tokens = hostile
        arguments = (stop, other, failed, 0, port, "hostile", text, tokens)
        attack = [threading.Thread(target=repeat, args=arguments) for _ in range(AT_ONCE)]
    tenants = [
        threading.Thread(
            target=repeat, args=(stop, light, failed, 1, port, f"light-{number}", f"What is the capital of {capital}?", 16)
        )
        for number, capital in enumerate(CAPITALS)
    ]
    for thread in attack:
        thread.start()
    time.sleep(3 if attack else 0)
    other.clear()
    for thread in tenants:
        thread.start()
        time.sleep(1 / len(tenants))
    time.sleep(seconds)
    answered = len(other)
    stop.set()
    for thread in tenants + attack:
        thread.join()
    if failed:
        raise failed[0]
    return sorted(1_000 * took for took in light), answered


def quantile(ascending, share):
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def ready(port, process):
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        if process.poll() is not None:
            raise SystemExit("relay ended; its log is above")
        time.sleep(0.1)
    raise SystemExit("relay was not ready within a minute")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured; medians are printed")
    parser.add_argument("--seconds", type=float, default=20, help="of each window")
    parser.add_argument("--relay", default=ROOT / "target/release/relay", help="the executable")
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryFile() as said:
        command = [arguments.relay, "up", "--port", str(port), "--admin-port", "0", "--data", data, "--log-level", "WARNING"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=said)
        try:
            ready(port, process)
            print("| hostile tenant, 64 at once | alone p50 / p99 ms | beside it p50 / p99 ms | its answers a second |\n|---|---|---|---|")
            for name, hostile in HOSTILE.items():
                alone, beside, answers = [], [], []
                for _ in range(arguments.runs):
                    alone.append(window(port, arguments.seconds)[0])
                    latencies, answered = window(port, arguments.seconds, hostile)
                    beside.append(latencies)
                    answers.append(answered / arguments.seconds)
                cells = [
                    " / ".join(f"{statistics.median(quantile(run, share) for run in runs):.0f}" for share in (0.5, 0.99))
                    for runs in (alone, beside)
                ]
                print(f"| {name} | {cells[0]} | {cells[1]} | {statistics.median(answers):.0f} |", flush=True)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


if __name__ == "__main__":
    main()
