"""What is made sure of before anything is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.runtime.startup import AIOHTTP_FLOOR, distrust
from tests.kit.daemon import Home, address_of
from tests.kit.processes import ROOT, environment, once


@pytest.mark.parametrize(
    ("version", "trusted"),
    [
        ("3.14.5", True),
        ("3.14.10", True),
        ("3.15.0rc1", True),
        ("4.0.0", True),
        ("3.14.4", False),
        ("3.9.11", False),
        ("2", False),
        ("", False),
    ],
)
def test_an_http_library_with_known_holes_is_not_trusted(version: str, trusted: bool) -> None:  # noqa: FBT001 - the row of a table
    """Whatever the pins say: somebody may have installed another."""
    assert (distrust(version, compiled=True) == "") is trusted


def test_the_floor_is_the_one_that_the_package_asks_for() -> None:
    """One number in two places."""
    asked = re.search(r'"aiohttp>=([0-9.]+),', (ROOT / "pyproject.toml").read_text())
    assert asked is not None
    assert tuple(map(int, asked[1].split("."))) == AIOHTTP_FLOOR


def test_the_parser_in_python_is_refused_at_the_start(tmp_path: Path) -> None:
    """One sentence and what to do, before anything listens."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    ended = once(
        "run",
        f"--config.file={home.config}",
        "--web.listen-address=127.0.0.1:0",
        cwd=tmp_path,
        env=environment(AIOHTTP_NO_EXTENSIONS="1"),
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("smsbat-exporter: aiohttp runs without its parser in C")
    assert "unset AIOHTTP_NO_EXTENSIONS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_daemon_leaves_no_core_dump(tmp_path: Path) -> None:
    """The memory holds keys and message ids; the kernel says that it will not be written down."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    with home.start() as daemon:
        address_of(daemon)
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    found = re.search(r"^Max core file size +(\S+) +(\S+) ", limits, re.MULTILINE)
    assert found is not None
    assert found.groups() == ("0", "0")
