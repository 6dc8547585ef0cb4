"""Starts the embedded column once for all tests, unless a running gateway is named."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def executable():
    """The build that the Rust tests made, or the one `make up` made; whichever is newer."""
    built = [ROOT / "target" / name for name in ("debug/relay-with-crash-points", "debug/relay", "release/relay")]
    built = [path for path in built if path.exists()]
    assert built, "no executable: `cargo build -p relay` makes it"
    return max(built, key=lambda path: path.stat().st_mtime)


def wait_until_ready(base, process, seconds=60):
    deadline = time.monotonic() + seconds
    last = "no answer yet"
    while time.monotonic() < deadline:
        assert process is None or process.poll() is None, "the gateway ended before it was ready; see its relay.log"
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=1):
                return
        except urllib.error.HTTPError as error:
            last = json.loads(error.read())
        except OSError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not ready after {seconds} s: {last}")


@pytest.fixture(scope="session")
def base_url(tmp_path_factory):
    named = os.environ.get("RELAY_BASE_URL")
    if named:
        wait_until_ready(named, None)
        yield named
        return
    folder = tmp_path_factory.mktemp("relay")
    port, admin = free_port(), free_port()
    command = [executable(), "up", "--port", str(port), "--admin-port", str(admin), "--data", str(folder / "data")]
    with open(folder / "relay.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        base = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(base, process)
            yield base
        finally:
            process.terminate()
            process.wait(timeout=40)


@pytest.fixture(scope="session")
def client(base_url):
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key="local", max_retries=0, timeout=60)
