"""`make up-production` ends its services in the order of the flow, and says by its exit code how they ended."""

import contextlib
import io
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import production
from harness import owner
from harness.paths import ROOT

NEVER = subprocess.TimeoutExpired("relay", production.DRAIN_PATIENCE_S)
CTRL_C = owner.Stopped(signal.SIGINT)


class Child:
    """A service that writes down what happens to it, and ends thus once it is waited for."""

    def __init__(self, name: str, happened: list, end: int | BaseException):
        self.name, self.happened, self.end = name, happened, end
        self.returncode = None
        self.child = self.reader = self

    def signal(self, signum: int) -> None:
        self.happened.append((self.name, signal.Signals(signum).name))

    def wait(self, _: float) -> None:
        if isinstance(self.end, BaseException):
            raise self.end
        self.returncode = self.end
        self.happened.append((self.name, self.end))

    def join(self, _: float) -> None:
        pass

    def poll(self) -> int | None:
        return self.returncode


def drained(ends: dict[str, int | BaseException] = {}) -> tuple[int, list]:
    """The exit code, and what happened to the six services, which end with 0 where nothing else is said."""
    happened = []
    with contextlib.redirect_stderr(io.StringIO()):
        code = production.drain([Child(name, happened, ends.get(name, 0)) for name in production.SERVICES])
    return code, happened


class Drain(unittest.TestCase):
    def test_each_service_is_asked_to_end_once_the_one_before_it_in_the_flow_has_ended(self):
        code, happened = drained()
        self.assertEqual(code, 0)
        self.assertEqual(happened, [(name, what) for name in production.SERVICES for what in ("SIGTERM", 0)])

    def test_the_order_is_the_one_in_which_one_process_ends_them(self):
        (order,) = re.findall(r"pub const ALL: \[Self; 6\] = \[(.*?)\]", (ROOT / "relay/src/hosted.rs").read_text(), re.DOTALL)
        words = [re.findall("[A-Z][a-z]+", name) for name in re.findall(r"Self::(\w+)", order)]
        self.assertEqual(production.SERVICES, ["-".join(name).lower() for name in words])

    def test_the_exit_code_says_that_something_was_cut_and_the_others_drain_all_the_same(self):
        code, happened = drained({"ingress": 3})
        self.assertEqual(code, 3)
        self.assertEqual(happened[-1], ("trace-sink", 0))

    def test_a_service_that_failed_is_no_success_and_weighs_more_than_a_cut(self):
        for failed in (1, -signal.SIGKILL):
            code, happened = drained({"ingress": 3, "scheduler": failed})
            self.assertEqual(code, 1)
            self.assertEqual(happened[-1], ("trace-sink", 0))

    def test_what_does_not_end_in_time_or_before_a_second_ctrl_c_is_killed_with_all_behind_it(self):
        for end in (NEVER, CTRL_C):
            code, happened = drained({"scheduler": end})
            self.assertEqual(code, 1)
            at = happened.index(("scheduler", "SIGTERM"))
            self.assertEqual(happened[at + 1 :], [(name, "SIGKILL") for name in production.SERVICES[3:]])


if __name__ == "__main__":
    unittest.main()
