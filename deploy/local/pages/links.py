"""Links from page to page, to files and to headings, over every page of the repository."""

import re
from pathlib import Path

SKIPPED = {".git", ".relay", "target", "relay-data", "node_modules", ".pytest_cache"}
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.S | re.M)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*([^)\s]+)\s*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.M)
ELSEWHERE = re.compile(r"^[a-z][a-z+.-]*:")
# A list behind a line of text: the site's Markdown, other than GitHub's, takes it for more of that text.
RUN_ON = re.compile(r"^(?![ >|#*+-]|\d+\. |```|~~~)\S.*\n(?:[*+-]|\d+\.) ", re.M)


def pages(root: Path) -> list[Path]:
    """Every page of the repository."""
    found = []
    for file in root.rglob("*.md"):
        if not SKIPPED & set(file.relative_to(root).parts):
            found.append(file)
    return sorted(found)


def without_code(text: str) -> str:
    """With as many lines as before."""
    blank = lambda hit: re.sub(r"[^\n]", " ", hit.group())
    return CODE.sub(blank, FENCE.sub(blank, text))


def anchors(text: str) -> set[str]:
    """What links may name behind `#`."""
    found, text = set(), FENCE.sub("", text)
    for heading in HEADING.findall(text):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        number = 0
        while (one := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(one)
    return found


def of_page(root: Path, page: Path, text: str) -> list[str]:
    """What is wrong on one page, with its line."""
    lines, name = [], page.relative_to(root)
    bare = without_code(text)
    say = lambda at, what: lines.append(f"{name}:{text.count(chr(10), 0, at) + 1}: {what}")
    for hit in LINK.finditer(bare):
        target = hit[1]
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            say(hit.start(1), f"there is no {path}")
        elif not file.is_relative_to(root):
            say(hit.start(1), f"{path} lies outside of the repository")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text())):
            say(hit.start(1), f"{path or 'this page'} has no heading `{anchor}`")
    if page.is_relative_to(root / "docs"):
        for hit in RUN_ON.finditer(bare):
            say(hit.end(), "a list needs an empty line before it")
    return lines


def reached(root: Path, pages: list[Path]) -> set[Path]:
    """These pages, and every file that they, or pages among those files, link to."""
    found, left = set(pages), list(pages)
    while left:
        page = left.pop()
        for hit in LINK.finditer(without_code(page.read_text())):
            file = (page.parent / hit[1].partition("#")[0]).resolve()
            if not ELSEWHERE.match(hit[1]) and file.is_file() and file.is_relative_to(root) and file not in found:
                found.add(file)
                left += [file] if file.suffix == ".md" else []
    return found


def faults(root: Path) -> list[str]:
    """What is wrong on any page."""
    return [line for page in pages(root) for line in of_page(root, page, page.read_text())]
