"""Good files in a drop directory: one, large ones, many, and the same again."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

from exporter.ingest.drop.worker import MAX_OPEN, PASS_FILES, After
from exporter.ingest.formats.formats import BATCH_MESSAGES
from exporter.store import READ_TO_THE_END
from tests.ingest.drop.rig import Rig, make_lines

PHONE = "+380501234567"


async def test_a_settled_file_is_tracked_and_then_moved(rig: Rig) -> None:
    """Not before it was unchanged for the settling time; `done/` is private."""
    rig.drop_file("a.txt", "aaa\nbbb\n")
    assert (await rig.drop.scan_once()).accepted == 0
    assert (await rig.scan_after(1.9)).accepted == 0
    summary = await rig.scan_after(0.1)
    assert (summary.accepted, summary.files, summary.up) == (2, {"done": 1}, True)
    assert (rig.list_ids(), rig.list_names(), rig.list_names("done")) == ({"aaa", "bbb"}, set(), {"a.txt"})
    assert stat.S_IMODE((rig.path / "done").stat().st_mode) == 0o700
    assert rig.counts.line_results == {"accepted": 2, "duplicate": 0, "rejected": 0}
    assert rig.counts.is_up == {str(rig.path): True}


async def test_a_subdirectory_names_the_campaign(rig: Rig) -> None:
    """The file is archived within it; a line that names its own campaign keeps that."""
    rig.drop_file("otp/a.csv", "message_id,campaign\naaa,\nbbb,sale\n")
    rig.drop_file("b.txt", "ccc\n")
    await rig.settle()
    campaigns = {text: message.campaign for text, message in rig.tracker.messages.items()}
    assert campaigns == {"aaa": "otp", "bbb": "sale", "ccc": "default"}
    assert rig.list_names("otp/done") == {"a.csv"}


async def test_ids_are_on_disk_before_their_file_is_moved(rig: Rig) -> None:
    """While the last transaction is under way the file is still in its place."""
    rig.drop_file("a.txt", make_lines(25_000))
    seen: list[set[str]] = []
    rig.tracker.after_commit = lambda: seen.append(rig.list_names())
    await rig.settle()
    assert seen == [{"a.txt"}] * 3
    assert rig.list_names("done") == {"a.txt"}


async def test_unfinished_files_are_not_read(rig: Rig) -> None:
    """Names that begin with a dot or end in .tmp or .part are still being written."""
    for name in (".a.txt", "b.txt.tmp", "c.txt.part"):
        (rig.path / name).write_text("aaa\n")
    await rig.settle()
    assert (rig.list_ids(), rig.counts.files) == (set(), {})


async def test_what_is_no_drop_file_is_skipped_and_reported_once_an_hour(rig: Rig) -> None:
    """Unknown endings, deeper directories, and campaigns that can't be a label."""
    for name in ("a.doc", "app.txt.1", f"{PHONE}/a.txt"):
        rig.drop_file(name, "aaa\n")
    (rig.path / "otp" / "deeper").mkdir(parents=True)
    await rig.settle(passes=20)
    assert rig.counts.files == {"ignored": 4}
    await rig.scan_after(3600)
    assert (rig.counts.files, rig.list_ids()) == ({"ignored": 8}, set())


async def test_a_file_is_tracked_in_transactions_of_ten_thousand(rig: Rig) -> None:
    """Only the last one records that the file is complete."""
    rig.drop_file("a.txt", make_lines(25_000))
    offsets: list[int] = []
    rig.tracker.after_commit = lambda: offsets.extend(rig.tracker.progressed.values())
    await rig.settle()
    assert rig.tracker.transactions == [BATCH_MESSAGES, BATCH_MESSAGES, 5000]
    assert offsets == [10_000, 20_000, READ_TO_THE_END]


async def test_memory_does_not_grow_with_the_file(rig: Rig) -> None:
    """Files of many pieces cost less than 20 MB."""
    with (rig.path / "a.txt").open("w") as file:
        file.writelines(f"id{number:09}\n" for number in range(300_000))
    rig.drop_file("warm.txt", make_lines(50_000, "w"))
    # What is tracked would hide what is read.
    rig.tracker.after_commit = rig.tracker.messages.clear
    await rig.settle(passes=1)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while (await rig.scan_after(1)).unfinished:
        pass
    assert sum(rig.tracker.transactions) == 350_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000


async def test_a_large_file_does_not_keep_a_small_one_waiting(rig: Rig) -> None:
    """Large files take turns, some at a time: a file of one-time passwords is read in between."""
    for number in range(9):
        rig.drop_file(f"large{number}.txt", make_lines(51_000, f"l{number}"))
    await rig.drop.scan_once()
    rig.drop_file("otp/small.txt", "otp1\n")
    assert (await rig.scan_after(2)).unfinished == MAX_OPEN
    assert (await rig.scan_after(2)).unfinished == 1
    assert "otp1" in rig.list_ids()
    assert len(rig.list_ids()) < 9 * 51_000 + 1
    while (await rig.scan_after(1)).unfinished:
        pass
    assert len(rig.list_ids()) == 9 * 51_000 + 1


async def test_many_files_are_read_oldest_first_and_a_thousand_a_pass(rig: Rig) -> None:
    """A flood is worked off pass by pass."""
    for number in range(PASS_FILES + 50):
        target = rig.drop_file(f"{number}.txt", f"id{number}\n")
        os.utime(target, ns=(0, 10**18 - number))
    await rig.drop.scan_once()
    assert (await rig.scan_after(2)).files == {"done": PASS_FILES}
    assert rig.list_names() == {f"{number}.txt" for number in range(50)}
    assert (await rig.scan_after(1)).files == {"done": 50}


async def test_a_file_dropped_again_and_again_counts_once(rig: Rig) -> None:
    """Its ids are duplicates, and no copy in `done/` is overwritten."""
    for _ in range(50):
        rig.drop_file("a.txt", "aaa\nbbb\naaa\n")
        await rig.settle(passes=1)
    assert rig.counts.line_results["accepted"] == 2
    assert rig.counts.line_results["accepted"] + rig.counts.line_results["duplicate"] == 150
    assert len(rig.list_names("done")) == 50


async def test_a_new_file_on_a_used_inode_is_a_new_file(rig: Rig) -> None:
    """Same inode, size and time of writing: the content tells them apart."""
    for number in range(5):
        target = rig.path / "a.txt"
        target.write_text(f"id{number}\n")
        os.utime(target, ns=(10**18, 10**18))
        await rig.settle(passes=1)
        (rig.path / "done" / "a.txt").unlink()
    assert rig.list_ids() == {f"id{number}" for number in range(5)}


async def test_delete_removes_files_that_were_used_whole_and_keeps_the_others(tmp_path: Path) -> None:
    """A file with refused lines is kept in `failed/`: nothing is lost."""
    rig = Rig.make(tmp_path / "drop", After.DELETE)
    rig.drop_file("good.txt", "aaa\n")
    rig.drop_file("some.txt", "bbb\nccc\nx/y\n")
    await rig.settle()
    assert rig.list_ids() == {"aaa", "bbb", "ccc"}
    assert (rig.list_names(), rig.list_names("done")) == (set(), set())
    assert rig.list_names("failed") == {"some.txt", "some.txt.reason"}


async def test_keep_reads_an_unchanged_file_once_over_restarts_too(tmp_path: Path) -> None:
    """Nothing is written into the directory; a change makes the file new."""
    rig = Rig.make(tmp_path / "drop", After.KEEP)
    target = rig.drop_file("a.txt", "aaa\n")
    await rig.settle(passes=10)
    rig.restart()
    await rig.settle(passes=10)
    await rig.scan_after(25 * 3600)
    await rig.settle()
    assert (rig.tracker.transactions, rig.counts.files) == ([1], {"done": 1})
    assert list(rig.path.iterdir()) == [target]
    target.write_text("aaa\nbbb\n")
    await rig.settle()
    assert (rig.list_ids(), rig.tracker.transactions) == ({"aaa", "bbb"}, [1, 2])
