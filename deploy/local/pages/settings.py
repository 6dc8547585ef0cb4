"""The reference of settings in `docs/configuration.md`, made from `deploy/relay.embedded.yaml`.

That file names every setting with its default, and a test holds it against the code (`relay/src/samples.rs`); so what is made
from it is so, too. It has one layout: two spaces a level, one key a line, what it means behind `#`, more of that on lines of their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = "docs/configuration.md"
SAMPLE = "deploy/relay.embedded.yaml"
BEGIN = "<!-- from here to the end marker: written by `python3 deploy/local/docs.py --write` from deploy/relay.embedded.yaml -->"
END = "<!-- end of what is written -->"

KEY = re.compile(r"^( *)(\w+):(?:\s+(.*?))??(?:\s+# (.*))?$")
MORE = re.compile(r"^ +# (.*)$")
# What stands above a section, without an empty line between, is about it.
ABOVE = re.compile(r"^# (.*)$")


@dataclass
class Setting:
    """One line of the sample."""

    path: str
    value: str | None
    meaning: str

    def row(self) -> str:
        value = f"`{self.value}`" if self.value is not None else ""
        return f"| `{self.path}` | {value} | {self.meaning.replace('|', chr(92) + '|')} |"


@dataclass
class Section:
    """A key without indentation, itself and what stands below it."""

    name: str
    said: str
    settings: list[Setting]


class Unreadable(Exception):
    """A line that is laid out otherwise."""


def sections(text: str) -> list[Section]:
    """The sample, section by section."""
    found: list[Section] = []
    said: list[str] = []
    above: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line == "#":
            said = []
        elif hit := ABOVE.match(line):
            said.append(hit[1])
        elif (hit := MORE.match(line)) and found:
            found[-1].settings[-1].meaning += " " + hit[1]
        elif hit := KEY.match(line):
            depth = len(hit[1]) // 2
            above = above[:depth] + [hit[2]]
            if depth == 0:
                found.append(Section(hit[2], " ".join(said), []))
                said = []
            value = hit[3] if hit[3] else None
            found[-1].settings.append(Setting(".".join(above), value, hit[4] or ""))
        else:
            raise Unreadable(f"{SAMPLE}:{number}: this line is not laid out as the others: {line}")
    return found


def production_half(text: str) -> str:
    """The commented half of the sample."""
    return "\n".join(line[2:] for line in text.splitlines() if line.startswith("#|"))


def heading(section: Section, among: list[str]) -> str:
    """A section's name, with its kind where it has several, or what it is about where there is another one of the name."""
    of = next((f", kind `{setting.value}`" for setting in section.settings if setting.path == f"{section.name}.kind"), "")
    if not of and section.name in among:
        of = f", `{section.settings[1].path.split('.')[1]}`"
    return f"## `{section.name}`{of}"


def table(settings: list[Setting]) -> str:
    told = [setting.row() for setting in settings if setting.value is not None or setting.meaning]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *told])


def reference(sample: str) -> str:
    """The reference: the process first, then a heading a section, then what the production column has instead."""
    own = sections("\n".join(line for line in sample.splitlines() if not line.startswith("#|")))
    alone = [section.settings[0] for section in own if section.settings[0].value is not None]
    parts, seen = ["## The process", table(alone)], []
    for section in own + sections(production_half(sample)):
        if section.settings[0].value is None:
            said = " ".join([section.said, section.settings[0].meaning]).strip().replace("this file", "this page")
            parts += [heading(section, seen), *([said] if said else []), table(section.settings[1:])]
            seen.append(section.name)
    return "\n\n".join(parts)


def written(page: str, sample: str) -> str:
    """The page with its reference made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Unreadable(f"{PAGE}: its two markers are gone; they are in deploy/local/pages/settings.py")
    return f"{before}{BEGIN}\n\n{reference(sample)}\n\n{END}{after}"


def faults(root: Path) -> list[str]:
    """Whether the page is behind the sample."""
    page = (root / PAGE).read_text()
    try:
        current = written(page, (root / SAMPLE).read_text())
    except Unreadable as why:
        return [str(why)]
    return [] if page == current else [f"{PAGE}: is not what {SAMPLE} says now; run `python3 deploy/local/docs.py --write`"]


def write(root: Path) -> None:
    """Writes the page anew."""
    page = root / PAGE
    page.write_text(written(page.read_text(), (root / SAMPLE).read_text()))
