"""Where things are. Everything the harness writes is under `.relay/`, which git ignores."""

import tomllib
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[1]
ROOT = LOCAL.parents[1]
RELAY = ROOT / ".relay"
TOOLS = RELAY / "tools"
SERVERS = RELAY / "servers"

# The same name on every platform, so that one setting fits all: the loader does not care about the suffix.
ONNXRUNTIME = TOOLS / "onnxruntime" / "libonnxruntime.so"
HADOLINT = TOOLS / "hadolint" / "hadolint"
OPENAI_PYTHON = TOOLS / "openai-venv" / "bin" / "python"
MKDOCS = TOOLS / "mkdocs-venv" / "bin" / "mkdocs"

PINS = tomllib.loads((LOCAL / "pins.toml").read_text())
