"""The pages about commands and errors say what the program does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from exporter.domain.model import Outcome
from exporter.runtime import errors
from exporter.runtime.errors import CODE_OF_OUTCOME, Code, ExporterError
from tests.cli.regenerate import COMMANDS_PAGE, DOCS, expected

PACKAGE = DOCS.parent / "exporter"


def test_the_page_of_commands_is_what_the_program_makes() -> None:
    """A difference means: run `python -m tests.cli.regenerate`, and look at it."""
    assert COMMANDS_PAGE.read_text("utf-8") == expected()


def test_every_code_has_its_section_and_every_section_its_code() -> None:
    """A code that a user sees is an anchor of the page, with something to read below it."""
    page = (DOCS / "errors.md").read_text("utf-8")
    sections = re.findall(r"^### (.*)\n([^#\n].+)", page, re.MULTILINE)
    assert [heading for heading, _ in sections] == re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert sorted(heading for heading, _ in sections) == sorted(Code)


def test_every_code_is_reported_by_something() -> None:
    """A code that nothing tells any more leaves the list."""
    text = "".join(path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    assert [code.name for code in Code if f"Code.{code.name}" not in text] == []


def test_every_outcome_but_a_good_one_has_a_code() -> None:
    """Whatever a request to the provider comes to can be told."""
    assert set(Outcome) - CODE_OF_OUTCOME.keys() == {Outcome.OK}


def test_every_exit_code_of_an_error_is_documented() -> None:
    """In the page, in the help and beside the classes."""
    table = COMMANDS_PAGE.read_text("utf-8").partition("## Exit codes")[2]
    documented = set(map(int, re.findall(r"^\| (\d+) \|", table, re.MULTILINE)))
    assert {kind.exit_code for kind in _classes(ExporterError)} <= documented
    for kind in _classes(ExporterError):
        drawn = re.search(rf"{kind.__name__} +(\d+) ", errors.__doc__ or "")
        assert drawn is None or int(drawn[1]) == kind.exit_code


def test_links_between_the_pages_lead_somewhere() -> None:
    """Files exist, and so do their anchors."""
    wrong = []
    for name in ("commands.md", "errors.md"):
        for target in re.findall(r"\]\(([^)]+)\)", (DOCS / name).read_text("utf-8")):
            file, _, anchor = target.partition("#")
            path = DOCS / file if file else DOCS / name
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                wrong.append(f"{name}: {target}")
    assert wrong == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {heading.lower().replace(" ", "-") for heading in headings}


def _classes(kind: type[ExporterError]) -> Iterator[type[ExporterError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _classes(below)
