"""Crashes, and files or directories that can't be read or moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.drop.rig import Crash, Rig, make_lines

NOBODY = 65534


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("transaction", [1, 2, 3])
async def test_a_crash_at_any_transaction_loses_and_repeats_nothing(
    rig: Rig, transaction: int, *, committed: bool
) -> None:
    """The next process goes on at the committed offset."""
    rig.drop_file("a.txt", make_lines(25_000))

    def crash() -> None:
        if len(rig.tracker.transactions) == transaction - (not committed):
            raise Crash

    if committed:
        rig.tracker.after_commit = crash
    else:
        rig.tracker.before_commit = crash
    with contextlib.suppress(Crash):
        await rig.settle()
    rig.tracker.before_commit = rig.tracker.after_commit = lambda: None
    rig.restart()
    await rig.settle()
    assert len(rig.list_ids()) == 25_000
    assert rig.tracker.transactions == [10_000, 10_000, 5000]
    assert (rig.counts.line_results["duplicate"], rig.list_names("done")) == (0, {"a.txt"})


async def test_a_crash_between_commit_and_move_has_no_effect_but_the_move(rig: Rig) -> None:
    """Nothing is tracked or counted again; the report is made again."""
    rig.drop_file("a.txt", "aaa\nx/y\nbbb\n")

    def crash() -> None:
        raise Crash

    rig.tracker.after_commit = crash
    with contextlib.suppress(Crash):
        await rig.settle()
    assert (rig.list_ids(), rig.list_names()) == ({"aaa", "bbb"}, {"a.txt"})
    rig.restart()
    await rig.settle()
    assert rig.tracker.transactions == [2]
    assert rig.counts.line_results["rejected"] == 0
    assert (rig.list_names("done"), rig.list_names("failed")) == ({"a.txt"}, {"a.txt.reason"})


async def test_stop_ends_a_pass_between_files(rig: Rig) -> None:
    """And closes what is open; the rest is read by the next run."""
    stop = asyncio.Event()
    for name in ("a.txt", "b.txt"):
        rig.drop_file(name, make_lines(3, name[0]))
    rig.tracker.after_commit = stop.set
    await rig.drop.run(stop)
    assert len(rig.list_ids()) == 3
    rig.restart()
    await rig.settle()
    assert len(rig.list_ids()) == 6


async def test_links_pipes_devices_and_second_names_are_not_read(rig: Rig, tmp_path: Path) -> None:
    """Each is reported once an hour, and a pipe doesn't block."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret1\n")
    (rig.path / "link.txt").symlink_to(secret)
    (rig.path / "hard.txt").hardlink_to(secret)
    (rig.path / "linked").symlink_to(tmp_path)
    os.mkfifo(rig.path / "pipe.txt")
    await rig.settle(passes=10)
    assert rig.counts.files == {"not_regular": 4}
    assert rig.list_ids() == set()
    secret.unlink()
    await rig.settle()
    assert rig.list_ids() == {"secret1"}


async def test_a_link_swapped_in_is_never_followed(rig: Rig, tmp_path: Path) -> None:
    """Between scan and opening, and between reading and moving."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret1\n")
    target = rig.path / "a.txt"

    def swap() -> None:
        target.unlink(missing_ok=True)
        target.symlink_to(secret)

    rig.drop_file("a.txt", "aaa\n")
    rig.drop_file("b.txt", "bbb\n")
    os.utime(rig.path / "b.txt", ns=(0, 0))
    await rig.drop.scan_once()
    rig.tracker.after_commit = swap
    await rig.scan_after(2)
    assert rig.list_ids() == {"bbb"}
    target.unlink()
    rig.drop_file("a.txt", "aaa\n")
    await rig.settle()
    assert rig.list_ids() == {"aaa", "bbb"}
    assert secret.read_text() == "secret1\n"
    assert rig.list_names("done") == {"b.txt"}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and a user who may not read everything, as root may."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        if user == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


async def test_a_second_name_made_at_the_last_moment_is_seen(rig: Rig) -> None:
    """After the scan, before the file is opened."""
    rig.drop_file("a.txt", "aaa\n")
    os.utime(rig.drop_file("b.txt", "bbb\n"), ns=(0, 0))
    await rig.drop.scan_once()
    rig.tracker.after_commit = lambda: (rig.path / ".second.tmp").hardlink_to(rig.path / "a.txt")
    await rig.scan_after(2)
    assert rig.list_ids() == {"bbb"}


async def test_an_unreadable_file_is_reported_and_read_once_it_can_be(unprivileged: Path) -> None:
    """Others go on; `chmod` is noticed at once, for a subdirectory too."""
    rig = Rig.make(unprivileged / "drop")
    rig.drop_file("otp/c.txt", "ccc\n").parent.chmod(0)
    target = rig.drop_file("a.txt", "aaa\n")
    rig.drop_file("b.txt", "bbb\n")
    target.chmod(0)
    await rig.settle(passes=10)
    assert (rig.list_ids(), rig.counts.files) == ({"bbb"}, {"unreadable": 2, "done": 1})
    target.chmod(0o600)
    (rig.path / "otp").chmod(0o700)
    await rig.settle()
    assert rig.list_ids() == {"aaa", "bbb", "ccc"}


async def test_a_file_that_trips_the_parser_stops_no_other(rig: Rig) -> None:
    """It stays, is reported once an hour, and everything else goes on."""

    class Poisoned(frozenset[str]):
        __slots__ = ()

        def __contains__(self, name: object) -> bool:
            raise ZeroDivisionError

    rig.drop._accounts = Poisoned()  # noqa: SLF001 - no input is known that trips a parser: one is planted
    rig.drop_file("a.csv", "message_id,account\naaa,poison\n")
    rig.drop_file("b.txt", "bbb\n")
    await rig.settle(passes=10)
    assert (rig.list_ids(), rig.counts.files) == ({"bbb"}, {"unreadable": 1, "done": 1})
    assert rig.list_names() == {"a.csv"}


async def test_a_directory_that_is_gone_is_waited_for(rig: Rig) -> None:
    """Removed, replaced by a file, and back again, then moved away and made anew: it is used again."""
    rig.path.rmdir()
    assert not (await rig.settle()).up
    assert rig.counts.is_up == {str(rig.path): False}
    rig.path.write_text("")
    assert not (await rig.settle()).up
    rig.path.unlink()
    rig.path.mkdir()
    rig.drop_file("a.txt", "aaa\n")
    assert (await rig.settle()).up
    assert rig.list_ids() == {"aaa"}
    rig.path.rename(rig.path.with_name("away"))
    rig.path.mkdir()
    rig.drop_file("b.txt", "bbb\n")
    assert (await rig.settle()).up
    assert rig.list_ids() == {"aaa", "bbb"}


async def test_a_file_that_can_not_be_moved_counts_once_and_is_moved_later(rig: Rig) -> None:
    """`done` is a file, until it is removed."""
    (rig.path / "done").write_text("")
    rig.drop_file("a.txt", "aaa\nx/y\nbbb\n")
    assert not (await rig.settle(passes=10)).up
    assert rig.list_names() == {"a.txt", "done"}
    assert (rig.tracker.transactions, rig.counts.files) == ([2], {"done": 1})
    assert rig.counts.line_results == {"accepted": 2, "duplicate": 0, "rejected": 1}
    rig.restart()
    assert not (await rig.settle(passes=10)).up
    assert rig.tracker.transactions == [2]
    (rig.path / "done").unlink()
    assert (await rig.settle()).up
    assert (rig.list_names(), rig.list_names("done")) == (set(), {"a.txt"})
    assert rig.counts.line_results == {"accepted": 2, "duplicate": 0, "rejected": 1}


async def test_done_must_be_no_link(rig: Rig, tmp_path: Path) -> None:
    """It would carry files elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (rig.path / "done").symlink_to(elsewhere)
    rig.drop_file("a.txt", "aaa\n")
    assert not (await rig.settle()).up
    assert (rig.list_ids(), rig.list_names(), list(elsewhere.iterdir())) == ({"aaa"}, {"a.txt"}, [])


async def test_done_must_belong_to_this_user(unprivileged: Path) -> None:
    """Another user who made it may read, or replace, what is in it."""
    rig = Rig.make(unprivileged / "drop")
    (rig.path / "done").mkdir()
    rig.drop_file("a.txt", "aaa\n")
    given_away = os.getuid() == 0
    if given_away:  # only root can give a directory away
        os.seteuid(0)
        os.chown(rig.path / "done", 0, 0)
        (rig.path / "done").chmod(0o777)
        os.seteuid(NOBODY)
    assert (await rig.settle()).up is not given_away
    assert rig.list_names() == ({"a.txt"} if given_away else set())


async def test_files_of_a_read_only_directory_count_once_and_move_when_it_can_be_written(
    unprivileged: Path,
) -> None:
    """The directory is not up until then."""
    rig = Rig.make(unprivileged / "drop")
    rig.drop_file("a.txt", "aaa\n")
    rig.path.chmod(0o500)
    assert not (await rig.settle(passes=9)).up
    assert (rig.tracker.transactions, rig.counts.files, rig.list_names()) == ([1], {"done": 1}, {"a.txt"})
    rig.path.chmod(0o700)
    assert (await rig.settle()).up
    assert (rig.counts.files, rig.list_names("done")) == ({"done": 1}, {"a.txt"})


@pytest.mark.parametrize("name", ["n" * 250 + ".txt", "ї" * 120 + ".txt"])
async def test_files_with_the_longest_names_can_be_archived(rig: Rig, name: str) -> None:
    """They are cut where what is added to them needs the room."""
    rig.drop_file(name, "aaa\nx/y\n")
    await rig.settle()
    assert rig.list_names() == set()
    assert (len(rig.list_names("done")), len(rig.list_names("failed"))) == (1, 1)
