"""What the machine must bring, where it does not."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import prerequisites


class Room(unittest.TestCase):
    def test_a_disk_that_would_fill_is_told_before_anything_is_built(self):
        nowhere = Path("/not/there")
        with self.assertRaisesRegex(LookupError, r"GiB are free where .* and 1e\+09 are needed"):
            prerequisites.room(nowhere, 1e9, 0)()
        self.assertRegex(prerequisites.room(nowhere, 0, 1e9)(), "^[0-9]+ GiB free$")

    def test_what_is_built_already_needs_less(self):
        here = Path(__file__)
        self.assertRegex(prerequisites.room(here, 1e9, 0)(), "GiB free$")
        with self.assertRaises(LookupError):
            prerequisites.room(here, 0, 1e9)()


if __name__ == "__main__":
    unittest.main()
