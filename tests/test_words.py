"""Words of our own don't come back: the field has a term for each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRIVATE = re.compile(
    r"hearsay|strangers?|hearing|fusion|upkeep|told_nanos|foretold|precautions|readings|instants",
    re.IGNORECASE,
)
LEFT_OUT = (ROOT / "exporter" / "store" / "sql", ROOT / "exporter" / "store" / "sqlite.py")
"""Finished migrations never change, and the statements name the columns that they made."""


def find_texts() -> list[Path]:
    """The texts of package and documentation that people read."""
    return sorted(
        path
        for folder in ("exporter", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".sql", ".json", ".html", ".css", ".yaml"}
        and not {path, *path.parents} & set(LEFT_OUT)
    )


@pytest.mark.parametrize("path", find_texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_words(path: Path) -> None:
    """Names, comments and sentences use words that a reader of Prometheus and asyncio knows."""
    lines = path.read_text("utf-8").splitlines()
    assert [f"{number}: {line}" for number, line in enumerate(lines, 1) if PRIVATE.search(line)] == []
