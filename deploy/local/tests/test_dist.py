"""What is packed, and what is tried in the image's place."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from fnmatch import fnmatch
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dist
import try_image
from harness.notices import linked
from harness.paths import ROOT
from harness.say import Failed
from pages import links, source

# A file or a folder that a sample, or a message of the executable, sends its reader to.
NAMED = re.compile(r"(?<![\w./-])(?:(?:README|CHANGELOG|CONTRIBUTING)\.md|(?:docs|models|deploy|schemas|lib)/[\w./-]*\w)")


def packed(scratch: Path) -> Path:
    """A release of the checkout's files around stand-ins, packed, and unpacked elsewhere."""
    runtime = scratch / "stand-ins" / "libonnxruntime.so"
    runtime.parent.mkdir()
    for file in [runtime, *(runtime.parent / Path(notice).name for notice in dist.PINS["onnxruntime"]["notices"])]:
        file.write_text("stand-in")
    folder = scratch / "relay-1"
    copy = lambda named, into, debug: shutil.copy(named, into)
    with mock.patch.multiple(dist, ONNXRUNTIME=runtime, notices=lambda: "none", executable=copy):
        dist.stage(runtime, folder)
    dist.pack(folder, scratch / "relay-1.tar.gz")
    return dist.unpack(scratch / "relay-1.tar.gz", scratch / "elsewhere").resolve()


class Archive(unittest.TestCase):
    def test_the_same_files_are_packed_byte_by_byte_the_same(self):
        with tempfile.TemporaryDirectory() as scratch:
            packed = []
            for when in (1_000_000_000, 1_500_000_000):
                folder = Path(scratch) / str(when) / "relay-1"
                (folder / "lib").mkdir(parents=True)
                for file in ("relay", "lib/b.so", "lib/a.so"):
                    (folder / file).write_text(file)
                    os.utime(folder / file, (when, when))
                dist.pack(folder, Path(scratch) / f"{when}.tar.gz")
                packed.append((Path(scratch) / f"{when}.tar.gz").read_bytes())
            self.assertEqual(*packed)

    def test_every_page_and_file_that_what_is_packed_names_is_packed_too(self):
        with tempfile.TemporaryDirectory() as scratch:
            home = packed(Path(scratch))
            self.assertEqual([], links.faults(home), "these links lead nowhere in an archive")
            samples = [*home.glob("deploy/**/*.yaml"), *home.glob("deploy/**/*.yml"), home / "models/models.yaml"]
            self.assertLessEqual({"relay.embedded.yaml", "relay.production.yaml", "policy.yaml", "topics.yaml"}, {one.name for one in samples})
            texts = {str(one.relative_to(home)): one.read_text() for one in samples}
            texts |= source.shipped(ROOT)
            named = {(name, hit) for name, text in texts.items() for hit in NAMED.findall(text)}
            of = {name for name, _ in named}
            self.assertTrue({"deploy/policy.yaml", "models/models.yaml", "relay/src/cli.rs"} <= of, of)
            # `schemas/` is named from `deploy/`, where it lies.
            lost = sorted((name, hit) for name, hit in named if not any((home / folder / hit).exists() for folder in (".", "deploy")))
            self.assertEqual([], lost)

    def test_pages_link_to_pages_and_name_sources_that_do_not_come_along(self):
        sources = [str(file) for file in dist.beside() if file.suffix in (".rs", ".py")]
        self.assertEqual([], sources, "name these in backticks: an archive carries what its pages link to, and no sources")

    def test_what_builds_the_image_is_not_kept_from_what_it_carries(self):
        kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
        lost = [str(file) for file in dist.beside() for name in kept if fnmatch(file, name) or Path(name) in file.parents]
        self.assertEqual([], lost)

    def test_what_links_lead_to_is_found_from_page_to_page(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch).resolve()
            for name, text in [("a.md", "[b](b.md#x) [c](https://c.example) `[d](d.md)`"), ("b.md", "[e](e.yaml) [a](a.md)"), ("d.md", ""), ("e.yaml", "")]:
                (root / name).write_text(text)
            self.assertEqual({"a.md", "b.md", "e.yaml"}, {file.name for file in links.reached(root, [root / "a.md"])})

    def test_an_archive_that_does_not_run_by_itself_is_told(self):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "relay-1"
            folder.mkdir()
            for number, (script, told) in enumerate([("exit 0", None), ("echo no models >&2; exit 1", "no models"), ("touch relay-data", "leaves relay-data")]):
                (folder / "relay").write_text(f"#!/bin/sh\n/bin/cat >/dev/null; PATH=/usr/bin:/bin; {script}\n")
                (folder / "relay").chmod(0o755)
                dist.pack(folder, Path(scratch) / "relay-1.tar.gz")
                (into := Path(scratch) / str(number)).mkdir()
                if told is None:
                    dist.tried(Path(scratch) / "relay-1.tar.gz", into)
                    continue
                with self.assertRaisesRegex(Failed, told):
                    dist.tried(Path(scratch) / "relay-1.tar.gz", into)

    def test_notices_are_of_what_is_linked_and_not_of_what_only_builds_or_tests_need(self):
        package = lambda name, source: {"id": name, "name": name, "source": source}
        needs = lambda name, *kinds: {"pkg": name, "dep_kinds": [{"kind": kind} for kind in kinds]}
        graph = {
            "packages": [package("relay", None), *(package(name, "index") for name in ("a", "b", "c", "d"))],
            "resolve": {
                "nodes": [
                    {"id": "relay", "deps": [needs("a", None), needs("c", "build"), needs("d", "dev")]},
                    {"id": "a", "deps": [needs("b", None, "dev")]},
                    *({"id": name, "deps": []} for name in ("b", "c", "d")),
                ]
            },
        }
        self.assertEqual(linked(graph, "relay"), {"relay", "a", "b"})


class Image(unittest.TestCase):
    def test_an_image_that_weighs_more_than_it_may_is_refused_and_its_heaviest_files_are_named(self):
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "large").write_bytes(b"1234")
            (Path(scratch) / "small").write_bytes(b"1")
            dist.weigh(Path(scratch), most=5)
            with self.assertRaisesRegex(Failed, "large.*small"):
                dist.weigh(Path(scratch), most=4)

    def test_dependencies_are_built_from_the_manifests_alone(self):
        instructions = try_image.stages((ROOT / "Dockerfile").read_text())["build"]
        self.assertEqual(instructions[0], ("COPY", "--from=manifests /src ."))
        self.assertTrue(instructions[1][0] == "RUN" and instructions[1][1].startswith("cargo build "), instructions[1])

    def test_the_stage_with_the_manifests_is_the_same_whatever_else_changes_and_cargo_reads_it(self):
        stages = try_image.stages((ROOT / "Dockerfile").read_text())
        [commands] = [rest for word, rest in stages["manifests"] if word == "RUN"]
        results = []
        for text in ("once", "twice"):
            with tempfile.TemporaryDirectory() as scratch:
                root = Path(scratch)
                for folder, folders, files in os.walk(ROOT):
                    folders[:] = [name for name in folders if name not in links.SKIPPED]
                    into = root / Path(folder).relative_to(ROOT)
                    into.mkdir(exist_ok=True)
                    for name in files:
                        if name in ("Cargo.toml", "Cargo.lock"):
                            shutil.copy(Path(folder) / name, into)
                        else:
                            (into / name).write_text(text)
                subprocess.run(["sh", "-ec", commands], cwd=root, check=True)
                read = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]
                subprocess.run(read, cwd=root, check=True, capture_output=True)
                results.append({str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()})
        self.assertEqual(*results)
        self.assertEqual({Path(name).name for name in results[0]}, {"Cargo.toml", "Cargo.lock", "lib.rs", "main.rs"})

    def test_the_last_stage_alone_says_what_is_run(self):
        text = 'FROM a AS build\nENV X=1\nUSER 1:1\n# FROM none\nFROM scratch\nENV A=1 \\\n    B=2\nUSER 7:8\nVOLUME /data\n'
        text += 'HEALTHCHECK --timeout=5s CMD ["/r", "health"]\nENTRYPOINT ["/r"]\nCMD ["up"]\n'
        stage = try_image.last_stage(text)
        self.assertEqual(stage.env, {"A": "1", "B": "2"})
        self.assertEqual((stage.user, stage.volumes), ("7:8", ["/data"]))
        self.assertEqual((stage.entrypoint, stage.command, stage.health), (["/r"], ["up"], ["/r", "health"]))

    def test_the_images_user_is_the_one_that_its_root_knows(self):
        stage = try_image.last_stage((ROOT / "Dockerfile").read_text())
        self.assertEqual(stage.user, f"{dist.USER}:{dist.USER}")
        self.assertIn(f"relay:x:{dist.USER}:", dist.ETC["passwd"])


if __name__ == "__main__":
    unittest.main()
