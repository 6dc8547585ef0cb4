"""The servers of one folder, as a whole: up, down, and one at a time for outages.

`DIR/servers.json` is the only state: addresses for whoever uses them, processes for whoever ends them. Every change
is made under a lock, so that a test may kill one server while another test starts another.
"""

import fcntl
import json
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Iterator

from . import authority, process
from .say import Failed, say, tail
from .servers import SERVERS, Server
from .tools import install


class Fleet:
    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def up(self, names: list[str], *, fresh: bool) -> None:
        """Starts `names` in parallel and waits until each one answers. What runs already is left as it is."""
        install(list(dict.fromkeys(SERVERS[name].needs() for name in names)))
        self.folder.mkdir(parents=True, exist_ok=True)
        authority.make(self.folder)
        absent = [name for name in names if not self.is_up(name)]
        if fresh:
            for name in absent:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                self.forget(name)
        servers = [self.admit(name) for name in absent]
        began = time.monotonic()
        with ThreadPoolExecutor(max(len(servers), 1)) as pool:
            running = [pool.submit(self.bring_up, server) for server in servers]
        failures = [one.exception() for one in running if one.exception()]
        for failure in failures:
            if not isinstance(failure, Failed):
                raise failure
        if failures:
            raise Failed("\n".join(map(str, failures)))
        self.write_env()
        say(f"  up       {', '.join(names) or 'nothing'} in {time.monotonic() - began:.1f} s")

    def admit(self, name: str) -> Server:
        """Gives the server its folder and its ports: those it had before, where they are still free."""
        (self.folder / name).mkdir(mode=0o755, exist_ok=True)
        server_type = SERVERS[name]
        ports = self.state().get(name, {}).get("ports", [])
        if len(ports) != server_type.ports_needed or not all(map(process.is_free, ports)):
            ports = process.free_ports(server_type.ports_needed)
        return server_type(self.folder / name, ports)

    def bring_up(self, server: Server) -> None:
        began = time.monotonic()
        server.prepare()
        child = process.spawn(server.command(), cwd=server.folder, log=server.log, env=server.env())
        self.record(server, child.pid)
        Thread(target=child.wait, daemon=True).start()  # reaps it, should it end before we do
        deadline = began + server.start_patience_s
        while not answers(server):
            if child.poll() is not None:
                raise Failed(f"{server.name} ended with {child.returncode} before it answered:\n{last_words(server)}")
            if time.monotonic() > deadline:
                raise Failed(f"{server.name} did not answer in {server.start_patience_s:.0f} s:\n{last_words(server)}")
            time.sleep(0.05)
        say(f"  ready    {server.name} at {server.address()} in {time.monotonic() - began:.1f} s")

    def start(self, name: str) -> None:
        """Starts one that was stopped or killed: same port, same data."""
        if self.is_up(name):
            return
        ports = self.entry(name)["ports"]
        self.bring_up(SERVERS[name](self.folder / name, ports))

    def stop(self, name: str) -> None:
        """Asks one to end, as an operator would, and waits for it."""
        entry, server_type = self.entry(name), SERVERS[name]
        if not process.alive(entry["pid"], entry["born"]):
            return
        process.signal_family(entry["pid"], signal.SIGCONT)
        if not process.end(entry["pid"], entry["born"], server_type.stop_signal, server_type.stop_patience_s):
            say(f"  killed   {name}: it did not stop when asked")

    def kill(self, name: str) -> None:
        """SIGKILL to the server and all its children, and waits until it is gone."""
        entry = self.entry(name)
        if process.alive(entry["pid"], entry["born"]):
            process.signal_family(entry["pid"], signal.SIGKILL)
            process.gone(entry["pid"], entry["born"], 5)

    def pause(self, name: str, signum: int = signal.SIGSTOP) -> None:
        """Freezes one: it keeps its connections and answers nothing. The slow server, not the dead one."""
        entry = self.entry(name)
        if not process.alive(entry["pid"], entry["born"]):
            raise Failed(f"{name} is not running in {self.folder}")
        process.signal_family(entry["pid"], signum)

    def resume(self, name: str) -> None:
        self.pause(name, signal.SIGCONT)

    def down(self) -> None:
        with ThreadPoolExecutor(len(SERVERS)) as pool:
            list(pool.map(self.stop, self.state()))

    def is_up(self, name: str) -> bool:
        entry = self.state().get(name)
        return bool(entry) and process.alive(entry["pid"], entry["born"])

    def env(self) -> dict[str, str]:
        env = {}
        for name, entry in self.state().items():
            env |= {SERVERS[name].env_name: entry[SERVERS[name].address_key], **entry.get("more", {})}
        return env

    def entry(self, name: str) -> dict:
        entry = self.state().get(name)
        if not entry:
            raise Failed(f"no {name} was ever started in {self.folder}")
        return entry

    def state(self) -> dict[str, dict]:
        try:
            return json.loads((self.folder / "servers.json").read_text())
        except FileNotFoundError:
            return {}

    def record(self, server: Server, pid: int) -> None:
        entry = {
            server.address_key: server.address(),
            "more": server.more(),
            "ports": server.ports,
            "pid": pid,
            "born": process.born(pid),
            "folder": str(server.folder),
            "log": str(server.log),
        }
        with self.changed() as state:
            state[server.name] = entry

    def forget(self, name: str) -> None:
        with self.changed() as state:
            state.pop(name, None)

    @contextmanager
    def changed(self) -> Iterator[dict[str, dict]]:
        """The state under the lock, written back whole: a reader sees the old file or the new one."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.state()
            yield state
            new = self.folder / "servers.json.new"
            new.write_text(json.dumps(state, indent=2) + "\n")
            new.replace(self.folder / "servers.json")

    def write_env(self) -> None:
        lines = (f"{name}={value}\n" for name, value in self.env().items())
        (self.folder / "servers.env").write_text("".join(lines))


def answers(server: Server) -> bool:
    try:
        return server.ready()
    except OSError:
        return False


def last_words(server: Server) -> str:
    return tail(server.log.read_text(errors="replace")) + f"\n    (whole log: {server.log})"
