#!/usr/bin/env python3
"""`make up-production`: the six services as six processes, as a cluster would run them, on a running `make servers`.

A service that dies is started again, as any supervisor would: kill one and watch the others carry on. One that dies
right after each start stops everything. Ctrl-C drains in the order of the flow: each is asked to finish what it holds once those
that need it have ended, and given time to. A second Ctrl-C kills, and the exit code is 1, as where a service failed; it is 3 where one had
to cut something.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from harness import owner
from harness.fleet import Fleet
from harness.paths import ROOT, SERVERS as DEFAULT_DIR
from harness.say import Failed, say
from harness.servers import OPEN

# In the order of the flow. They start together: each waits for what it needs.
SERVICES = ["ingress", "planner", "cache-service", "scheduler", "workers", "trace-sink"]
# Each has an operators' listener; the trace sink's, with the admin pages, is where a person looks for it.
ADMIN_PORTS = {name: 8002 + number for number, name in enumerate(SERVICES)} | {"trace-sink": 8001}
WIDTH = max(map(len, SERVICES))

# For each of them: more than the `drain_timeout` of a service, and what it takes to let go afterwards.
DRAIN_PATIENCE_S = 30
CUT = 3
SHORT_LIFE_S = 5
SHORT_LIVES_ALLOWED = 3


class Service:
    """One child, with its name before each line it logs."""

    def __init__(self, name: str, command: list[str], env: dict[str, str]):
        self.name, self.command, self.env = name, command, env
        self.short_lives = 0
        self.start()

    def start(self) -> None:
        self.began = time.monotonic()
        # A group of its own: the terminal's Ctrl-C reaches only us, and we drain.
        self.child = subprocess.Popen(
            self.command, env=self.env, cwd=ROOT, text=True, errors="replace", process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.relay_lines, args=(self.child.stdout,), daemon=True)
        self.reader.start()

    def relay_lines(self, lines) -> None:
        for line in lines:
            with suppress(OSError):
                print(f"{self.name:{WIDTH}} | {line}", end="", flush=True)

    def start_again(self) -> None:
        code = self.child.returncode
        self.short_lives = self.short_lives + 1 if time.monotonic() - self.began < SHORT_LIFE_S else 0
        if self.short_lives >= SHORT_LIVES_ALLOWED:
            raise Failed(f"{self.name} ended {self.short_lives} times right after its start, the last time with {code}")
        say(f"{self.name:{WIDTH}} | ended with {code}; starting it again")
        time.sleep(1)
        self.start()

    def signal(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            self.child.send_signal(signum)


def addresses(folder: Path) -> dict[str, str]:
    fleet = Fleet(folder)
    down = [name for name in OPEN if not fleet.is_up(name)]
    if down:
        raise Failed(f"{', '.join(down)} not running in {folder}; run `make servers` in another terminal first")
    return owner.environment(fleet)


def worst(codes: list[int]) -> int:
    """What the exit codes of drained services come to: 0 where all finished, 3 where something was cut, 1 where one failed."""
    if set(codes) <= {0, CUT}:
        return max(codes, default=0)
    return 1


def drain(services: list[Service]) -> int:
    """The exit code: that of the worst end, or 1 where one had to be killed."""
    say("draining; Ctrl-C again kills")
    codes = []
    try:
        for service in services:
            service.signal(signal.SIGTERM)
            service.child.wait(DRAIN_PATIENCE_S)
            service.reader.join(1)
            codes.append(service.child.returncode)
            say(f"{service.name:{WIDTH}} | drained ({owner.code(codes[-1])})")
    except (owner.Stopped, subprocess.TimeoutExpired):
        late = [service for service in services if service.child.poll() is None]
        say(f"killed: {', '.join(service.name for service in late)}")
        for service in late:
            service.signal(signal.SIGKILL)
        return 1
    return worst(codes)


def serve(relay: Path, config: Path, env: dict[str, str]) -> int:
    applied = subprocess.run([relay, "topics", "apply", "--config", config], env=env, cwd=ROOT)
    if applied.returncode != 0:
        raise Failed(f"`relay topics apply --config {config}` ended with {applied.returncode}")
    services: list[Service] = []
    # A service writes to us; who reads us decides how.
    env = {"LOG_FORMAT": "text" if sys.stdout.isatty() else "json", **env}
    try:
        for name in SERVICES:
            # There is no load balancer in front of these.
            command = [str(relay), name, "--config", str(config), "--admin-port", str(ADMIN_PORTS[name]), "--lame-duck", "0s"]
            services.append(Service(name, command, env))
        while True:
            for service in services:
                if service.child.poll() is not None:
                    service.start_again()
            time.sleep(0.1)
    except owner.Stopped:
        pass
    finally:
        code = drain(services)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("deploy/relay.production.yaml"))
    parser.add_argument("--relay", type=Path, default=ROOT / "target" / "release" / "relay")
    parser.add_argument("--dir", type=Path, default=Path(os.environ.get("RELAY_SERVERS_DIR", DEFAULT_DIR)))
    args = parser.parse_args()
    for signum in owner.STOPPING:
        signal.signal(signum, owner.raise_stopped)
    return serve(args.relay.absolute(), args.config.absolute(), addresses(args.dir))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as why:
        say(f"production.py: {why}")
        sys.exit(1)
    except owner.Stopped as why:
        sys.exit(128 + why.signum)
