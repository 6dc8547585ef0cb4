"""Starts the embedded column once for all tests, unless a running gateway is named."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "local"))

from harness.process import free_ports

TESTED = pytest.StashKey[str]()


def executable():
    """The build that RELAY_EXECUTABLE names, or else the one that `cargo test` makes together with the Rust tests."""
    named = os.environ.get("RELAY_EXECUTABLE")
    if named:
        built = pathlib.Path(named)
        assert built.is_file(), f"RELAY_EXECUTABLE names no file: {named}"
    else:
        built = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "relay-with-crash-points"
        assert built.is_file(), f"no {built}: `cargo build -p relay-tests --bins` makes it, or name another in RELAY_EXECUTABLE"
    return built.resolve()


def pytest_terminal_summary(terminalreporter, config):
    """Says what was tested, also where pytest is told to be quiet."""
    terminalreporter.write_line(f"tested: {config.stash.get(TESTED, 'nothing')}")


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
def base_url(tmp_path_factory, pytestconfig):
    named = os.environ.get("RELAY_BASE_URL")
    pytestconfig.stash[TESTED] = named or str(executable())
    if named:
        wait_until_ready(named, None)
        yield named
        return
    folder = tmp_path_factory.mktemp("relay")
    port, admin = free_ports(2)
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
