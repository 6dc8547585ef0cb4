"""What `local.py`, `test.py` and `production.py` share. Standard library only: it runs before anything is installed."""
