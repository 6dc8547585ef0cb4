"""Doors that are named somewhere: every `make NAME` in a page, a message, a comment or a script is one of the Makefile's."""

import re
from pathlib import Path

from .links import FENCE, SKIPPED

DOOR = re.compile(r"^([a-z][a-z-]*):", re.M)
NAME = r"make ([a-z][a-z-]*)"
# In backticks, and as what mends something; a plain "make room" is neither.
IN_WORDS = re.compile(rf"`{NAME}|with: (?:[^\"'`\n]*; )?{NAME}")
# In front of a line, where lines are commands.
IN_COMMANDS = re.compile(rf"^[ \t]*(?:\$ )?{NAME}", re.M)
KINDS = {".md", ".rs", ".py", ".yaml", ".yml", ".toml"}
SCRIPTS = {"Makefile", "Dockerfile", "run"}
# Names some that are none, to see them found.
APART = "test_docs.py"


def doors(root: Path) -> set[str]:
    """The targets of the Makefile."""
    return set(DOOR.findall((root / "Makefile").read_text()))


def named(text: str, file: Path) -> list[tuple[int, str]]:
    """Each door that the file names, with its line."""
    found = [(hit.start(), hit[1] or hit[2]) for hit in IN_WORDS.finditer(text)]
    commands = FENCE.finditer(text) if file.suffix == ".md" else [re.match(r"(?s).*", text)] if file.name in SCRIPTS else []
    for block in commands:
        found += [(block.start() + hit.start(1), hit[1]) for hit in IN_COMMANDS.finditer(block[0])]
    return sorted((text.count("\n", 0, at) + 1, door) for at, door in found)


def faults(root: Path) -> list[str]:
    """Doors that are named and do not exist, with file and line."""
    there, lines = doors(root), []
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root)
        if SKIPPED & set(name.parts) or file.name == APART or not (file.suffix in KINDS or file.name in SCRIPTS) or not file.is_file():
            continue
        gone = [(line, door) for line, door in named(file.read_text(), file) if door not in there]
        lines += [f"{name}:{line}: the Makefile has no `make {door}`" for line, door in gone]
    return lines
