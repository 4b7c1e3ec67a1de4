"""The demo: something to look at, and nothing left behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import sum_of
from tests.kit.processes import EXPORTER, Running, environment
from tests.kit.provider import Provider
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
    argv = [*EXPORTER, "demo", "--speed=60", "--web.listen-address=:0"]
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

    found = until(printed, "the demo says what to open")
    assert found is not None
    return found


def test_the_demo_shows_growing_numbers(demo: Running) -> None:
    """Messages are tracked and finished, and go on to be."""
    address, _ = opened(demo)
    name = "smsbat_messages_finished_total"
    until(lambda: (sum_of(address, name) or 0) > 0, "messages finish")
    seen = sum_of(address, name) or 0
    until(lambda: (sum_of(address, name) or 0) > seen, "more messages finish")
    assert ask(address, "/").status == 200


def test_what_the_demo_offers_to_break_can_be_broken(demo: Running) -> None:
    """The command that it prints works."""
    opened(demo)
    command = re.search(r"curl -X POST http://(\S+?)(/-/scenario/\S+)", demo.printed())
    assert command
    assert ask(command[1], command[2], method="POST").json()["current"] == "viber-outage"


def test_webhooks_bring_the_news_until_they_are_lost(demo: Running) -> None:
    """Both ways of learning an end show, and the command that it prints leaves one of them."""
    address, simulator = opened(demo)
    provider = Provider(simulator, 1)

    def first_by(source: str) -> float:
        return sum_of(address, "smsbat_first_knowledge_total", source=source) or 0

    until(lambda: first_by("webhook") > 20, "webhooks tell ends")
    command = re.search(r"curl -X DELETE http://(\S+?)(/-/webhook)", demo.printed())
    assert command
    assert ask(command[1], command[2], method="DELETE").status == 200
    until(lambda: not provider.webhook_counts()["waiting"], "the last of them has come")
    told, seen = provider.webhook_counts()["acknowledged"], first_by("poll")
    until(lambda: first_by("poll") > seen + 100, "polls learn ends")
    assert first_by("webhook") <= told


def test_ids_that_are_hidden_are_taken_in_later(demo: Running) -> None:
    """A drop directory that is moved away is told of, and all goes on when it comes back."""
    address, _ = opened(demo)
    command = re.search(r"mv (\S+) (\S+)", demo.printed())
    assert command
    drop, hidden = Path(command[1]), Path(command[2])
    drop.rename(hidden)
    until(lambda: sum_of(address, "smsbat_drop_up") == 0, "its absence is seen")
    seen = sum_of(address, "smsbat_messages_tracked_total") or 0
    hidden.rename(drop)
    until(lambda: sum_of(address, "smsbat_drop_up") == 1, "its return is seen")
    until(
        lambda: (sum_of(address, "smsbat_messages_tracked_total") or 0) > seen,
        "ids are taken in again",
    )


def test_the_demo_leaves_nothing_behind(demo: Running, temporary: Path) -> None:
    """0 at Ctrl-C, an empty temporary folder, and no stack trace."""
    opened(demo)
    assert list(temporary.iterdir())
    demo.signal(signal.SIGINT)
    assert demo.ends() == 0
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in demo.said() + demo.printed()
