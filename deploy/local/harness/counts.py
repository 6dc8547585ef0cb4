"""Reads how many tests passed and failed out of a runner's own words, line by line."""

import re
from typing import Callable

Count = tuple[int, int]
Reader = Callable[[str], Count]

NOTHING: Count = (0, 0)


def cargo(line: str) -> Count:
    found = re.match(r"test result: \w+\. (\d+) passed; (\d+) failed;", line)
    return (int(found[1]), int(found[2])) if found else NOTHING


def binary(line: str) -> str | None:
    """The test binary that `cargo test` is about to run."""
    found = re.match(r"\s+(?:Running (.+ \(.+\))|Doc-tests (.+))$", line)
    return (found[1] or f"the documentation of {found[2]}") if found else None


PLAIN = re.compile(r"(\d+) passed, (\d+) failed(?:, \d+ skipped)?$")


def plain(line: str) -> Count:
    found = PLAIN.match(line)
    return (int(found[1]), int(found[2])) if found else NOTHING


def pytest(line: str) -> Count:
    """`1 failed, 2 passed, 1 error in 0.10s`, with or without a frame of `=`."""
    if not re.search(r"\d (?:passed|failed|errors?)\b.* in [\d.]+s\b", line):
        return NOTHING
    words = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)s?\b", line)}
    return words.get("passed", 0), words.get("failed", 0) + words.get("error", 0)


def unittest(line: str) -> Count:
    """`Ran 5 tests in 0.1s`, and then perhaps `FAILED (failures=1, errors=1)`, which takes back what did not pass."""
    if ran := re.match(r"Ran (\d+) tests? in ", line):
        return int(ran[1]), 0
    if re.match(r"(OK|FAILED) \(", line):
        words = {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", line)}
        failed = words.get("failures", 0) + words.get("errors", 0)
        return -failed - words.get("skipped", 0), failed
    return NOTHING
