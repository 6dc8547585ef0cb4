#!/usr/bin/env python3
"""How often the chat model is right: trained wording, held-out wording, the end of long conversations.

`python3 models/accuracy.py` runs the committed graph; with `--base-url http://127.0.0.1:8000/v1` it asks the same
questions through Relay (standard library only); `--write-card` puts the figures into the model card.
"""

import sys

from build import venv

if __name__ == "__main__":
    if not any(a.startswith(("--base-url", "-h", "--help")) for a in sys.argv):
        venv.enter("check-venv", ["requirements-check.txt"])
    from build import accuracy
    sys.exit(accuracy.main())
