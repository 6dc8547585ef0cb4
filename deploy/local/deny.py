#!/usr/bin/env python3
"""What `cargo deny check bans licenses sources` checks, for machines without it: `make lint` calls whichever there is.

cargo-deny takes minutes to build, and what package indexes hold of it is too old for `deny.toml`. This reads the same file and asks
`cargo metadata` for the same graph: every target, every kind of dependency, the lock file as it stands.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Spdx:
    """Whether a licence expression can be met with `allow`: one side of an OR is enough, an AND needs both."""

    def __init__(self, allow: set[str]):
        self.allow = allow

    def met_by(self, expression: str) -> bool:
        # `MIT/Apache-2.0` is how OR was written before expressions were.
        self.words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
        met = self.either()
        if self.words:
            raise ValueError(f"`{expression}` goes on after its end")
        return met

    def either(self) -> bool:
        met = self.both()
        while self.words[:1] == ["OR"]:
            self.words.pop(0)
            met = self.both() or met
        return met

    def both(self) -> bool:
        met = self.one()
        while self.words[:1] == ["AND"]:
            self.words.pop(0)
            met = self.one() and met
        return met

    def one(self) -> bool:
        if not self.words:
            raise ValueError("a licence expression ends too early")
        word = self.words.pop(0)
        if word == "(":
            met = self.either()
            if self.words[:1] != [")"]:
                raise ValueError("a parenthesis is not closed")
            self.words.pop(0)
            return met
        if self.words[:1] == ["WITH"]:
            word = f"{word} WITH {self.words[1]}"
            del self.words[:2]
        return word in self.allow


def licences(packages: list[dict], allow: set[str]) -> list[str]:
    wrong = []
    for package in packages:
        try:
            met = Spdx(allow).met_by(package["license"] or "")
        except ValueError as why:
            wrong.append(f"{told(package)}: {why}")
            continue
        if not met:
            wrong.append(f"{told(package)}: licence `{package['license']}` is not allowed")
    return wrong


def bans(metadata: dict, denied: list[dict], wildcards: str) -> list[str]:
    """Crates that may not be there, or only behind their wrappers; and requirements without a version."""
    name_of = {package["id"]: package["name"] for package in metadata["packages"]}
    users: dict[str, set[str]] = {}
    for node in metadata["resolve"]["nodes"]:
        for used in node["dependencies"]:
            users.setdefault(name_of[used], set()).add(name_of[node["id"]])
    wrong = []
    for entry in denied:
        banned, wrappers = entry["crate"], set(entry.get("wrappers", []))
        unwrapped = sorted(users.get(banned, set()) - wrappers)
        if banned in name_of.values() and (unwrapped or not wrappers):
            wrong.append(f"{banned} is banned; {', '.join(unwrapped) or 'nothing'} uses it")
    if wildcards == "deny":
        members = set(metadata["workspace_members"])
        for package in metadata["packages"]:
            for used in package["dependencies"]:
                if package["id"] in members and used["req"] == "*" and "path" not in used:
                    wrong.append(f"{told(package)} asks for any version of {used['name']}")
    return wrong


def sources(packages: list[dict], root: Path) -> list[str]:
    """Everything comes from the one registry that most of it comes from, or lies in this checkout."""
    registries = Counter(source for package in packages if (source := package["source"]) and source.startswith("registry+"))
    known = registries.most_common(1)[0][0] if registries else None
    wrong = []
    for package in packages:
        inside = package["source"] is None and Path(package["manifest_path"]).is_relative_to(root)
        if not inside and package["source"] != known:
            wrong.append(f"{told(package)} comes from {package['source'] or package['manifest_path']}")
    return wrong


def told(package: dict) -> str:
    return f"{package['name']} {package['version']}"


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    asked = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = metadata["packages"]
    wrong = {
        "licenses": licences(packages, set(rules["licenses"]["allow"])),
        "bans": bans(metadata, rules["bans"]["deny"], rules["bans"]["wildcards"]),
        "sources": sources(packages, ROOT),
    }
    for section, lines in wrong.items():
        for line in lines:
            print(f"deny.toml, [{section}]: {line}")
    kinds = ", ".join(f"{section} {'FAILED' if lines else 'ok'}" for section, lines in wrong.items())
    print(f"{len(packages)} crates: {kinds}")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
