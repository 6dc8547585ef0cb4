#!/usr/bin/env python3
"""`make try-image`: what a container does with the image, for machines without a container engine. As root, on Linux.

Takes the root file system that `dist.py image` made, and from the Dockerfile's last stage what is run in it, as whom, and with which
environment: in namespaces of its own, read-only but for its volume, without privileges. Waits for the health check, asks for an
answer, drains. What an engine itself does (layers, networks, restarts) it does not try.
"""

import argparse
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.paths import ROOT
from harness.say import Failed, say, tail

PATIENCE_S = 180
# The namespace has no other interface; what listens on 127.0.0.1 alone does not answer here.
NOT_LOCALHOST = "127.0.0.2"


@dataclass
class Stage:
    """What the last stage of a Dockerfile sets."""

    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def stages(text: str) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name, the last one's by none."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found, of = {}, []
    for line in lines.replace("\\\n", " ").splitlines():
        match line.split(maxsplit=1):
            case ["FROM", base]:
                of = found.setdefault(base.partition(" AS ")[2].strip(), [])
            case [word, rest]:
                of.append((word, rest))
    return found


def last_stage(text: str) -> Stage:
    stage = Stage()
    for word, rest in stages(text)[""]:
        match word:
            case "ENV":
                stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                stage.user = rest.strip()
            case "VOLUME":
                stage.volumes += rest.split()
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.health = json.loads(re.sub(r"^.*?CMD ", "", rest))
    return stage


def sh(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def mount(root: Path, stage: Stage) -> None:
    user, group = stage.user.split(":")
    places = [root / "proc", root / "dev", *(root / volume.lstrip("/") for volume in stage.volumes)]
    for place in places:
        place.mkdir(exist_ok=True)
    sh("mount", "--bind", root, root)
    sh("mount", "-o", "remount,bind,ro,nosuid", root)
    sh("mount", "-t", "proc", "proc", root / "proc")
    sh("mount", "--rbind", "/dev", root / "dev")
    for volume in places[2:]:
        sh("mount", "-t", "tmpfs", "-o", f"uid={user},gid={group},mode=755", "volume", volume)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP


def inside(root: Path, stage: Stage, command: list[str]) -> list[str]:
    user, group = stage.user.split(":")
    # By their whole names: the image's PATH knows neither.
    few = ("/usr/bin/setpriv", "--no-new-privs", "--bounding-set=-all,+sys_chroot,+setuid,+setgid")
    return [*few, "/usr/sbin/chroot", f"--userspec={user}:{group}", "--groups=", str(root), *command]


def answer() -> str:
    question = {"model": "relay-chat", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    url, body = f"http://{NOT_LOCALHOST}:8000/v1/chat/completions", json.dumps(question).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def attempt(root: Path, stage: Stage) -> None:
    mount(root, stage)
    loopback_up()
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(inside(root, stage, stage.entrypoint + stage.command), env=stage.env, stdout=log, stderr=log)
        try:
            while subprocess.run(inside(root, stage, stage.health), env=stage.env, capture_output=True).returncode != 0:
                if child.poll() is not None or time.monotonic() - began > PATIENCE_S:
                    raise Failed("it does not become healthy")
                time.sleep(0.1)
            say(f"  healthy after {time.monotonic() - began:.1f} s, as {stage.user}, in {root}, read-only")
            said = None
            while said is None and time.monotonic() - began < PATIENCE_S:
                # Healthy is not ready: models may be loading.
                with suppress(OSError):
                    said = answer()
            if said is None:
                raise Failed("it is healthy and answers nothing")
            say(f"  asked on {NOT_LOCALHOST}:8000 it says: {said}")
            child.send_signal(signal.SIGTERM)
            code = child.wait(PATIENCE_S)
            if code != 0:
                raise Failed(f"after SIGTERM it ended with {code}")
            say("  drained after SIGTERM, with 0")
        except Failed as why:
            log.seek(0)
            raise Failed(f"{why}. It said last:\n{tail(log.read())}") from why
        finally:
            child.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="what `dist.py image` made")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    root = args.root.resolve()
    if not (root / "opt/relay/relay").is_file():
        raise Failed(f"{root} holds no image; `dist.py image {root}` makes it")
    if os.geteuid() != 0:
        raise Failed("namespaces and chroot need root")
    if not args.inside:
        spaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
        os.execvp(spaces[0], [*spaces, sys.executable, __file__, "--inside", str(root)])
    attempt(root, last_stage((ROOT / "Dockerfile").read_text()))


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        say(f"try_image.py: {why}")
        sys.exit(1)
