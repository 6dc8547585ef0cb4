"""Virtual environments of the project's own, made from pinned requirements. Standard library only."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1]
RELAY = MODELS.parent / ".relay"


def enter(name, requirements):
    """Goes on in `.relay/<name>`: builds it when the requirements changed, then replaces this process with its Python."""
    home = RELAY / name
    if Path(sys.prefix).resolve() == home.resolve():
        return
    wanted = hashlib.sha256(b"".join((MODELS / r).read_bytes() for r in requirements)).hexdigest()
    stamp, python = home / "requirements.sha256", home / "bin/python"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making .relay/{name} from {requirements[0]} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(MODELS / requirements[0])], check=True)
        stamp.write_text(wanted)
    os.execv(str(python), [str(python), *sys.argv])
