"""Dropped files while the store has no room for what they bring."""

from __future__ import annotations

from exporter.runtime.errors import StoreFull
from tests.ingest.drop.rig import Rig, lines


async def test_at_the_tracked_limit_files_wait_and_nothing_is_lost(rig: Rig) -> None:
    """What fits goes in, the gauge tells, and room lets it go on where it stopped."""
    rig.intake.limit = 1000
    rig.drop_file("a.txt", lines(25_000))
    assert (await rig.settle()).blocked
    assert (len(rig.ids()), rig.counts.is_blocked, rig.names()) == (1000, True, {"a.txt"})
    offered = rig.intake.offered
    await rig.settle(passes=10)
    assert rig.intake.offered - offered == 11, "one message a pass tells whether there is room"
    rig.intake.limit = 30_000
    assert not (await rig.settle()).blocked
    assert (len(rig.ids()), rig.counts.is_blocked, rig.names()) == (25_000, False, set())
    assert rig.counts.line_results == {"accepted": 25_000, "duplicate": 0, "rejected": 0}


async def test_a_restart_while_files_wait_loses_nothing(rig: Rig) -> None:
    """The part that went in is known again."""
    rig.intake.limit = 12_345
    rig.drop_file("a.txt", lines(15_000))
    await rig.settle()
    rig.restart()
    rig.intake.limit = 30_000
    await rig.settle()
    assert (len(rig.ids()), rig.names("done")) == (15_000, {"a.txt"})


async def test_a_full_disk_leaves_files_untouched(rig: Rig) -> None:
    """They go in when the store can be written again."""
    rig.drop_file("a.txt", lines(3))

    def full() -> None:
        raise StoreFull("no room")

    rig.intake.before = full
    assert (await rig.settle(passes=10)).blocked
    assert (rig.names(), rig.counts.files) == ({"a.txt"}, {})
    rig.intake.before = lambda: None
    await rig.settle()
    assert (len(rig.ids()), rig.names("done")) == (3, {"a.txt"})


async def test_the_gauge_falls_though_another_process_or_watcher_raised_it(rig: Rig) -> None:
    """A reload makes a new watcher, which knows nothing of the waiting."""
    rig.intake.limit = 0
    rig.drop_file("a.txt", lines(3))
    await rig.settle()
    assert rig.counts.is_blocked
    rig.restart()
    rig.intake.limit = 3
    await rig.settle()
    assert rig.counts.is_blocked is False
