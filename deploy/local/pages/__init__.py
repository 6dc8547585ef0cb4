"""What the pages under `docs/` are held against: the code, and each other."""
