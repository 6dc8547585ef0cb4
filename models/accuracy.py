#!/usr/bin/env python3
"""How often the chat model is right: trained wording, held-out wording, the end of long conversations.

`python3 models/accuracy.py` runs the committed graph; `--base-url http://127.0.0.1:8000/v1` asks the same questions
through Relay (standard library only, unless `--graph` names graphs to compare with); `--write-card` puts the figures
into the model card.
"""

import sys

from build import venv

if __name__ == "__main__":
    def given(*names):
        return any(a.startswith(names) for a in sys.argv[1:])

    if not given("-h", "--help") and (given("--graph", "--gpt2") or not given("--base-url")):
        venv.enter("check-venv", ["requirements-check.txt"])
    from build import accuracy
    sys.exit(accuracy.main())
