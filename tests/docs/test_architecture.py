"""The map shows what is there."""

from __future__ import annotations

import re
import tomllib

from tests.kit.processes import ROOT

PACKAGE = ROOT / "exporter"
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MOST_FILES = {"The way of an id": 20, "The way of an answer": 15}


def read_section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return MAP.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_every_package_is_on_the_map() -> None:
    """Each package and module beside them has a row, on the layer that the contract gives it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    expected = {
        name: str(len(layers) - number) for number, layer in enumerate(layers) for name in layer.split(" | ")
    }
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+) \|", read_section("Packages"), re.MULTILINE)
    shown = {name: level for level, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert shown == expected
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert shown.keys() == packages | modules


def test_files_on_the_map_exist() -> None:
    """Each file that is named in a table is there."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|sql|json))`", MAP))
    missing = {name for name in named if not any((root / name).exists() for root in (PACKAGE, ROOT))}
    assert missing == set()


def test_the_ways_are_short() -> None:
    """The map counts the files of each way, each once, and there are not more of them than now."""
    for heading, most in MOST_FILES.items():
        section = read_section(heading)
        cells = re.findall(r"^\| \d+ \| (.+?) \|", section, re.MULTILINE)
        files = re.findall(r"`([\w/]+\.py)`", " ".join(cells))
        assert len(files) == len(set(files)) <= most, heading
        assert f", in {len(files)} files:" in section, heading
