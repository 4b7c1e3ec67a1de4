"""What is committed in `grafana/` and the table in the runbooks is what the program makes."""

from __future__ import annotations

import pytest

from tests.dashboards.regenerate import ROOT, expected

EXPECTED = expected()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_committed_file_is_what_the_program_makes(name: str) -> None:
    """A difference means: run `python -m tests.dashboards.regenerate`, and look at it."""
    assert (ROOT / name).read_text("utf-8") == EXPECTED[name]


def test_nothing_is_left_over_from_earlier() -> None:
    """The folder `grafana/` holds no file that nobody makes any more."""
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "grafana").rglob("*") if path.is_file()}
    assert found == {name for name in EXPECTED if name.startswith("grafana/")}
