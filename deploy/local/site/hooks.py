"""What MkDocs is told beside its settings.

Pages lead to code by links that leave `docs/`; on the site the code is not there. Such a link becomes its text and the path.
"""

import posixpath
import re
from pathlib import Path

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
STYLE = "style.css"


def outside(page: str, target: str) -> str | None:
    """The path below the repository's root, where `target` leaves `docs/`."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path == "docs" or path.startswith("docs/") else path


def on_page_markdown(markdown: str, page, **_) -> str:
    def words(hit: re.Match) -> str:
        path = outside(page.file.src_uri, hit[2])
        if path is None:
            return hit[0]
        return hit[1] if path in hit[1] else f"{hit[1]} (`{path}`)"

    return LINK.sub(words, markdown)


def on_files(files, config, **_):
    from mkdocs.structure.files import File

    style = (Path(__file__).parent / STYLE).read_text()
    files.append(File.generated(config, STYLE, content=style))
    return files
