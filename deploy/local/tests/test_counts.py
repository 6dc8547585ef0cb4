"""What each runner says, word for word, and what we make of it."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import counts

CASES = [
    (counts.cargo, "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.02s", (3, 0)),
    (counts.cargo, "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out", (2, 1)),
    (counts.cargo, "test bus::a_record_survives ... ok", (0, 0)),
    (counts.plain, "12 passed, 1 failed", (12, 1)),
    (counts.plain, "12 passed, 1 failed, 3 skipped", (12, 1)),
    (counts.plain, "they say 12 passed, 1 failed", (0, 0)),
    (counts.pytest, "3 passed in 0.01s", (3, 0)),
    (counts.pytest, "1 failed, 2 passed, 1 warning, 1 error in 61.10s (0:01:01)", (2, 2)),
    (counts.pytest, "======= 2 failed, 2 errors in 1.10s =======", (0, 4)),
    (counts.pytest, "no tests ran in 0.00s", (0, 0)),
    (counts.pytest, "1 skipped in 0.00s", (0, 0)),
    (counts.unittest, "Ran 1 test in 0.001s", (1, 0)),
    (counts.unittest, "FAILED (failures=1, errors=2)", (-3, 3)),
    (counts.unittest, "OK (skipped=1)", (-1, 0)),
]


class Counts(unittest.TestCase):
    def test_every_runners_words_are_understood(self):
        for read, line, expected in CASES:
            with self.subTest(reader=read.__name__, line=line):
                self.assertEqual(read(line), expected)

    def test_the_test_binary_is_known_from_what_cargo_says(self):
        for line, expected in [
            ("     Running tests/kafka.rs (target/debug/deps/kafka-1f)", "tests/kafka.rs (target/debug/deps/kafka-1f)"),
            ("     Running unittests src/lib.rs (target/debug/deps/relay-1f)", "unittests src/lib.rs (target/debug/deps/relay-1f)"),
            ("   Doc-tests relay_bus", "the documentation of relay_bus"),
            ("running 3 tests", None),
        ]:
            with self.subTest(line):
                self.assertEqual(counts.binary(line), expected)


if __name__ == "__main__":
    unittest.main()
