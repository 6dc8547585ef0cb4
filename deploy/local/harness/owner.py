"""Servers that live exactly as long as whoever started them.

A guard process holds the read end of a pipe whose write end only the owner has. When the owner goes, however it goes
(a return, an exception, Ctrl-C, SIGTERM, SIGKILL), the pipe ends and the guard takes everything down. It is the only
way down, so every run exercises it.
"""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Iterator

from .fleet import Fleet
from .paths import LOCAL, ONNXRUNTIME
from .say import Failed

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked us to end. Not an `Exception`: nothing on the way may take it for an error and carry on."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def raise_stopped(signum: int, _: FrameType | None) -> None:
    raise Stopped(signum)


class Guard:
    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(LOCAL / "local.py"), "guard", "--dir", str(folder)]
        with (folder / "guard.log").open("w") as log:
            self.child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def adopt(self, group: int) -> None:
        """A process group that must not outlive us either."""
        print(group, file=self.child.stdin, flush=True)

    def release(self) -> None:
        with suppress(OSError):
            self.child.stdin.close()
        self.child.wait()


def guard(folder: Path) -> None:
    """The guard's own life: `local.py guard`."""
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)
    groups = [int(line) for line in sys.stdin]
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    Fleet(folder).down()


@contextmanager
def owned(folder: Path, names: list[str], *, fresh: bool) -> Iterator[tuple[Fleet, Guard]]:
    """The servers, up for the length of a `with`. Signals arrive inside as `Stopped`."""
    before = {signum: signal.signal(signum, raise_stopped) for signum in STOPPING}
    fleet, keeper = Fleet(folder), Guard(folder)
    try:
        fleet.up(names, fresh=fresh)
        yield fleet, keeper
    finally:
        for signum in STOPPING:
            signal.signal(signum, signal.SIG_IGN)
        keeper.release()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def environment(fleet: Fleet) -> dict[str, str]:
    """What a command sees: the addresses, how to reach this harness, and ONNX Runtime unless it chose another."""
    own = {"RELAY_SERVERS_DIR": str(fleet.folder), "RELAY_LOCAL": str(LOCAL / "local.py")}
    return {"RELAY_ONNXRUNTIME": str(ONNXRUNTIME), **os.environ, **fleet.env(), **own}


def supervise(command: list[str], keeper: Guard, env: dict[str, str], **options: object) -> subprocess.Popen:
    """Starts `command` in a process group of its own, which ends with us."""
    try:
        child = subprocess.Popen(command, env=env, process_group=0, **options)
    except OSError as why:
        raise Failed(f"`{command[0]}` cannot be run: {why.strerror}") from why
    keeper.adopt(child.pid)
    return child


def wait(child: subprocess.Popen, patience_s: float = 15) -> int:
    """The child's exit code; a signal to us is passed on to its whole group, a second one kills it."""
    try:
        return code(child.wait())
    except Stopped as stopped:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, stopped.signum)
        try:
            child.wait(patience_s)
        except (Stopped, subprocess.TimeoutExpired):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        return 128 + stopped.signum


def code(returned: int) -> int:
    """As a shell says it: 128 + n for signal n."""
    return 128 - returned if returned < 0 else returned
