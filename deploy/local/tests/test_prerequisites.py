"""What the machine must bring, where it does not."""

import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import prerequisites


class Room(unittest.TestCase):
    def test_a_disk_that_would_fill_is_told_before_anything_is_built(self):
        nowhere = Path("/not/there")
        with self.assertRaisesRegex(LookupError, r"GiB are free where /not/there lies, and 1000000000.0 more are needed"):
            prerequisites.room(lambda: nowhere, 1e9, 0)()
        self.assertRegex(prerequisites.room(lambda: nowhere, 0, 1e9)(), "^[0-9]+ GiB free$")

    def test_what_is_built_already_needs_no_room_but_a_build_that_was_broken_off_needs_the_rest(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "half").write_bytes(bytes(3 << 20))
            self.assertAlmostEqual(prerequisites.size_gib(Path(folder)), 3 / 1024, delta=1 / 1024)
            # A build beside this test moves what is free.
            with unittest.mock.patch("shutil.disk_usage", lambda _: SimpleNamespace(free=2**30)):
                prerequisites.room(lambda: Path(folder), 1 + 1 / 1024, 0)()
                with self.assertRaises(LookupError):
                    prerequisites.room(lambda: Path(folder), 2, 0)()


if __name__ == "__main__":
    unittest.main()
