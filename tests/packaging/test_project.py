"""What the project's own files promise each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("Dockerfile", "Makefile", "pyproject.toml", "scripts", "requirements", ".ci")


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_make_command_of_the_readme_exists() -> None:
    """A reader who copies `make ...` from the README gets what it says."""
    promised = set(re.findall(r"^    make ([a-z-]+)", _read("README.md"), re.MULTILINE))
    assert {"demo", "run", "test", "check"} <= promised
    targets = set(re.findall(r"^([a-z-]+):.*## ", _read("Makefile"), re.MULTILINE))
    assert promised <= targets


def test_make_alone_lists_every_target() -> None:
    """`make` says what there is, and starts nothing."""
    done = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = set(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE))
    assert listed == set(re.findall(r"^\.PHONY: ([a-z-]+)$", _read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("name", ["run", "build", "dev", "audit"])
def test_every_pin_is_exact_and_hashed(name: str) -> None:
    """What is installed today is what was tested, to the byte."""
    lines = [line for line in _read(f"requirements/{name}.txt").splitlines() if line and line[0] != "#"]
    pins = re.split(r"\n(?=\S)", "\n".join(lines))
    assert [pin for pin in pins if "==" not in pin.split("\n")[0] or "--hash=sha256:" not in pin] == []


def test_run_time_pins_cover_what_the_distribution_asks_for() -> None:
    """Each dependency in pyproject.toml has its pin."""
    asked = tomllib.loads(_read("pyproject.toml"))["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in asked}
    pinned = set(re.findall(r"^([a-z0-9-]+)==", _read("requirements/run.txt"), re.MULTILINE))
    assert names <= pinned


def test_no_registry_is_named() -> None:
    """Where packages and images come from is the machine's business."""
    files = [
        path
        for name in OURS
        for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
    ]
    named = [
        path.name
        for path in files
        if path.is_file() and re.search(r"https?://(?!127\.0\.0\.1|localhost)[a-z0-9]", path.read_text())
    ]
    assert named == []


@pytest.mark.parametrize(
    "script", sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]), ids=lambda path: path.name
)
def test_scripts_can_be_started_and_parsed(script: Path) -> None:
    """A script is executable, and the shell understands all of it."""
    assert script.stat().st_mode & 0o111 == 0o111
    if "bash" in script.read_text().split("\n")[0]:
        subprocess.run(["bash", "-n", str(script)], check=True)
