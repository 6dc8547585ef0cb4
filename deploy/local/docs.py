#!/usr/bin/env python3
"""The pages under `docs/`, held against the code: part of `make lint`, and of the tests.

    docs.py            every link, every `make` that is named anywhere, every code, metric, header and variable, and the reference of settings
    docs.py --write    writes the reference of settings in docs/configuration.md anew
    docs.py --build    builds the site into .relay/site (`make docs`)
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; mend it with: python3.11")

import subprocess

from harness.paths import LOCAL, MKDOCS, RELAY, ROOT
from harness.say import Failed, say
from harness.tools import install
from pages import doors, links, names, settings

SITE = RELAY / "site"


def faults() -> list[str]:
    return links.faults(ROOT) + doors.faults(ROOT) + names.faults(ROOT) + settings.faults(ROOT)


def check() -> int:
    found = faults()
    if found:
        print("\n".join(found))
    return 1 if found else 0


def build() -> int:
    if check():
        return 1
    install(["mkdocs"])
    options = ("--strict", "--quiet", "--clean", "--config-file", LOCAL / "site" / "mkdocs.yml", "--site-dir", SITE)
    done = subprocess.run([MKDOCS, "build", *options])
    if done.returncode == 0:
        say(f"The site: {SITE.relative_to(ROOT)}/index.html")
    return done.returncode


def main() -> int:
    match sys.argv[1:]:
        case []:
            return check()
        case ["--write"]:
            settings.write(ROOT)
            return check()
        case ["--build"]:
            return build()
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as why:
        say(f"docs.py: {why}")
        sys.exit(1)
