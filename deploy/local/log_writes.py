#!/usr/bin/env python3
"""Part of `make lint`: the embedded log writes, syncs and renames files in one place only.

Everything else in `log/` and in `bus/src/embedded/` goes through `Storage`, where a simulated disk can lose power between any two
steps. Tests may do to files what they like.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("log/src", "bus/src/embedded")
# The one place.
DISK = "log/src/disk.rs"

TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod \w+ \{.*", re.S)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
FORBIDDEN = re.compile(r"\bstd::fs\b|\bstd::os::unix::fs\b|\btokio::fs\b|\brustix::fs\b|\bfs::\w+\(|\bFile::\w+\(|\bOpenOptions\b|\bsync_(?:data|all)\b")


def found(text: str) -> list[tuple[int, str]]:
    """The lines of a file that touch files themselves, with what they use."""
    keep_lines = lambda hit: "\n" * hit.group().count("\n")
    text = TESTS.sub("", COMMENT.sub(keep_lines, text))
    return [(text.count("\n", 0, hit.start()) + 1, hit.group()) for hit in FORBIDDEN.finditer(text)]


def main() -> int:
    lines = []
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.rs")):
            name = str(file.relative_to(ROOT))
            if name != DISK:
                lines += [f"{name}:{line} uses `{what}`" for line, what in found(file.read_text())]
    if lines:
        print("\n".join(lines))
        print(f"\nFiles of the embedded log are touched in {DISK} only: take a `Storage`, or add what is missing there.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
