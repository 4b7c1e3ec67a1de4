"""A power cut at any moment loses nothing that was acknowledged (`make torture` cuts 100,000 times)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.virtual import quick_folder
from tests.torture.power_loss import History, Recording, cut, history, recorded
from tests.torture.trace import MakeFolder, Sync

IMAGES = 500
pytestmark = pytest.mark.needs("strace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the run is recorded, and images are made."""
    with quick_folder(tmp_path_factory.mktemp("cut")) as made:
        yield made


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """The run, recorded once."""
    return recorded(folder)


@pytest.fixture(scope="module")
def past(recording: Recording, folder: Path) -> History:
    """What the store held in it."""
    return history(recording, folder)


def test_a_power_cut_loses_nothing_acknowledged(recording: Recording, past: History, folder: Path) -> None:
    """Every image opens, and holds one of the store's states, none older than what was acknowledged."""
    report = cut(recording, past, folder, seed=1, images=IMAGES)
    assert report.findings == []
    assert report.counts["distinct"] > IMAGES // 2


def test_commits_that_are_not_synced_are_found_out(recording: Recording, past: History, folder: Path) -> None:
    """Without a sync for each commit (`synchronous = NORMAL`), acknowledged transactions are lost."""
    report = cut(recording.without_log_syncs(), past, folder, seed=2, images=100)
    assert any("was acknowledged" in finding for finding in report.findings)


def test_acknowledging_before_the_commit_is_found_out(
    recording: Recording, past: History, folder: Path
) -> None:
    """What is acknowledged as a step begins is not there in some image."""
    report = cut(recording.acknowledged_early(), past, folder, seed=3, images=100)
    assert any("was acknowledged" in finding for finding in report.findings)


def test_the_name_of_a_new_state_folder_is_durable(recording: Recording) -> None:
    """Else a power cut soon after the first start would take everything away."""
    made = recording.ops.index(MakeFolder(recording.state))
    above = recording.state.rpartition("/")[0]
    first_log_sync = next(
        number for number, op in enumerate(recording.ops) if isinstance(op, Sync) and op.path.endswith("-wal")
    )
    assert Sync(above) in recording.ops[made:first_log_sync]
