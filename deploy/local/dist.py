#!/usr/bin/env python3
"""Puts together what runs Relay elsewhere, around an executable that is built already.

    dist.py archive            `make dist`: one .tar.gz under .relay/dist, with its SHA-256 and the executable's debug information beside it
    dist.py folder DIR         the same as a folder
    dist.py image DIR          a root file system for the image: that folder as /opt/relay, and the libraries that it loads

What it writes is the same, byte by byte, from the same files. The executable is stripped here and not by the build: the line tables
that measurements and crash reports need (four fifths of it) stay in target/release, and in the .debug file.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; mend it with: python3.11")

import argparse
import gzip
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

from harness.notices import notices
from harness.paths import ONNXRUNTIME, PINS, RELAY, ROOT
from harness.say import Failed, say
from harness.tools import sh, sha256
from pages import links

# What stands beside the executable. The samples name each other by where they lie, and pages of `docs`.
FILES = ["LICENSE-APACHE", "LICENSE-MIT", "models/models.yaml"]
# These and all that they link to, so that no link leads nowhere.
PAGES = ["README.md", "docs/**/*.md"]
FOLDERS = ["deploy/compose", "deploy/schemas", "models/relay-chat", "models/relay-gpt2"]
SAMPLES = "deploy/*.yaml"
BINUTILS = "binutils"

# What the image may weigh, in bytes.
HEAVIEST = 150_000_000
# The image's root has nothing but these and the libraries.
USER = 10001
ETC = {
    "passwd": f"root:x:0:0:root:/:/none\nrelay:x:{USER}:{USER}:relay:/data:/none\n",
    "group": f"root:x:0:\nrelay:x:{USER}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def version() -> str:
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def name() -> str:
    return f"relay-{version()}-{platform.system().lower()}-{platform.machine().lower()}"


def executable(named: Path, into: Path, debug: Path | None) -> None:
    """Strips it; where `debug` is named, what was stripped lies there, and debuggers and backtraces find it beside the executable."""
    if not named.is_file():
        raise Failed(f"there is no {named}; mend it with: cargo build --release -p relay")
    if debug:
        sh("objcopy", "--only-keep-debug", "--compress-debug-sections", named, debug, mend=BINUTILS)
    sh("strip", "--strip-all", "-o", into, named, mend=BINUTILS)
    if debug:
        sh("objcopy", f"--add-gnu-debuglink={debug}", into, mend=BINUTILS)
    into.chmod(0o755)


def beside() -> list[Path]:
    """The files that stand beside the executable, below the root."""
    pages = [page for pattern in PAGES for page in ROOT.glob(pattern)]
    files = [*(ROOT / file for file in FILES), *ROOT.glob(SAMPLES), *links.reached(ROOT, pages)]
    return sorted({file.relative_to(ROOT) for file in files})


def stage(relay: Path, into: Path, debug: Path | None = None) -> None:
    """Relay's own folder: what `RELAY_HOME` names."""
    into.mkdir(parents=True)
    executable(relay, into / "relay", debug)
    (into / "lib").mkdir()
    shutil.copy(ONNXRUNTIME, into / "lib" / ONNXRUNTIME.name)
    (into / "licences").mkdir()
    for notice in PINS["onnxruntime"]["notices"]:
        source = ONNXRUNTIME.parent / Path(notice).name
        if not source.exists():
            raise Failed(f"there is no {source}; mend it with: rm -r {ONNXRUNTIME.parent}; make tools")
        shutil.copy(source, into / "licences" / f"onnxruntime-{source.name}")
    (into / "licences" / "crates.txt").write_text(notices())
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, into / folder)
    for file in beside():
        (into / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, into / file)
    for path in into.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def pack(folder: Path, archive: Path) -> None:
    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
        return entry

    with archive.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as squeezed:
        with tarfile.open(fileobj=squeezed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in [folder, *sorted(folder.rglob("*"))]:
                tar.add(path, path.relative_to(folder.parent), recursive=False, filter=plain)


def unpack(packed: Path, into: Path) -> Path:
    with tarfile.open(packed) as tar:
        tar.extractall(into, filter="data")
    return into / packed.name.removesuffix(".tar.gz")


def tried(packed: Path, scratch: Path) -> None:
    """Whether what was packed finds all that it needs where nothing else is named, from a folder that is not its own."""
    home, elsewhere = unpack(packed, scratch), scratch / "elsewhere"
    elsewhere.mkdir()
    for words in (["--version"], ["check", "--config", home / "deploy" / "relay.embedded.yaml"], ["plan", "--request", "-"]):
        asked = '{"messages": [{"role": "user", "content": "Hello"}]}'
        done = subprocess.run([home / "relay", *words], cwd=elsewhere, env={}, input=asked, text=True, capture_output=True)
        if done.returncode != 0:
            line = " ".join(str(word) for word in words)
            raise Failed(f"unpacked, `relay {line}` ends with {done.returncode}: {done.stderr or done.stdout}")
    if left := sorted(path.name for path in elsewhere.iterdir()):
        raise Failed(f"unpacked, it leaves {', '.join(left)} where it was only asked")


def archive(relay: Path) -> None:
    dist = RELAY / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    packed = dist / f"{name()}.tar.gz"
    with tempfile.TemporaryDirectory(dir=dist) as folder:
        scratch = Path(folder)
        stage(relay, scratch / name(), dist / f"{name()}.debug")
        pack(scratch / name(), scratch / packed.name)
        (scratch / "unpacked").mkdir()
        tried(scratch / packed.name, scratch / "unpacked")
        (scratch / packed.name).rename(packed)
    packed.with_suffix(".gz.sha256").write_text(f"{sha256(packed)}  {packed.name}\n")
    say(f"  {packed.relative_to(ROOT)}: {packed.stat().st_size / 1e6:.0f} MB")


def libraries(*files: Path) -> set[Path]:
    """What the dynamic loader would load for them, the loader itself included."""
    found = set()
    for file in files:
        said = sh("ldd", file, mend="libc-bin")
        if "not found" in said:
            raise Failed(f"{file} needs libraries that are not here:\n{said}")
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", said)}
    return found


def weigh(root: Path, most: int = HEAVIEST) -> None:
    """Says what an image weighs, and refuses more than it may."""
    sizes = {path.relative_to(root): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    say(f"  {root}: {sum(sizes.values()) / 1e6:.0f} MB")
    if sum(sizes.values()) > most:
        heaviest = sorted(sizes, key=lambda path: -sizes[path])[:3]
        told = ", ".join(f"{path} ({sizes[path] / 1e6:.1f} MB)" for path in heaviest)
        raise Failed(f"an image may weigh {most / 1e6:.0f} MB, this is more; the heaviest: {told}")


def image(relay: Path, root: Path) -> None:
    home = root / "opt" / "relay"
    stage(relay, home)
    for library in sorted(libraries(home / "relay", home / "lib" / ONNXRUNTIME.name)):
        into = root / library.relative_to("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library.resolve(), into)
        package = sh("dpkg", "--search", f"*/{library.name}", mend="dpkg").split(":")[0]
        copyright = Path("/usr/share/doc") / package / "copyright"
        shutil.copy(copyright, home / "licences" / f"debian-{package}")
    if not CERTIFICATES.exists():
        raise Failed(f"there is no {CERTIFICATES}; mend it with: ca-certificates")
    (root / CERTIFICATES.relative_to("/")).parent.mkdir(parents=True)
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    for file, text in ETC.items():
        (root / "etc" / file).write_text(text)
    weigh(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--relay", type=Path, default=target / "release" / "relay", help="the executable (%(default)s)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("archive", help="a .tar.gz under .relay/dist")
    for action, told in [("folder", "a folder"), ("image", "a root file system")]:
        actions.add_parser(action, help=told).add_argument("into", type=Path, metavar="DIR")
    args = parser.parse_args()
    if args.action == "archive":
        return archive(args.relay)
    if args.into.exists() and any(args.into.iterdir()):
        raise Failed(f"{args.into} is not empty")
    shutil.rmtree(args.into, ignore_errors=True)
    {"folder": stage, "image": image}[args.action](args.relay, args.into)


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        say(f"dist.py: {why}")
        sys.exit(1)
