"""Processes by identity, and ports that stay free while a server is down."""

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def stat(pid: int) -> list[str] | None:
    """The fields of `/proc/PID/stat` after the name: state, parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def born(pid: int) -> int | None:
    """When the kernel started this process, in ticks; with the pid it names one process for ever."""
    fields = stat(pid)
    return int(fields[19]) if fields else None


def alive(pid: int | None, since: int | None) -> bool:
    fields = stat(pid) if pid else None
    return bool(fields) and fields[0] not in "ZX" and int(fields[19]) == since


def family(pid: int) -> list[int]:
    """`pid` and all its descendants. Postgres's own make process groups of their own, so groups do not find them."""
    parents = {int(entry): stat(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
    found = [pid]
    for one in found:
        found += [child for child, fields in parents.items() if fields and int(fields[1]) == one]
    return found


def signal_family(pid: int, signum: int) -> None:
    for one in family(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signum)


def spawn(command: list[str], *, cwd: Path, log: Path, env: dict[str, str]) -> subprocess.Popen:
    with log.open("ab") as out:
        return subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def end(pid: int, since: int, signum: int, patience_s: float) -> bool:
    """Asks with `signum`, then kills. True if asking was enough."""
    if not alive(pid, since):
        return True
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
    if gone(pid, since, patience_s):
        return True
    signal_family(pid, signal.SIGKILL)
    gone(pid, since, 5)
    return False


def gone(pid: int, since: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while alive(pid, since):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Below the range from which the kernel serves outgoing connections: a stopped server's port must not be taken."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 32_000)
        if port not in found and is_free(port):
            found.append(port)
    return found
