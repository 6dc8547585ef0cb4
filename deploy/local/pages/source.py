"""The code as it ships: every Rust file outside of the tests, without its comments and its own tests."""

import re
from functools import cache
from pathlib import Path

# What never answers a client, or only imitates what does.
APART = {"target", "tests", "testing", "bench", "simulation", "samples", "simulated"}

TESTS = re.compile(r"^#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod \w+ \{.*", re.S | re.M)
COMMENT = re.compile(r"^\s*//[^\n]*", re.M)


@cache
def shipped(root: Path) -> dict[str, str]:
    """Text by path below `root`."""
    files = {}
    for crate in sorted(root.glob("*/Cargo.toml")):
        for file in sorted((crate.parent / "src").rglob("*.rs")):
            name = file.relative_to(root)
            if not APART & set(name.parts) and name.stem not in ("tests", "testing", "samples"):
                files[str(name)] = TESTS.sub("", COMMENT.sub("", file.read_text()))
    return files
