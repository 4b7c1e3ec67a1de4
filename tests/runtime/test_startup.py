"""Before anything is served the environment is checked, and a slow step is logged."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

from exporter.runtime.startup import OLDEST_AIOHTTP, find_aiohttp_fault, log_slow_step
from tests.kit.daemon import Home, address_of
from tests.kit.processes import ROOT, environment, once
from tests.kit.virtual import VIRTUAL


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
    """Whatever the pins say: another version may have been installed."""
    assert (find_aiohttp_fault(version, compiled=True) == "") is trusted


def test_the_oldest_version_is_the_one_that_the_package_requires() -> None:
    """The same number in two places."""
    required = re.search(r'"aiohttp>=([0-9.]+),', (ROOT / "pyproject.toml").read_text())
    assert required is not None
    assert tuple(map(int, required[1].split("."))) == OLDEST_AIOHTTP


def test_the_python_parser_is_refused_at_the_start(tmp_path: Path) -> None:
    """With one sentence and a hint, before anything listens."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    ended = once(
        "run",
        f"--config.file={home.config}",
        "--web.listen-address=127.0.0.1:0",
        cwd=tmp_path,
        env=environment(AIOHTTP_NO_EXTENSIONS="1"),
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("smsbat-exporter: aiohttp runs without its C parser")
    assert "unset AIOHTTP_NO_EXTENSIONS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_daemon_leaves_no_core_dump(tmp_path: Path) -> None:
    """Memory contains keys and message ids; the kernel reports a limit of 0 for core files."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    with home.start() as daemon:
        address_of(daemon)
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    found = re.search(r"^Max core file size +(\S+) +(\S+) ", limits, re.MULTILINE)
    assert found is not None
    assert found.groups() == ("0", "0")


@VIRTUAL
async def test_a_long_step_is_logged_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """With its time so far and its progress; nothing more once it is over."""
    caplog.set_level(logging.INFO, "smsbat")
    done = 0
    with log_slow_step("counting", lambda: {"done": done}):
        for done in range(35):  # noqa: B007 - the progress that is logged
            await asyncio.sleep(1)
    await asyncio.sleep(60)
    logged = [vars(record)["fields"] for record in caplog.records]
    assert logged == [
        {"step": "counting", "seconds": 10 * n, "done": pytest.approx(10 * n, abs=1)} for n in (1, 2, 3)
    ]


@VIRTUAL
async def test_a_quick_or_failing_step_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is raised unchanged."""
    caplog.set_level(logging.INFO, "smsbat")
    with pytest.raises(TimeoutError), log_slow_step("trying"):
        await asyncio.wait_for(asyncio.Event().wait(), 9)
    await asyncio.sleep(60)
    assert caplog.records == []
