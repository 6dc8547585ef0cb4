"""`circles.py` on small crates."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import circles


class Circles(unittest.TestCase):
    def lines(self, **files: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, text in files.items():
                file = root / "src" / (name.replace("__", "/") + ".rs")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return circles.report(circles.Crate(root / "src"), root)

    def test_two_files_that_need_each_other_are_a_circle_and_each_tie_is_named(self):
        lines = self.lines(lib="mod a;\nmod b;", a="use crate::b::B;", b="fn f() { crate::a::g() }")
        self.assertEqual(lines[0], "a circle of 2 files: src/a.rs, src/b.rs")
        self.assertIn("    src/b.rs takes `crate::a::g` from src/a.rs", lines)

    def test_a_re_export_is_followed_to_where_the_name_is_defined(self):
        lines = self.lines(lib="mod a;\nmod b;\npub use a::A;", a="pub struct A;", b="use crate::A;")
        self.assertEqual(lines, [])
        lines = self.lines(lib="mod a;\nmod b;\npub use {a::A, b::B};", a="use crate::B;", b="use crate::A;")
        self.assertEqual(lines[0], "a circle of 2 files: src/a.rs, src/b.rs")

    def test_a_folder_whose_parts_need_its_head_is_a_circle(self):
        lines = self.lines(lib="mod m;", m__mod="mod part;\nuse self::part::Part;\npub struct Head;", m__part="use super::{Head as H};")
        self.assertEqual(lines[0], "a circle of 2 files: src/m/mod.rs, src/m/part.rs")

    def test_tests_comments_strings_and_other_crates_do_not_count(self):
        lines = self.lines(
            lib="mod a;\nmod b;",
            a="use crate::b::B; // crate::a\n#[cfg(test)]\nmod tests {\n    use super::*;\n}",
            b='use std::fmt;\n// crate::a::A\nconst TEXT: &str = "crate::a::A";\n#[cfg(test)]\nmod tests { use crate::a::A; }',
        )
        self.assertEqual(lines, [])

    def test_a_use_tree_is_spread(self):
        self.assertEqual(circles.spread("a::{self, b::{c, d as e}}"), [["a"], ["a", "b", "c"], ["a", "b", "d"]])


if __name__ == "__main__":
    unittest.main()
