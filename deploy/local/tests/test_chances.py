"""`chances.py` on small files."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import chances


class Chances(unittest.TestCase):
    def test_what_is_drawn_or_timed_behind_what_was_handed_down_is_named_with_its_line(self):
        for text in ("rand::random()", "rand::random::<u8>()", "Uuid::now_v7()", "uuid::Uuid::new_v4()", "RandomState::new()", "t.start_timer()", "fastrand::u32(..)"):
            self.assertEqual([line for line, _ in chances.found("\n\n" + text)], [3], text)

    def test_a_chance_comments_and_tests_inside_a_file_are_free(self):
        text = "chance.draw()\nrandom\n// rand::random()\n#[cfg(test)]\nmod tests {\n rand::random()\n}"
        self.assertEqual(chances.found(text), [])

    def test_the_house_itself_is_clean(self):
        self.assertEqual(chances.main(), 0)


if __name__ == "__main__":
    unittest.main()
