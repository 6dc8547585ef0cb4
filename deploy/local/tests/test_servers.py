"""The promises of `local.py`, on the two servers that start in a tenth of a second."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(LOCAL))

from harness import probes, process
from harness.fleet import Fleet

ENTRY = [sys.executable, str(LOCAL / "local.py")]
QUICK = ["--only", "redis,nats"]


def eventually(condition, patience_s: float = 10) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pids(folder: Path) -> list[tuple[int, int]]:
    return [(entry["pid"], entry["born"]) for entry in Fleet(folder).state().values()]


class Servers(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="relay-local-")
        self.addCleanup(scratch.cleanup)
        self.dir = Path(scratch.name)
        self.addCleanup(lambda: self.local("down"))

    def local(self, action: str, *arguments: str, **options) -> subprocess.CompletedProcess:
        command = [*ENTRY, action, "--dir", str(self.dir), *arguments]
        return subprocess.run(command, text=True, capture_output=True, timeout=60, **options)

    def start_run(self, *command: str) -> subprocess.Popen:
        """`local.py run` in the background; returns once its command has written a file."""
        marker = self.dir / "command-runs"
        script = f"touch {marker}; exec {' '.join(command)}"
        line = [*ENTRY, "run", "--dir", str(self.dir), *QUICK, "--", "bash", "-c", script]
        child = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        self.assertTrue(eventually(marker.exists), "the command never ran")
        return child

    def assert_all_gone(self):
        self.assertEqual(len(pids(self.dir)), 2)
        self.assertTrue(eventually(lambda: not any(process.alive(*one) for one in pids(self.dir))))

    def test_run_gives_its_command_the_addresses_and_passes_its_exit_code_on(self):
        done = self.local("run", *QUICK, "--", "bash", "-c", "env; exit 7")
        self.assertEqual(done.returncode, 7, done.stderr)
        state = Fleet(self.dir).state()
        self.assertIn(f"RELAY_REDIS_URL={state['redis']['url']}\n", done.stdout)
        self.assertIn(f"RELAY_NATS_URL={state['nats']['url']}\n", done.stdout)
        self.assertIn(f"RELAY_SERVERS_DIR={self.dir.resolve()}\n", done.stdout)
        self.assertIn(f"RELAY_LOCAL={LOCAL / 'local.py'}\n", done.stdout)
        self.assert_all_gone()

    def test_sigterm_ends_the_command_and_the_servers(self):
        child = self.start_run("sleep", "600")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(20), 128 + signal.SIGTERM)
        self.assert_all_gone()

    def test_even_a_killed_run_leaves_nothing_behind(self):
        # Other tests may run beside these.
        seconds = f"4242.{os.getpid()}"
        child = self.start_run("sleep", seconds)
        child.kill()
        child.wait()
        self.assert_all_gone()
        sleeping = lambda: seconds.encode() in subprocess.run(["ps", "-eo", "args"], capture_output=True).stdout
        self.assertTrue(eventually(lambda: not sleeping()))

    def test_run_refuses_servers_that_are_someone_elses(self):
        self.assertEqual(self.local("up", *QUICK).returncode, 0)
        done = self.local("run", *QUICK, "--", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("already run", done.stderr)
        self.assertTrue(all(process.alive(*one) for one in pids(self.dir)))

    def test_a_killed_server_comes_back_on_its_port_with_its_data(self):
        state = json.loads(self.local("up", *QUICK, "--json").stdout)
        port = state["redis"]["ports"][0]
        with socket.create_connection(("127.0.0.1", port)) as redis:
            # The append-only file is written before the answer; the process may die, the page cache does not.
            redis.sendall(b"SET kept yes\r\n")
            self.assertEqual(redis.recv(16), b"+OK\r\n")
        self.local("kill", "redis")
        self.assertIn("down  redis", self.local("status").stdout)
        self.assertTrue(process.is_free(port))
        self.local("start", "redis")
        with socket.create_connection(("127.0.0.1", port)) as redis:
            redis.sendall(b"GET kept\r\n")
            self.assertEqual(redis.recv(16), b"$3\r\nyes\r\n")

    def test_a_paused_server_keeps_its_connections_and_answers_nothing_until_it_is_resumed(self):
        port = json.loads(self.local("up", *QUICK, "--json").stdout)["redis"]["ports"][0]
        self.local("pause", "redis")
        with socket.create_connection(("127.0.0.1", port), timeout=0.3) as redis:
            redis.sendall(b"PING\r\n")
            with self.assertRaises(TimeoutError):
                redis.recv(16)
        self.local("resume", "redis")
        self.assertTrue(probes.redis(port))

    def test_a_server_that_cannot_start_says_why(self):
        self.local("up", "--only", "redis")
        self.local("stop", "redis")
        (manifest,) = (self.dir / "redis" / "data" / "appendonlydir").glob("*.manifest")
        manifest.write_text("this is no manifest\n")
        done = self.local("up", "--only", "redis")
        self.assertEqual(done.returncode, 1)
        self.assertIn("redis ended with", done.stderr)
        self.assertIn("manifest", done.stderr)


class Ports(unittest.TestCase):
    def test_they_lie_below_those_of_outgoing_connections(self):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        ports = process.free_ports(50)
        self.assertEqual(len(set(ports)), 50)
        self.assertLess(max(ports), lowest)


class Identity(unittest.TestCase):
    def test_a_process_is_known_by_its_birth_and_not_only_by_its_number(self):
        born = process.born(os.getpid())
        self.assertTrue(process.alive(os.getpid(), born))
        self.assertFalse(process.alive(os.getpid(), born + 1))


if __name__ == "__main__":
    unittest.main()
