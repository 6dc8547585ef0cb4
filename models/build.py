#!/usr/bin/env python3
"""Rebuilds Relay's own models from nothing: `python3 models/build.py [--only chat|gpt2|embedding]`.

Trains and exports into `models/relay-chat` and `models/relay-gpt2`, and builds the embedding model into
`.relay/models/minilm`. Starting Relay never does any of this. Measured on two cores that other builds shared:
chat 89 minutes, gpt2 3, embedding under 1 (the package already downloaded).
"""

import argparse
import time

from build import venv


def _steps():
    """name -> what builds it; imported late, because it needs the virtual environment."""
    from build import export, minilm, recipes

    def chat():
        recipes.train_chat()
        export.export_chat()

    def gpt2():
        recipes.train_gpt2()
        export.export_gpt2_shaped()

    return {"chat": chat, "gpt2": gpt2, "embedding": minilm.build}


def main():
    """Runs the steps asked for, timing each."""
    parser = argparse.ArgumentParser(description="Rebuilds the models; see models/README.md.")
    parser.add_argument("--only", choices=["chat", "gpt2", "embedding"])
    only = parser.parse_args().only
    venv.enter("models-venv", ["requirements.txt", "requirements-check.txt"])
    for name, build in _steps().items():
        if only in (None, name):
            print(f"== {name}", flush=True)
            started = time.monotonic()
            build()
            print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
