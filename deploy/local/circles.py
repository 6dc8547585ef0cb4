#!/usr/bin/env python3
"""Part of `make lint`: no file of a crate needs a file that needs it back.

Reads the `crate::`, `super::` and `self::` paths of each file, follows re-exports to where a name is defined, and prints every
circle with the paths that tie it. Tests inside a file, files of tests, and re-exports themselves do not count.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Circles that are known, each with the reason why it may stay for now.
KNOWN = {
    "simulation/src": "the twins of the services fall when the simulation runs the services themselves",
}

TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod \w+ \{.*", re.S)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
STRING = re.compile(r'r#+".*?"#+|"(?:\\.|[^"\\])*"', re.S)
USE = re.compile(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
INLINE = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def spread(tree: str) -> list[list[str]]:
    """The paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    tree = tree.strip()
    at = tree.find("{")
    if at < 0:
        return [[part.strip() for part in tree.split(" as ")[0].split("::") if part.strip()]]
    prefix = [part for part in tree[:at].split("::") if part.strip()]
    paths, depth, item = [], 0, ""
    for char in tree[at + 1 : tree.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            paths += [prefix + path for path in spread(item)] if item.strip() else []
            item = ""
        else:
            item += char
    return [path[:-1] if path[-1] == "self" and len(path) > 1 else path for path in paths]


class Crate:
    """The files of one crate, by the module that each is."""

    def __init__(self, src: Path):
        self.src = src
        self.files: dict[tuple[str, ...], Path] = {}
        self.text: dict[tuple[str, ...], str] = {}
        for file in sorted(src.rglob("*.rs")):
            parts = list(file.relative_to(src).with_suffix("").parts)
            if parts[0] == "bin" or any(part in ("tests", "testing") for part in parts):
                continue
            if parts[-1] in ("mod", "lib"):
                parts.pop()
            text = TESTS.sub("", COMMENT.sub("", file.read_text()))
            self.files[tuple(parts)] = file
            self.text[tuple(parts)] = STRING.sub('""', text)
        self.imports = {module: self.imported(module) for module in self.files}

    def imported(self, module: tuple[str, ...]) -> dict[str, list[str]]:
        """What a module takes in or hands on: the name, and the path it stands for, from the crate's root."""
        names = {}
        for _, tree in USE.findall(self.text[module]):
            for path in spread(tree):
                names[path[-1]] = self.absolute(module, path)
        return names

    def absolute(self, module: tuple[str, ...], path: list[str]) -> list[str]:
        here = list(module)
        if path[0] == "crate":
            return path[1:]
        if path[0] in ("super", "self"):
            while path and path[0] in ("super", "self"):
                here = here[:-1] if path[0] == "super" else here
                path = path[1:]
            return here + path
        return here + path if (*here, path[0]) in self.files else ["?", *path]

    def home(self, path: list[str], depth: int = 0) -> tuple[str, ...] | None:
        """The module in which the last name of `path` is defined."""
        at: tuple[str, ...] = ()
        for index, name in enumerate(path):
            if (*at, name) in self.files:
                at = (*at, name)
            elif name in self.imports.get(at, {}) and depth < 8:
                return self.home(self.imports[at][name] + path[index + 1 :], depth + 1)
            else:
                break
        return at if path[:1] != ["?"] and at in self.files else None

    def uses(self) -> dict[tuple[str, ...], dict[tuple[str, ...], str]]:
        """For each module those that it takes names from, with one such name."""
        uses = {}
        for module, text in self.text.items():
            found = uses.setdefault(module, {})
            paths = [path for public, tree in USE.findall(text) if not public for path in spread(tree)]
            paths += [hit.split("::") for hit in INLINE.findall(USE.sub("", text))]
            for path in paths:
                home = self.home(self.absolute(module, path))
                if home is not None and home != module:
                    found.setdefault(home, "::".join(path))
        return uses


def circles(graph: dict) -> list[list]:
    """The strongly connected components of more than one node (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, {}):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def report(crate: Crate, root: Path) -> list[str]:
    """A line for each circle that is not known, and one for each tie in it."""
    lines = []
    uses = crate.uses()
    for circle in circles(uses):
        files = [crate.files[module].relative_to(root) for module in circle]
        if any(all(str(file).startswith(known) for file in files) for known in KNOWN):
            continue
        lines.append(f"a circle of {len(circle)} files: " + ", ".join(map(str, files)))
        for module in circle:
            for other, name in sorted(uses[module].items()):
                if other in circle:
                    lines.append(f"    {crate.files[module].relative_to(root)} takes `{name}` from {crate.files[other].relative_to(root)}")
    return lines


def main() -> int:
    sys.setrecursionlimit(10_000)
    lines = []
    for manifest in sorted(ROOT.glob("*/Cargo.toml")):
        src = manifest.parent / "src"
        if src.is_dir():
            lines += report(Crate(src), ROOT)
    for line in lines:
        print(line)
    if lines:
        print("\nMove the types below the loops that use them, so that each file needs only what stands below it.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
