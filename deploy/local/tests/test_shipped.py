"""What the executable that ships is made of."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OURS = re.compile(r'^(relay[a-z-]*) feature "(?!default")([a-z-]+)"', re.M)


class Shipped(unittest.TestCase):
    def test_the_executable_has_nothing_of_simulations_tests_and_crash_points(self):
        tree = ["cargo", "tree", "--locked", "--edges", "normal,features", "--prefix", "none", "--package", "relay"]
        listed = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        self.assertIn('relay-control feature "default"', listed)
        self.assertEqual(OURS.findall(listed), [])

    def test_a_feature_beside_the_default_is_found(self):
        listed = 'relay-store feature "default"\nrelay-store feature "simulated" (*)\nrand feature "small_rng"\n'
        self.assertEqual(OURS.findall(listed), [("relay-store", "simulated")])


if __name__ == "__main__":
    unittest.main()
