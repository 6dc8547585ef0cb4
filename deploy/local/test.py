#!/usr/bin/env python3
"""`make test`: every runner of the project, one after the other, with the real servers up, and one line at the end.

To add a runner, add a row to RUNNERS. A runner that fails without saying so, or that runs nothing, counts as one failure.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; mend it with: python3.11")

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from harness import counts, owner
from harness.paths import OPENAI_PYTHON, RELAY, ROOT
from harness.prerequisites import check
from harness.say import Failed
from harness.servers import SERVERS
from harness.tools import TOOLS_BY_NAME, install

# On CI the committed lock file is the truth; at a desk it may be about to change.
LOCKED = ["--locked"] if os.environ.get("CI") else []
CARGO = ["cargo", "test", "--workspace", *LOCKED]


@dataclass(frozen=True)
class Runner:
    name: str
    command: list[str]
    read: counts.Reader
    """Only where this exists."""
    where: str | None = None


RUNNERS = [
    Runner("local", [sys.executable, "-m", "unittest", "discover", "-s", "deploy/local/tests"], counts.unittest),
    Runner("cargo", [*CARGO, "--no-fail-fast"], counts.cargo),
    Runner("models", [sys.executable, "models/check.py"], counts.plain),
    Runner("openai", [str(OPENAI_PYTHON), "-m", "pytest", "tests/openai", "-q"], counts.pytest, where="tests/openai"),
]


def announce(text: str) -> None:
    print(f"\n── {text}", flush=True)


def run(runner: Runner, keeper: owner.Guard, env: dict[str, str]) -> counts.Count:
    announce(f"{runner.name}: {' '.join(runner.command)}")
    began = time.monotonic()
    pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    child = owner.supervise(runner.command, keeper, env, text=True, errors="replace", cwd=ROOT, **pipe)
    passed = failed = 0
    for line in child.stdout:
        line = line.rstrip("\n")
        more = runner.read(line)
        passed, failed = passed + more[0], failed + more[1]
        # The plain closing line is ours alone; a runner's own is shown with its name before it.
        print(f"[{runner.name}] {line}" if counts.PLAIN.match(line) else line, flush=True)
    code = owner.wait(child)
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
    install(list(TOOLS_BY_NAME))
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
            more = run(runner, keeper, env)
            passed, failed = passed + more[0], failed + more[1]
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
