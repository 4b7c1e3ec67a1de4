"""The benchmarks run: what they measure in a tiny size means nothing, but each figure is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIGURES = {
    "polls": 9,
    "ingestion": 8,
    "memory": 8,
    "scrape": 10,
    "life": 10,
    "schedules": 27,
}
_FIGURE = re.compile(r"  (\S.*?) +(\d[\d,.e+-]*)")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", FIGURES)
def test_a_benchmark_prints_each_of_its_figures(name: str) -> None:
    """In its tiny size a benchmark ends well and prints a positive number for all that it measures."""
    ended = _run("--quick", name)
    assert (ended.returncode, ended.stderr) == (0, "")
    title, *lines = ended.stdout.rstrip("\n").split("\n")
    assert title.startswith(f"{name}: ")
    figures = [match for line in lines if (match := _FIGURE.fullmatch(line))]
    assert len(figures) == FIGURES[name], lines
    assert all(float(figure[2].replace(",", "")) > 0 for figure in figures), lines


def test_an_unknown_benchmark_is_named() -> None:
    """A wrong name is wrong usage, and nothing is measured."""
    ended = _run("speed")
    assert ended.returncode == 2
    assert "no such benchmark: speed" in ended.stderr
    assert not ended.stdout
