"""What the code answers, counts and reads, by name; and whether the page about it names just that.

A page names what stands between backticks in the first column of its tables.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .source import shipped

WORD = r'"([a-z][a-z_]*)"'
# Where a code is said for the first time.
CODES = (
    rf"(?:Refusal|Self)::new\(\s*\d{{3}},\s*{WORD}",
    rf"Refusal::(?:invalid|busy)\(\s*{WORD}",
    rf"Ending::because\(\s*OutcomeStatus::\w+,\s*{WORD}",
    rf"\bcode(?:: | = ){WORD}",
    rf"(?:CODE|RECORD_DAMAGED): &str = {WORD}",
)
# Files that say codes, and nothing else in such a place, in a way of their own.
CODES_IN = {
    "api/src/error.rs": rf"Self::new\({WORD}",
    "ingress/src/answers/failure.rs": rf"{WORD}(?=[^\n]*=>|,\n\s+\")|=> {WORD}",
    "workers/src/backend.rs": rf"Self::\w+ => {WORD}",
    "scheduler/src/core/offers.rs": rf"\(\s*{WORD},\s*\"",
    "scheduler/src/core/snapshot.rs": rf"\({WORD},",
}

METRIC = re.compile(r'"((?:relay|llm_gateway|process)_[a-z_]+)"')
# Names of metrics that are put together: `format!("relay_scheduler_{name}")`, and where it is called.
PREFIX = re.compile(r'format!\("(relay_\w+_)\{name\}"\)')
SUFFIX = re.compile(r'\b(?:opts|gauge|counter|histogram)\(\s*"([a-z_]+)"')
# Fields of an answer, no metrics.
NO_METRICS = {"relay_dropped", "relay_omitted"}

# Where `header` is HTTP's, and not a record's.
HTTP = (
    "ingress/src/http/",
    "relay/src/ops",
    "relay/src/topics/door.rs",
    "relay/src/topics/running.rs",
    "relay/src/topics/wire.rs",
    "runner/src/ops.rs",
    "trace-sink/src/admin/",
    "workers/src/remote/",
)
HTTP_LITERAL = re.compile(r'(?:HeaderName::from_static\(|text\(|: &str = )"([a-z]+(?:-[a-z]+)+|traceparent)"')
HTTP_CONSTANT = re.compile(r"\bheader::(?:\{([^}]*)\}|([A-Z][A-Z_]+))")
RECORD = re.compile(r'pub const [A-Z_0-9]+: &str = "([a-z0-9-]+)"')

VARIABLES = (
    r'\benv = "([A-Z_]+)"',
    r'\b(?:var|var_os)\("([A-Z_]+)"\)',
    r'parsed\(&var, "([A-Z_]+)"\)',
    r'VARIABLE: &str = "([A-Z_]+)"',
)
# Names that are read from a list.
VARIABLES_IN = {"workers/src/proxies.rs": r'"([A-Z]+_PROXY)"'}
# Read by libraries: rustls-native-certs and OpenSSL.
VARIABLES_OF_LIBRARIES = {"SSL_CERT_FILE", "SSL_CERT_DIR"}
# Read by the executable of the proofs alone (CONTRIBUTING.md).
NO_VARIABLES = {"RELAY_CRASH_AT"}


# What `/readyz` may name.
BOARD = (
    rf"\bhealth\.(?:up|down|bypassed|degraded)\(\s*{WORD}",
    rf"\b(?:DEPENDENCY|SINK|STORE): &str = {WORD}",
    rf"\bwatch_(?:leaders|models)\([^;]*?{WORD}",
)
BOARD_IN = {
    "runner/src/health.rs": rf": &str = {WORD}",
    "ingress/src/cluster/readiness.rs": rf"=> {WORD}",
}


def every(pattern: str | re.Pattern, text: str) -> set[str]:
    return {group for hit in re.finditer(pattern, text) for group in hit.groups() if group}


def anywhere(root: Path, patterns: tuple[str, ...], in_files: dict[str, str]) -> set[str]:
    """What the patterns find in any file, and each of `in_files` in its own."""
    found = set()
    for name, text in shipped(root).items():
        found |= every("|".join(patterns), text)
        if name in in_files:
            found |= every(in_files[name], text)
    return found


def codes(root: Path) -> set[str]:
    """Every `code` that an error, an outcome or a batch result may have."""
    return anywhere(root, CODES, CODES_IN)


def dependencies(root: Path) -> set[str]:
    """Every dependency that `/readyz` may name."""
    return anywhere(root, BOARD, BOARD_IN)


def metrics(root: Path) -> set[str]:
    """Every metric."""
    found = set()
    for text in shipped(root).values():
        found |= every(METRIC, text)
        for prefix in every(PREFIX, text):
            found |= {prefix + suffix for suffix in every(SUFFIX, text)}
    crates = {f"relay_{crate.parent.name.replace('-', '_')}" for crate in root.glob("*/Cargo.toml")}
    return found - crates - NO_METRICS


def headers(root: Path) -> set[str]:
    """Every header, of HTTP and of records, that is read or written."""
    files = shipped(root)
    found = every(RECORD, files["bus/src/headers.rs"])
    for name, text in files.items():
        if name.startswith(HTTP):
            found |= every(HTTP_LITERAL, text)
            for constants in every(HTTP_CONSTANT, text):
                named = re.findall(r"\b[A-Z][A-Z_]+\b", constants)
                found |= {constant.lower().replace("_", "-") for constant in named}
            if "Redirect::" in text:
                found.add("location")
    return found


def variables(root: Path) -> set[str]:
    """Every environment variable that has a meaning of its own."""
    return (anywhere(root, VARIABLES, VARIABLES_IN) | VARIABLES_OF_LIBRARIES) - NO_VARIABLES


@dataclass(frozen=True)
class Listed:
    """A page, what it lists, and where that comes from."""

    page: str
    what: str
    in_code: Callable[[Path], set[str]]
    """Which of the names in the page's tables are meant."""
    is_one: Callable[[str], bool]
    """The heading below which its tables are, where not all of the page's are meant."""
    under: str = ""
    """Whether a row is enough for each."""
    once: bool = True


LISTS = (
    Listed("docs/errors.md", "code", codes, lambda name: bool(re.fullmatch(r"[a-z_]+", name))),
    Listed("docs/metrics.md", "metric", metrics, lambda name: name.startswith(("relay_", "llm_gateway_", "process_"))),
    Listed("docs/headers.md", "header", headers, lambda name: bool(re.fullmatch(r"[a-z0-9-]+", name.lower())), once=False),
    Listed("docs/configuration.md", "environment variable", variables, lambda name: bool(re.fullmatch(r"[A-Z_]+", name))),
    Listed("docs/troubleshooting.md", "dependency", dependencies, lambda _: True, "## What /readyz names\n"),
)


def below(text: str, heading: str) -> str:
    """The page from a heading to the next one."""
    return text.partition(heading)[2].partition("\n## ")[0] if heading else text


def in_tables(text: str) -> list[str]:
    """What stands between backticks in the first column of the page's tables, row by row."""
    rows = re.findall(r"^\|([^|]*)\|", text, re.M)
    return [name for cell in rows for name in re.findall(r"`([^`]+)`", cell)]


def faults(root: Path) -> list[str]:
    """What a page names and the code does not, and the other way round."""
    lines = []
    for listed in LISTS:
        text = below((root / listed.page).read_text(), listed.under)
        rows = [name for name in in_tables(text) if listed.is_one(name)]
        if listed.once:
            lines += [f"{listed.page}: the {listed.what} `{name}` has two rows" for name in sorted(set(rows)) if rows.count(name) > 1]
        named = {name.lower() if listed.what == "header" else name for name in rows}
        there = listed.in_code(root)
        lines += [f"{listed.page}: the {listed.what} `{name}` is in the code and in no table here" for name in sorted(there - named)]
        lines += [f"{listed.page}: the {listed.what} `{name}` is nowhere in the code" for name in sorted(named - there)]
    return lines
