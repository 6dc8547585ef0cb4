"""`log_writes.py` on small files."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import log_writes


class Writes(unittest.TestCase):
    def test_whatever_touches_files_is_named_with_its_line(self):
        for text, what in (
            ("use std::fs;", "std::fs"),
            ("\n\nfn f() { file.sync_all() }", "sync_all"),
            ("let file = File::create(path);", "File::create("),
            ("fs::rename(a, b)", "fs::rename("),
            ("use std::fs::OpenOptions;", "std::fs"),
        ):
            line = 3 if text.startswith("\n") else 1
            self.assertIn((line, what), log_writes.found(text), text)

    def test_the_trait_comments_and_tests_inside_a_file_are_free(self):
        text = "file.sync()?; storage.rename(a, b)?; // std::fs\n#[cfg(test)]\nmod tests {\n use std::fs;\n}"
        self.assertEqual(log_writes.found(text), [])

    def test_the_house_itself_is_clean(self):
        self.assertEqual(log_writes.main(), 0)


if __name__ == "__main__":
    unittest.main()
