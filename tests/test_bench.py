"""The benchmarks run: what they measure in a tiny size means nothing, but each figure is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.kit.processes import Running

FIGURES = {
    "start": 7,
    "polls": 9,
    "ingestion": 8,
    "memory": 8,
    "scrape": 10,
    "life": 10,
    "log": 5,
    "schedules": 27,
}
_FIGURE = re.compile(r"  (\S.*?) +(\d[\d,.e+-]*)")


def _run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    with Running([sys.executable, "-m", "bench", *arguments], folder / "bench") as bench:
        return bench.ends(), bench.printed(), bench.said()


@pytest.mark.parametrize("name", FIGURES)
def test_a_benchmark_prints_each_of_its_figures(tmp_path: Path, name: str) -> None:
    """In its tiny size a benchmark ends well and prints a positive number for all that it measures."""
    code, printed, said = _run(tmp_path, "--quick", name)
    assert (code, said) == (0, "")
    title, *lines = printed.rstrip("\n").split("\n")
    assert title.startswith(f"{name}: ")
    figures = [match for line in lines if (match := _FIGURE.fullmatch(line))]
    assert len(figures) == FIGURES[name], lines
    assert all(float(figure[2].replace(",", "")) > 0 for figure in figures), lines


def test_an_unknown_benchmark_is_named(tmp_path: Path) -> None:
    """A wrong name is wrong usage, and nothing is measured."""
    code, printed, said = _run(tmp_path, "speed")
    assert code == 2
    assert "no such benchmark: speed" in said
    assert not printed
