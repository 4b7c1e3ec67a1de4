"""Dropped files while the store has no room for their ids."""

from __future__ import annotations

from exporter.runtime.errors import StoreFull
from tests.ingest.drop.rig import Rig, make_lines


async def test_at_the_tracked_limit_files_wait_and_nothing_is_lost(rig: Rig) -> None:
    """What fits is tracked, the gauge is 1, and with room again it goes on where it stopped."""
    rig.tracker.limit = 1000
    rig.drop_file("a.txt", make_lines(25_000))
    assert (await rig.settle()).blocked
    assert (len(rig.list_ids()), rig.counts.is_blocked, rig.list_names()) == (1000, True, {"a.txt"})
    offered = rig.tracker.offered
    await rig.settle(passes=10)
    assert rig.tracker.offered - offered == 11, "one message a pass shows whether there is room"
    rig.tracker.limit = 30_000
    assert not (await rig.settle()).blocked
    assert (len(rig.list_ids()), rig.counts.is_blocked, rig.list_names()) == (25_000, False, set())
    assert rig.counts.line_results == {"accepted": 25_000, "duplicate": 0, "rejected": 0}


async def test_a_restart_while_files_wait_loses_nothing(rig: Rig) -> None:
    """The part that was tracked is known again."""
    rig.tracker.limit = 12_345
    rig.drop_file("a.txt", make_lines(15_000))
    await rig.settle()
    rig.restart()
    rig.tracker.limit = 30_000
    await rig.settle()
    assert (len(rig.list_ids()), rig.list_names("done")) == (15_000, {"a.txt"})


async def test_a_full_disk_leaves_files_untouched(rig: Rig) -> None:
    """They are read when the store can be written again."""
    rig.drop_file("a.txt", make_lines(3))

    def full() -> None:
        raise StoreFull("no room")

    rig.tracker.before_commit = full
    assert (await rig.settle(passes=10)).blocked
    assert (rig.list_names(), rig.counts.files) == ({"a.txt"}, {})
    rig.tracker.before_commit = lambda: None
    await rig.settle()
    assert (len(rig.list_ids()), rig.list_names("done")) == (3, {"a.txt"})


async def test_the_gauge_falls_though_another_process_or_worker_raised_it(rig: Rig) -> None:
    """A reload makes a new worker, which doesn't know that files waited."""
    rig.tracker.limit = 0
    rig.drop_file("a.txt", make_lines(3))
    await rig.settle()
    assert rig.counts.is_blocked
    rig.restart()
    rig.tracker.limit = 3
    await rig.settle()
    assert rig.counts.is_blocked is False
