"""The demo: it shows numbers, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import sum_of
from tests.kit.processes import EXPORTER, ROOT, Running, environment, kill_afterwards
from tests.kit.provider import Provider
from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask

_HOLD_AT_FOLDER = """\
import os, sys

def hold(event, arguments):
    if event == "os.mkdir" and "smsbat-demo-" in str(arguments[0]) and not held:
        held.append(True)
        os.write(1, b"!")
        os.read(0, 1)

held = []
sys.addaudithook(hold)
"""
"""Says that the demo is about to make its folder, and waits for a byte before it does."""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for the temporary files of the demo."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def demo(tmp_path: Path, temporary: Path) -> Iterator[Running]:
    """A demo in which an hour passes in a minute."""
    argv = [*EXPORTER, "demo", "--speed=60", "--web.listen-address=:0"]
    with Running(argv, tmp_path / "demo.log", env=environment(TMPDIR=str(temporary))) as running:
        yield running


def wait_for_addresses(demo: Running) -> tuple[str, str]:
    """Wait until the demo prints the addresses of exporter and provider; returns them."""

    def printed() -> tuple[str, str] | None:
        if "Ctrl-C" not in demo.printed():
            assert demo.runs, demo.said()
            return None
        metrics = re.search(r"metrics +http://(\S+)/metrics\n", demo.printed())
        provider = re.search(r"provider +http://(\S+)/-/scenario/? ", demo.printed())
        assert metrics
        assert provider
        return metrics[1], provider[1]

    found = until(printed, "the demo prints its addresses")
    assert found is not None
    return found


def test_the_demo_shows_growing_numbers(demo: Running) -> None:
    """Messages are tracked and finished, continuously."""
    address, _ = wait_for_addresses(demo)
    name = "smsbat_messages_finished_total"
    until(lambda: (sum_of(address, name) or 0) > 0, "messages finish")
    seen = sum_of(address, name) or 0
    until(lambda: (sum_of(address, name) or 0) > seen, "more messages finish")
    assert ask(address, "/").status == 200


def test_the_command_that_changes_the_scenario_works(demo: Running) -> None:
    """As the demo prints it."""
    wait_for_addresses(demo)
    command = re.search(r"curl -X POST http://(\S+?)(/-/scenario/\S+)", demo.printed())
    assert command
    assert ask(command[1], command[2], method="POST").json()["current"] == "viber-outage"


def test_webhooks_are_first_until_they_are_lost(demo: Running) -> None:
    """Final statuses are known first from webhooks, or from polls after the command that the demo prints."""
    address, simulator = wait_for_addresses(demo)
    provider = Provider(simulator, 1)

    def first_by(source: str) -> float:
        return sum_of(address, "smsbat_first_knowledge_total", source=source) or 0

    until(lambda: first_by("webhook") > 20, "webhooks report final statuses")
    command = re.search(r"curl -X DELETE http://(\S+?)(/-/webhook)", demo.printed())
    assert command
    assert ask(command[1], command[2], method="DELETE").status == 200
    until(lambda: not provider.webhook_counts()["waiting"], "the last webhook was sent")
    received, seen = provider.webhook_counts()["acknowledged"], first_by("poll")
    until(lambda: first_by("poll") > seen + 100, "polls find final statuses")
    assert first_by("webhook") <= received


def test_hidden_ids_are_accepted_later(demo: Running) -> None:
    """A drop directory that is moved away is reported, and processed again when it is back."""
    address, _ = wait_for_addresses(demo)
    command = re.search(r"mv (\S+) (\S+)", demo.printed())
    assert command
    drop, hidden = Path(command[1]), Path(command[2])
    drop.rename(hidden)
    until(lambda: sum_of(address, "smsbat_drop_up") == 0, "its absence is reported")
    seen = sum_of(address, "smsbat_messages_tracked_total") or 0
    hidden.rename(drop)
    until(lambda: sum_of(address, "smsbat_drop_up") == 1, "its return is reported")
    until(
        lambda: (sum_of(address, "smsbat_messages_tracked_total") or 0) > seen,
        "ids are accepted again",
    )


def test_a_demo_that_is_ended_early_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    """It makes its folder when a signal can no longer keep it from removing it."""
    (tmp_path / "sitecustomize.py").write_text(_HOLD_AT_FOLDER, "ascii")
    process = subprocess.Popen(
        [*EXPORTER, "demo", "--web.listen-address=127.0.0.1:0"],
        env=environment(TMPDIR=str(temporary), PYTHONPATH=f"{tmp_path}:{ROOT}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with kill_afterwards(process) as demo:
        assert demo.stdin
        assert demo.stdout
        assert demo.stdout.read(1)
        demo.send_signal(signal.SIGTERM)
        demo.stdin.write(b"!")
        demo.stdin.flush()
        assert demo.wait(HANG_SECONDS) == 0
    assert list(temporary.iterdir()) == []


def test_the_demo_leaves_nothing_behind(demo: Running, temporary: Path) -> None:
    """0 at Ctrl-C, an empty temporary folder, and no stack trace."""
    wait_for_addresses(demo)
    assert list(temporary.iterdir())
    demo.signal(signal.SIGINT)
    assert demo.ends() == 0
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in demo.said() + demo.printed()
