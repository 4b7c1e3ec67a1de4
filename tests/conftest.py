"""What holds for the whole suite: the same inputs each run, and no test left out in silence.

A test that needs a program of the system says so: `@pytest.mark.needs("promtool")`.
Where the program is missing the test is skipped and named at the end of the
run; with `CI=true` that is a failure, since nobody reads the end of a green run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps daemons that are not on every user's PATH."""

hypothesis.settings.register_profile(
    "suite",
    # The same examples on every machine; a slow shared core is no failure.
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("suite")


def skips_are_failures() -> bool:
    """Whether this run may leave nothing out."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def program(name: str) -> str | None:
    """Path of an installed program, or None; looks where daemons and PostgreSQL's tools live too."""
    postgresql = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN, *map(str, postgresql)])
    return shutil.which(name, path=path)


def pytest_configure() -> None:
    """Say that this thread has no event loop of its own, and that Ctrl-C is heard.

    Until somebody said so, `get_event_loop` makes one: the plugin looptime asks before plain tests
    too, and that loop, never closed, would fail whichever test the garbage collector meets it in.

    A shell that starts the suite in the background has it ignore SIGINT, and the programs that
    tests start would inherit that.
    """
    asyncio.set_event_loop(None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are missing."""
    for marker in item.iter_markers("needs"):
        missing = [name for name in marker.args if program(name) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)} (scripts/setup installs what the tests need)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skipped test into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and skips_are_failures():
        report.longrepr = f"CI leaves no test out: {_reason(report)}"
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, turn a skipped module into a failure."""
    report = yield
    if report.skipped and skips_are_failures():
        report.longrepr = f"CI leaves no test out: {_reason(report)}"
        report.outcome = "failed"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped: the last of (file, line, reason)."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"left out: {len(skipped)}")
    for line in sorted(f"{report.nodeid}: {_reason(report)}" for report in skipped):
        terminalreporter.line(line)
