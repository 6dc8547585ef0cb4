#!/usr/bin/env python3
"""Checks the committed models: every graph against the reference. `python3 models/check.py`; needs no JAX."""

import sys

from build import venv

if __name__ == "__main__":
    venv.enter("check-venv", ["requirements-check.txt"])
    from build import check
    sys.exit(check.main())
