#!/usr/bin/env python3
"""`make test`: every runner of the project, one after the other, with the real servers up, and one line at the end.

To add a runner, add a row to RUNNERS. A runner that fails without saying so, that runs nothing, or that is not done within
its limit counts as one failure; after the last, nothing more is run.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; mend it with: python3.11")

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from harness import counts, owner
from harness.paths import OPENAI_PYTHON, RELAY, ROOT
from harness.prerequisites import check
from harness.say import Failed, tail
from harness.servers import SERVERS
from harness.tools import FOR_TESTS, install

# On CI the committed lock file is the truth; at a desk it may be about to change.
LOCKED = ["--locked"] if os.environ.get("CI") else []
CARGO = ["cargo", "test", "--workspace", *LOCKED]


@dataclass(frozen=True)
class Runner:
    name: str
    command: list[str]
    read: counts.Reader
    """Several times what it takes on two busy cores: who waits longer waits for ever."""
    limit_s: int
    """Only where this exists."""
    where: str | None = None


RUNNERS = [
    Runner("local", [sys.executable, "-m", "unittest", "discover", "-s", "deploy/local/tests"], counts.unittest, 600),
    Runner("cargo", [*CARGO, "--no-fail-fast"], counts.cargo, 3000),
    Runner("models", [sys.executable, "models/check.py"], counts.plain, 1200),
    Runner("openai", [str(OPENAI_PYTHON), "-m", "pytest", "tests/openai", "-q"], counts.pytest, 600, where="tests/openai"),
]


def announce(text: str) -> None:
    print(f"\n── {text}", flush=True)


class OutOfTime(Exception):
    """A runner was not done within its limit, and was killed."""


class Limit:
    """Kills a runner's whole process group when its time is over; knows what it was at, and what it said last."""

    def __init__(self, child: subprocess.Popen, seconds: float):
        self.child = child
        self.is_over = False
        self.at = "its start"
        self.said: deque[str] = deque(maxlen=30)
        self.timer = threading.Timer(seconds, self.expire)
        self.timer.daemon = True

    def __enter__(self) -> "Limit":
        self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()

    def hear(self, line: str) -> None:
        self.at = counts.binary(line) or self.at
        self.said.append(line)

    def expire(self) -> None:
        self.is_over = True
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)


def run(runner: Runner, keeper: owner.Guard, env: dict[str, str]) -> counts.Count:
    announce(f"{runner.name}: {' '.join(runner.command)}")
    began = time.monotonic()
    pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    child = owner.supervise(runner.command, keeper, env, text=True, errors="replace", cwd=ROOT, **pipe)
    passed = failed = 0
    with Limit(child, runner.limit_s) as limit:
        for line in child.stdout:
            line = line.rstrip("\n")
            limit.hear(line)
            more = runner.read(line)
            passed, failed = passed + more[0], failed + more[1]
            # The plain closing line is ours alone; a runner's own is shown with its name before it.
            print(f"[{runner.name}] {line}" if counts.PLAIN.match(line) else line, flush=True)
        code = owner.wait(child)
    if limit.is_over:
        announce(f"{runner.name}: not done after {runner.limit_s} s, at {limit.at}; killed, and counted as one failure. It said last:")
        print(tail("\n".join(limit.said), limit.said.maxlen), flush=True)
        raise OutOfTime((passed, failed + 1))
    if code != 0 and failed == 0:
        announce(f"{runner.name}: ended with {code} without a failed test; that counts as one")
        failed = 1
    if passed + failed == 0:
        announce(f"{runner.name}: ran nothing; that counts as one failure")
        failed = 1
    announce(f"{runner.name}: passed {passed}, failed {failed}, {time.monotonic() - began:.0f} s")
    return passed, failed


def run_all() -> counts.Count:
    announce("prerequisites")
    check("test")
    install(FOR_TESTS)
    announce("build (before the servers, so that they do not compete for the cores)")
    if subprocess.run([*CARGO, "--no-run"], cwd=ROOT).returncode != 0:
        return 0, 1
    announce("servers")
    folder = RELAY / "test-servers" / str(os.getpid())
    passed = failed = 0
    with owner.owned(folder, list(SERVERS), fresh=True) as (fleet, keeper):
        env = {**owner.environment(fleet), "PYTHONUNBUFFERED": "1", "RUST_BACKTRACE": "1"}
        for runner in RUNNERS:
            if runner.where and not (ROOT / runner.where).exists():
                announce(f"{runner.name}: no {runner.where}, nothing to run")
                continue
            try:
                more, done = run(runner, keeper, env), True
            except OutOfTime as late:
                more, done = late.args[0], False
            passed, failed = passed + more[0], failed + more[1]
            if not done:
                break
    if failed == 0:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        announce(f"the servers' logs are in {folder.relative_to(ROOT)}")
    return passed, failed


def main() -> int:
    try:
        passed, failed = run_all()
    except Failed as why:
        print(why, flush=True)
        passed, failed = 0, 1
    except owner.Stopped as stopped:
        announce(f"stopped by {stopped}")
        return 128 + stopped.signum
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
