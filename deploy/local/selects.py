#!/usr/bin/env python3
"""Part of `make lint`: every `select!` of a service says in which order it looks.

Without `biased` tokio draws the order by lot: what a service does when two things are ready at once is then no decision of its own,
and the same schedule does not lead to the same end twice. Tests may leave it to chance.
"""

import re
import sys
from pathlib import Path

from log_writes import COMMENT, TESTS

ROOT = Path(__file__).resolve().parents[2]
# A crate of tests.
TEST_CRATES = {"tests"}

SELECT = re.compile(r"\bselect!\s*[{(\[]\s*(biased;)?")


def found(text: str) -> list[int]:
    """The lines of a file with a `select!` that is not biased."""
    keep_lines = lambda hit: "\n" * hit.group().count("\n")
    text = TESTS.sub("", COMMENT.sub(keep_lines, text))
    return [text.count("\n", 0, hit.start()) + 1 for hit in SELECT.finditer(text) if not hit[1]]


def is_test(file: Path) -> bool:
    """Whether a file under some crate's `src/` is compiled for tests only, by the names that the house gives those."""
    return "tests" in file.parts or file.stem in ("tests", "testing")


def main() -> int:
    lines = []
    for crate in sorted(manifest.parent for manifest in ROOT.glob("*/Cargo.toml")):
        if crate.name in TEST_CRATES:
            continue
        for file in sorted((crate / "src").rglob("*.rs")):
            name = file.relative_to(ROOT)
            if not is_test(name):
                lines += [f"{name}:{line} has a `select!` without `biased`" for line in found(file.read_text())]
    if lines:
        print("\n".join(lines))
        print("\nBegin it with `biased;` and order the branches: stop, drain, what ends work, what is bounded, and last what brings more.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
