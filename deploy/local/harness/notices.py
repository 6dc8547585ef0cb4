"""The licences of everything that is built into the executable, as they ask to be passed on with it."""

import hashlib
import json
import subprocess
from pathlib import Path

from .paths import ROOT
from .say import Failed

NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")


def metadata() -> dict:
    target = next(line for line in output("rustc", "-vV").splitlines() if line.startswith("host: ")).removeprefix("host: ")
    return json.loads(output("cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target))


def output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` failed:\n{done.stderr}")
    return done.stdout


def linked(graph: dict, root: str) -> set[str]:
    """The packages that `root` needs when it runs, itself included: what only builds or tests need is not passed on."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    [start] = [package["id"] for package in graph["packages"] if package["name"] == root and package["source"] is None]
    found, left = {start}, [start]
    while left:
        for dependency in nodes[left.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                left.append(dependency["pkg"])
    return found


def texts(package: Path) -> list[str]:
    """Also those of a C library one folder down, as `librdkafka/LICENSE`."""
    files = [file for pattern in ("*", "*/*") for file in package.glob(pattern) if file.name.upper().startswith(NAMES)]
    return [file.read_text(errors="replace").strip() for file in sorted(files) if file.is_file() and file.suffix not in (".rs", ".py")]


def notices() -> str:
    graph = metadata()
    wanted = linked(graph, "relay")
    crates, users, by_hash = [], {}, {}
    for package in sorted(graph["packages"], key=lambda package: (package["name"], package["version"])):
        if package["id"] not in wanted or package["source"] is None:
            continue
        name = f"{package['name']} {package['version']}"
        crates.append(f"{name}: {package['license'] or 'see its text below'}, by {', '.join(package['authors']) or 'its authors'}")
        for text in texts(Path(package["manifest_path"]).parent):
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            by_hash.setdefault(key, text)
            users.setdefault(key, []).append(name)
    parts = ["What is built into Relay's executable besides Relay, and under which licences.\n\n" + "\n".join(crates)]
    parts += [f"{', '.join(dict.fromkeys(users[key]))}:\n\n{text}" for key, text in by_hash.items()]
    return f"\n\n{'=' * 100}\n\n".join(parts) + "\n"
