#!/usr/bin/env python3
"""Records what the embedding model's own package says: `python3 models/golden.py`; needs PyTorch, about 6 GB on disk.

Run once, and again only when the package or the sentences change: the committed `build/golden/minilm.json` is what
every build of the embedding model is compared with, without PyTorch.
"""

from build import venv

if __name__ == "__main__":
    venv.enter("golden-venv", ["requirements-golden.txt"])
    from build import minilm_golden
    minilm_golden.record()
