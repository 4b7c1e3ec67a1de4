"""The demo: something to look at within seconds, and nothing left behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import sum_of
from tests.kit.processes import EXPORTER, START_SECONDS, Running, environment
from tests.kit.waiting import until
from tests.kit.web import ask


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def demo(tmp_path: Path, temporary: Path) -> Iterator[Running]:
    """A demo in which an hour passes in a minute."""
    argv = [*EXPORTER, "demo", "--speed=60", "--web.listen-address=127.0.0.1:0"]
    with Running(argv, tmp_path / "demo.log", env=environment(TMPDIR=str(temporary))) as running:
        yield running


def opened(demo: Running) -> tuple[str, str]:
    """The addresses of exporter and provider, as the demo prints them."""

    def printed() -> tuple[str, str] | None:
        if "Ctrl-C" not in demo.printed():
            assert demo.runs, demo.said()
            return None
        metrics = re.search(r"metrics +http://(\S+)/metrics\n", demo.printed())
        provider = re.search(r"provider +http://(\S+)/-/scenario/? ", demo.printed())
        assert metrics
        assert provider
        return metrics[1], provider[1]

    found = until(printed, "the demo says what to open", within_seconds=START_SECONDS)
    assert found is not None
    return found


def test_the_demo_shows_growing_numbers_within_seconds(demo: Running) -> None:
    """Messages are tracked and finished, and go on to be."""
    address, _ = opened(demo)
    name = "smsbat_messages_finished_total"
    until(lambda: (sum_of(address, name) or 0) > 0, "messages finish", within_seconds=10)
    seen = sum_of(address, name) or 0
    until(lambda: (sum_of(address, name) or 0) > seen, "more messages finish", within_seconds=10)
    assert ask(address, "/").status == 200


def test_what_the_demo_offers_to_break_can_be_broken(demo: Running) -> None:
    """The command that it prints works."""
    opened(demo)
    command = re.search(r"curl -X POST http://(\S+?)(/-/scenario/\S+)", demo.printed())
    assert command
    assert ask(command[1], command[2], method="POST").json()["current"] == "viber-outage"


def test_the_demo_leaves_nothing_behind(demo: Running, temporary: Path) -> None:
    """0 at Ctrl-C, an empty temporary folder, and no stack trace."""
    opened(demo)
    assert list(temporary.iterdir())
    demo.signal(signal.SIGINT)
    assert demo.ends(within_seconds=5) == 0
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in demo.said() + demo.printed()
