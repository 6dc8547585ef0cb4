"""What the machine must bring itself, by door, and the Debian package that mends a lack."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .paths import ROOT
from .say import Failed, say

UP = frozenset({"up", "test"})
SERVERS = frozenset({"servers", "test"})
TEST = frozenset({"test"})
DOORS = sorted(UP | SERVERS)


@dataclass(frozen=True)
class Prerequisite:
    name: str
    doors: frozenset[str]
    mend: str
    """Tells what is there, or raises `LookupError` saying what is not."""
    probe: Callable[[], str]


def output(*command: str, given: str | None = None) -> str:
    if not shutil.which(command[0]):
        raise LookupError(f"`{command[0]}` is not on the PATH")
    done = subprocess.run(command, input=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise LookupError(f"`{' '.join(command)}` failed: {done.stdout.strip()[-200:]}")
    return done.stdout.strip()


def version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", text) or re.search(r"(\d+)", text)
    if not found:
        raise LookupError(f"no version in {text!r}")
    return tuple(int(part) for part in found.groups())


def first_line(*command: str) -> Callable[[], str]:
    return lambda: output(*command).splitlines()[0]


def rust() -> str:
    output("cargo", "--version")
    said = output("rustc", "--version")
    manifest = ROOT / "Cargo.toml"
    wanted = re.search(r'^rust-version = "([\d.]+)"', manifest.read_text(), re.M) if manifest.exists() else None
    if wanted and version(said) < version(wanted[1]):
        raise LookupError(f"Rust {wanted[1]} or newer is needed, this is {said}")
    return said


def java() -> str:
    said = output("java", "-version").splitlines()[0]
    if version(said)[0] < 17:
        raise LookupError(f"Java 17 or newer is needed, this is {said}")
    return said


def python() -> str:
    if sys.version_info < (3, 11):
        raise LookupError(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    return "Python " + sys.version.split()[0]


def header(name: str) -> Callable[[], str]:
    def probe() -> str:
        output("cc", "-E", "-x", "c", "-", given=f"#include <{name}>\n")
        return name

    return probe


def openssl_headers() -> str:
    # As the build finds them; it says nothing of where.
    return "OpenSSL " + output("pkg-config", "--modversion", "openssl")


def venv() -> str:
    output(sys.executable, "-c", "import venv, ensurepip")
    return "venv and ensurepip"


def debian() -> str:
    output("dpkg", "--version")
    return output("apt-get", "--version").splitlines()[0]


def target() -> Path:
    """Where cargo builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def size_gib(folder: Path) -> float:
    """What the files of a folder take; one that goes meanwhile counts as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total / 2**30


def room(built: Callable[[], Path], cold_gib: float, least_gib: float) -> Callable[[], str]:
    """As much of the disk as the door fills: less by what lies in `built` already."""

    def probe() -> str:
        folder = built()
        on = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(on).free / 2**30
        if free < cold_gib:
            wanted = max(least_gib, cold_gib - size_gib(folder))
            if free < wanted:
                raise LookupError(f"{free:.1f} GiB are free where {folder} lies, and {wanted:.1f} more are needed")
        return f"{free:.0f} GiB free"

    return probe


def unprivileged() -> str:
    if os.geteuid() != 0:
        return "not needed: not root"
    return output("setpriv", "--version")


PREREQUISITES = [
    Prerequisite("rust", UP, "a Rust toolchain with cargo", rust),
    Prerequisite("C compiler", UP, "gcc", first_line("cc", "--version")),
    Prerequisite("C++ compiler", UP, "g++", first_line("c++", "--version")),
    Prerequisite("make", UP, "make", first_line("make", "--version")),
    Prerequisite("zlib headers", UP, "zlib1g-dev", header("zlib.h")),
    Prerequisite("pkg-config", UP, "pkg-config", first_line("pkg-config", "--version")),
    Prerequisite("OpenSSL headers", UP, "libssl-dev", openssl_headers),
    Prerequisite("python", UP | SERVERS, "python3 (3.11 or newer)", python),
    Prerequisite("pip", UP | SERVERS, "python3-pip", first_line(sys.executable, "-m", "pip", "--version")),
    Prerequisite("venv", TEST, "python3-venv", venv),
    Prerequisite("java", SERVERS, "openjdk-17-jre-headless", java),
    Prerequisite("maven", SERVERS, "maven", first_line("mvn", "--batch-mode", "--version")),
    Prerequisite("debian packages", SERVERS, "a Debian or Ubuntu system (apt, dpkg)", debian),
    Prerequisite("openssl", SERVERS, "openssl", first_line("openssl", "version")),
    Prerequisite("disk", UP - TEST, "room on the disk", room(lambda: target() / "release", 4, 0.1)),
    Prerequisite("disk for tests", TEST, "room on the disk", room(lambda: target() / "debug", 10, 1)),
    Prerequisite("setpriv", SERVERS, "util-linux", unprivileged),
]


def check(door: str, *, quiet: bool = False) -> None:
    """Raises `Failed` with everything that `door` lacks at once, each with what mends it."""
    lacks, packages = [], []
    for one in PREREQUISITES:
        if door not in one.doors:
            continue
        try:
            found = one.probe()
            if not quiet:
                say(f"  ok       {one.name}: {found}")
        except LookupError as why:
            lacks.append(f"  missing  {one.name}: {why}\n           mend it with: {one.mend}")
            # What mends it is a package by its name, or words.
            packages += [one.mend] if " " not in one.mend else []
    if packages:
        lacks.append(f"  on Debian, as root: apt-get install {' '.join(packages)}")
    if lacks:
        raise Failed("this machine lacks:\n" + "\n".join(lacks))
