"""That what `deny.toml` forbids is found."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import deny

ALLOW = {"MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"}
ROOT = Path("/checkout")


def package(name: str, **fields: object) -> dict:
    own = {"id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": "registry+one", "dependencies": []}
    return {**own, "manifest_path": f"/cache/{name}/Cargo.toml", **fields}


def graph(*edges: tuple[str, str], packages: list[dict], members: tuple[str, ...] = ()) -> dict:
    nodes = [{"id": one["id"], "dependencies": [to for of, to in edges if of == one["id"]]} for one in packages]
    return {"packages": packages, "resolve": {"nodes": nodes}, "workspace_members": list(members)}


class Deny(unittest.TestCase):
    def test_a_licence_expression_is_met_or_not(self):
        for expression, met in [
            ("MIT", True),
            ("GPL-3.0", False),
            ("GPL-3.0 OR MIT", True),
            ("GPL-3.0/MIT", True),
            ("MIT AND GPL-3.0", False),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", True),
            ("GPL-3.0 OR MIT AND GPL-2.0", False),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("Apache-2.0", False),
        ]:
            with self.subTest(expression):
                self.assertEqual(deny.Spdx(ALLOW).met_by(expression), met)

    def test_a_crate_without_a_readable_licence_is_found(self):
        for licence in (None, "(MIT", "MIT MIT"):
            with self.subTest(licence):
                self.assertEqual(len(deny.licences([package("odd", license=licence)], ALLOW)), 1)

    def test_a_banned_crate_is_found_unless_only_its_wrapper_uses_it(self):
        packages = [package("ours"), package("ort"), package("ort-sys")]
        rules = [{"crate": "ort-sys", "wrappers": ["ort"]}]
        self.assertEqual(deny.bans(graph(("ort", "ort-sys"), packages=packages), rules, "allow"), [])
        direct = graph(("ort", "ort-sys"), ("ours", "ort-sys"), packages=packages)
        self.assertEqual(deny.bans(direct, rules, "allow"), ["ort-sys is banned; ours uses it"])
        self.assertEqual(len(deny.bans(direct, [{"crate": "ort"}], "allow")), 1)
        self.assertEqual(deny.bans(direct, [{"crate": "openssl-sys"}], "allow"), [])

    def test_a_requirement_without_a_version_is_found_unless_it_is_a_path(self):
        for used, found in [({"name": "x", "req": "*"}, 1), ({"name": "x", "req": "*", "path": "/x"}, 0), ({"name": "x", "req": "^1"}, 0)]:
            with self.subTest(used):
                ours = graph(packages=[package("ours", dependencies=[used])], members=("ours",))
                self.assertEqual(len(deny.bans(ours, [], "deny")), found)

    def test_another_registry_a_repository_and_a_folder_elsewhere_are_found(self):
        known = [package("a"), package("b"), package("ours", source=None, manifest_path="/checkout/ours/Cargo.toml")]
        self.assertEqual(deny.sources(known, ROOT), [])
        for source in ("registry+two", "git+ssh://somewhere", None):
            with self.subTest(source):
                self.assertEqual(len(deny.sources([*known, package("odd", source=source)], ROOT)), 1)


if __name__ == "__main__":
    unittest.main()
