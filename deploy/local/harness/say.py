"""Progress for people, on standard error: standard output is kept for answers (`--json`)."""

import sys
from contextlib import suppress


class Failed(Exception):
    """Something a person has to mend; the message names it and says with what. No traceback is shown."""


def say(text: str) -> None:
    with suppress(OSError):  # whoever read us may be gone, and tearing down must go on
        print(text, file=sys.stderr, flush=True)


def tail(text: str, lines: int = 15) -> str:
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])
