"""A runner that hangs is ended, with all that it started, and says where it was."""

import contextlib
import importlib.util
import io
import os
import sys
import time
import unittest
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(LOCAL))

from harness import counts, process

# Not by its name: Python has a `test` of its own.
SPEC = importlib.util.spec_from_file_location("runners", LOCAL / "test.py")
runners = importlib.util.module_from_spec(SPEC)
sys.modules["runners"] = runners
SPEC.loader.exec_module(runners)

HANGS = """
echo '     Running tests/outages.rs (target/debug/deps/outages-1)'
echo 'test result: ok. 2 passed; 0 failed;'
sleep 600 &
echo "waiting for $!"
wait
"""


class Keeper:
    def adopt(self, group: int) -> None:
        pass


class Limit(unittest.TestCase):
    def test_a_runner_that_hangs_is_killed_counted_and_quoted(self):
        said = io.StringIO()
        hangs = runners.Runner("cargo", ["bash", "-c", HANGS], counts.cargo, limit_s=5)
        with contextlib.redirect_stdout(said), self.assertRaises(runners.OutOfTime) as late:
            runners.run(hangs, Keeper(), dict(os.environ))
        self.assertEqual(late.exception.args[0], (2, 1))
        closing = said.getvalue().partition("not done after 5 s")[2]
        self.assertIn("tests/outages.rs (target/debug/deps/outages-1)", closing)
        sleeper = int(closing.rpartition("waiting for ")[2].split()[0])
        deadline = time.monotonic() + 10
        while process.alive(sleeper, process.born(sleeper)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(process.alive(sleeper, process.born(sleeper)))

    def test_a_runner_within_its_limit_is_left_alone(self):
        with contextlib.redirect_stdout(io.StringIO()):
            quick = runners.Runner("cargo", ["echo", "test result: ok. 3 passed; 0 failed;"], counts.cargo, limit_s=600)
            self.assertEqual(runners.run(quick, Keeper(), dict(os.environ)), (3, 0))


if __name__ == "__main__":
    unittest.main()
