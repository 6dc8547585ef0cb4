"""`docs.py` on small pages, and the pages themselves."""

import sys
import tempfile
import unittest
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(LOCAL), str(LOCAL / "site")]

import docs
import hooks
from harness.paths import ROOT
from pages import doors, links, names, settings, source

SAMPLE = """# About the file.
# key: value

data: here                # folder
instance: null            # a name

# The listener.
ops:
  port: 8001              # 0 takes a free one,
                          # whichever
  limits:                 # of all
    most: 32
#|store:
#|  kind: postgres
#|  url: pg://x
"""


class Doors(unittest.TestCase):
    def test_a_door_that_the_makefile_lacks_is_named_wherever_it_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            (root / "Makefile").write_text(".PHONY: up\nup: tools ## Up\n\t@true\n\ntools:\n\t@true\n")
            (root / "page.md").write_text("`make install`, make room\n\n```sh\nmake instal\nmake up\n```\n")
            (root / "said.rs").write_text('"`make tool` brings it"\n// and `make tools` makes it\nmake a\n')
            (root / "mends.py").write_text('Failed(f"mend it with: rm -r {x}; make toolz")\n')
            (root / "run").write_text("make up\nmake lint\n")
            expected = [
                "mends.py:1: the Makefile has no `make toolz`",
                "page.md:1: the Makefile has no `make install`",
                "page.md:4: the Makefile has no `make instal`",
                "run:2: the Makefile has no `make lint`",
                "said.rs:1: the Makefile has no `make tool`",
            ]
            self.assertEqual(doors.faults(root), expected)


class Links(unittest.TestCase):
    def faults(self, text: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            (root / "docs").mkdir()
            (root / "there.rs").touch()
            (root / "docs" / "other.md").write_text("# A `b`: c\n\n## Twice\n\n## Twice\n")
            page = root / "docs" / "page.md"
            page.write_text(text)
            return [line.partition(": ")[2] for line in links.of_page(root, page, text)]

    def test_a_link_that_leads_nowhere_is_named_with_its_line(self):
        self.assertEqual(self.faults("# Page\n\n[x](gone.md)"), ["there is no gone.md"])
        self.assertEqual(self.faults("[x](other.md#no)"), ["other.md has no heading `no`"])
        self.assertEqual(self.faults("[x](#no)"), ["this page has no heading `no`"])
        self.assertEqual(self.faults("[x](../../up.md)"), ["there is no ../../up.md"])
        page = Path("/r/docs/p.md")
        self.assertEqual(links.of_page(Path("/r"), page, "\n\n[x](gone.md)"), ["docs/p.md:3: there is no gone.md"])

    def test_pages_files_headings_and_other_sites_are_found(self):
        text = "# Own\n\n[a](other.md) [b](other.md#a-b-c) [c](#own) [`d`](../there.rs) [e](https://x.example/#y) [f](other.md#twice-1)"
        self.assertEqual(self.faults(text), [])

    def test_what_stands_in_code_is_no_link(self):
        self.assertEqual(self.faults("`[x](gone.md)`\n\n```sh\n[x](gone.md)\n# no heading\n```\n"), [])

    def test_a_list_that_the_site_would_run_into_the_text_is_named(self):
        self.assertEqual(self.faults("text:\n- one\n"), ["a list needs an empty line before it"])
        self.assertEqual(self.faults("text:\n\n- one\n  more\n- two\n1. three\n\n| a |\n"), [])


class Names(unittest.TestCase):
    def test_a_page_names_what_its_tables_have_in_their_first_column(self):
        text = "`no`\n\n| code | x |\n|---|---|\n| `a`, `b` | `c` |\n"
        self.assertEqual(names.in_tables(text), ["a", "b"])

    def test_what_the_code_has_is_found_in_every_way_it_is_written(self):
        for pattern, text, found in (
            ("|".join(names.CODES), 'Refusal::invalid(\n    "a_b", None)', {"a_b"}),
            ("|".join(names.CODES), '..Self::new(\n 503,\n "c", message)', {"c"}),
            ("|".join(names.CODES), 'Ending::because(OutcomeStatus::Failed, "d", m)', {"d"}),
            ("|".join(names.CODES), 'code: "e".to_owned(), let code = "f";', {"e", "f"}),
            (names.METRIC, 'counter!("relay_x_total", "llm_gateway_y")', {"relay_x_total", "llm_gateway_y"}),
            (names.SUFFIX, 'gauge(\n "waiting", counter("taken_total", h)', {"waiting", "taken_total"}),
            (names.HTTP_LITERAL, 'HeaderName::from_static("x-a-b") const K: &str = "idempotency-key";', {"x-a-b", "idempotency-key"}),
            (names.HTTP_CONSTANT, "use axum::http::header::{HOST, RETRY_AFTER}; header::ORIGIN", {"HOST, RETRY_AFTER", "ORIGIN"}),
            ("|".join(names.BOARD), 'health.down("a", why) const SINK: &str = "b"; watch_leaders(\n x.clone(),\n "c",', {"a", "b", "c"}),
            ("|".join(names.VARIABLES), '#[arg(long, env = "PORT")] var("DEVICE") parsed(&var, "MAX")', {"PORT", "DEVICE", "MAX"}),
        ):
            self.assertEqual(names.every(pattern, text), found, text)

    def test_each_list_of_the_code_is_found_and_not_empty(self):
        for listed, known in zip(names.LISTS, ("no_worker", "relay_scheduler_leader", "x-should-retry", "RELAY_CONFIG", "planned_models"), strict=True):
            self.assertIn(known, listed.in_code(ROOT), listed.what)

    def test_what_commands_ask_a_running_relay_by_and_where_the_root_leads_are_headers(self):
        self.assertLessEqual({"relay-user", "relay-log", "location"}, names.headers(ROOT))
        self.assertLessEqual({"process_threads", "process_cpu_seconds_total"}, names.metrics(ROOT))

    def test_tests_and_comments_are_no_code(self):
        text = 'a("b");\n    // code: "d"\n#[cfg(test)]\nmod tests {\n code: "e"\n}\n'
        left = source.TESTS.sub("", source.COMMENT.sub("", text))
        self.assertIn('a("b")', left)
        self.assertNotIn('"d"', left)
        self.assertNotIn('"e"', left)


class Settings(unittest.TestCase):
    def test_every_key_becomes_a_row_with_its_default_and_meaning(self):
        self.assertEqual(
            settings.reference(SAMPLE),
            "## The process\n\n| key | default | meaning |\n|---|---|---|\n| `data` | `here` | folder |\n| `instance` | `null` | a name |\n\n"
            "## `ops`\n\nThe listener.\n\n| key | default | meaning |\n|---|---|---|\n| `ops.port` | `8001` | 0 takes a free one, whichever |\n"
            "| `ops.limits` |  | of all |\n| `ops.limits.most` | `32` |  |\n\n"
            "## `store`, kind `postgres`\n\n| key | default | meaning |\n|---|---|---|\n| `store.kind` | `postgres` |  |\n| `store.url` | `pg://x` |  |",
        )

    def test_a_line_that_is_laid_out_otherwise_is_refused_and_named(self):
        with self.assertRaisesRegex(settings.Unreadable, "relay.embedded.yaml:2: "):
            settings.sections("a: 1\n- b\n")

    def test_only_what_stands_between_the_markers_is_written(self):
        page = f"above {settings.BEGIN} old {settings.END} below"
        self.assertEqual(
            settings.written(page, SAMPLE), f"above {settings.BEGIN}\n\n{settings.reference(SAMPLE)}\n\n{settings.END} below"
        )
        with self.assertRaises(settings.Unreadable):
            settings.written("no markers", SAMPLE)


class Site(unittest.TestCase):
    def test_a_link_into_the_code_becomes_its_text_and_the_path(self):
        class Page:
            class file:
                src_uri = "adr/0001.md"

        words = lambda text: hooks.on_page_markdown(text, Page)
        self.assertEqual(words("[`Stage`](../../runner/src/stage.rs#L1)"), "`Stage` (`runner/src/stage.rs`)")
        self.assertEqual(words("[`runner/src`](../../runner/src)"), "`runner/src`")
        for kept in ("[x](../policy.md#a)", "[x](https://x.example)", "[x](#a)"):
            self.assertEqual(words(kept), kept)


class Pages(unittest.TestCase):
    def test_the_pages_say_what_the_code_does(self):
        self.assertEqual(docs.faults(), [])


if __name__ == "__main__":
    unittest.main()
