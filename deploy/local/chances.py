#!/usr/bin/env python3
"""Part of `make lint`: a service draws nothing at random itself, and times nothing behind its clock.

Randomness and ids come from a `Chance`, time from a `Clock`, both handed down (house rule 5): else the same schedule does not lead to the
same end twice, and the simulation cannot say again what it saw. Tests may leave it to chance.
"""

import re
import sys
from pathlib import Path

from log_writes import COMMENT, TESTS
from selects import TEST_CRATES, is_test

ROOT = Path(__file__).resolve().parents[2]
# What is taken for what it is: each place with the reason.
ALLOWED = {
    ("runner/src/chance.rs", "rand::random"): "the one place that asks the system",
    ("bus/src/embedded/mod.rs", "RandomState"): "the salt of a log that is opened on a real disk; any other is an argument",
}
# Load generators are no part of what ships.
FREE_CRATES = TEST_CRATES | {"bench"}

DRAWN = re.compile(
    r"\brand::(?:\{[^}]*\b)?(?:random(?:_range|_bool|_ratio|_iter)?|rng|thread_rng|fill)\b|\bfrom_os_rng\b|\bfrom_entropy\b|\b(?:now_v[167]|new_v[1467])\b"
    r"|\bRandomState\b|\bstart_(?:coarse_)?timer\b|\bobserve_closure_duration\b|\b(?:fastrand|getrandom)::"
)


def found(text: str) -> list[tuple[int, str]]:
    """The lines of a file that draw or time something themselves, with what they use."""
    keep_lines = lambda hit: "\n" * hit.group().count("\n")
    text = TESTS.sub("", COMMENT.sub(keep_lines, text))
    return [(text.count("\n", 0, hit.start()) + 1, hit.group()) for hit in DRAWN.finditer(text)]


def main() -> int:
    lines, met = [], set()
    for crate in sorted(manifest.parent for manifest in ROOT.glob("*/Cargo.toml")):
        if crate.name in FREE_CRATES:
            continue
        for file in sorted((crate / "src").rglob("*.rs")):
            name = file.relative_to(ROOT)
            if is_test(name):
                continue
            for line, what in found(file.read_text()):
                met.add((str(name), what))
                if (str(name), what) not in ALLOWED:
                    lines.append(f"{name}:{line} uses `{what}`")
    lines += [f"{name} does not use `{what}` any more: take it from ALLOWED" for name, what in sorted(ALLOWED.keys() - met)]
    if lines:
        print("\n".join(lines))
        print("\nTake `Runtime::chance` and `Runtime::clock`, or a number that was drawn from them.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
