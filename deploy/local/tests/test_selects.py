"""`selects.py` on small files."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import selects


class Selects(unittest.TestCase):
    def test_a_select_that_leaves_the_order_to_chance_is_named_with_its_line(self):
        for text in ("tokio::select! {\n a = b => c,\n}", "select!( a = b => c )", "futures::select! { a = b => c }"):
            self.assertEqual(selects.found("\n\n" + text), [3], text)

    def test_a_biased_one_comments_and_tests_inside_a_file_are_free(self):
        text = "select! {\n // Why.\n biased;\n a = b => c,\n}\n// select! { }\n#[cfg(test)]\nmod tests {\n select! { a = b => c }\n}"
        self.assertEqual(selects.found(text), [])

    def test_the_house_itself_is_clean(self):
        self.assertEqual(selects.main(), 0)


if __name__ == "__main__":
    unittest.main()
