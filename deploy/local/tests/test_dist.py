"""What is packed, and what is tried in the image's place."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dist
import try_image
from harness.notices import linked
from harness.paths import ROOT


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

    def test_what_is_said_to_come_along_is_there(self):
        for name in dist.FILES + dist.FOLDERS:
            self.assertTrue((ROOT / name).exists(), name)
        samples = {path.name for path in ROOT.glob(dist.SAMPLES)}
        self.assertLessEqual({"relay.embedded.yaml", "relay.production.yaml", "policy.yaml", "topics.yaml"}, samples)

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
