"""Crashes, and files or directories that can't be read or moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.drop.rig import Crash, Rig, lines

NOBODY = 65534


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("transaction", [1, 2, 3])
async def test_a_crash_at_any_transaction_loses_and_repeats_nothing(
    rig: Rig, transaction: int, *, committed: bool
) -> None:
    """The next process goes on at the committed offset."""
    rig.drop_file("a.txt", lines(25_000))

    def crash() -> None:
        if len(rig.intake.transactions) == transaction - (not committed):
            raise Crash

    if committed:
        rig.intake.after = crash
    else:
        rig.intake.before = crash
    with contextlib.suppress(Crash):
        await rig.settle()
    rig.intake.before = rig.intake.after = lambda: None
    rig.restart()
    await rig.settle()
    assert len(rig.ids()) == 25_000
    assert rig.intake.transactions == [10_000, 10_000, 5000]
    assert (rig.counts.line_results["duplicate"], rig.names("done")) == (0, {"a.txt"})


async def test_a_crash_between_commit_and_move_has_no_effect_but_the_move(rig: Rig) -> None:
    """Nothing is handed over or counted again; the report is made again."""
    rig.drop_file("a.txt", "aaa\nx/y\nbbb\n")

    def crash() -> None:
        raise Crash

    rig.intake.after = crash
    with contextlib.suppress(Crash):
        await rig.settle()
    assert (rig.ids(), rig.names()) == ({"aaa", "bbb"}, {"a.txt"})
    rig.restart()
    await rig.settle()
    assert rig.intake.transactions == [2]
    assert rig.counts.line_results["rejected"] == 0
    assert (rig.names("done"), rig.names("failed")) == ({"a.txt"}, {"a.txt.reason"})


async def test_stop_ends_a_pass_between_files(rig: Rig) -> None:
    """And lets go of what is open; the rest is taken by the next run."""
    stop = asyncio.Event()
    for name in ("a.txt", "b.txt"):
        rig.drop_file(name, lines(3, name[0]))
    rig.intake.after = stop.set
    await rig.drop.run(stop)
    assert len(rig.ids()) == 3
    rig.restart()
    await rig.settle()
    assert len(rig.ids()) == 6


async def test_links_pipes_devices_and_second_names_are_not_read(rig: Rig, tmp_path: Path) -> None:
    """Each is told once an hour, and a pipe doesn't block."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret1\n")
    (rig.path / "link.txt").symlink_to(secret)
    (rig.path / "hard.txt").hardlink_to(secret)
    (rig.path / "linked").symlink_to(tmp_path)
    os.mkfifo(rig.path / "pipe.txt")
    await rig.settle(passes=10)
    assert rig.counts.files == {"not_regular": 4}
    assert rig.ids() == set()
    secret.unlink()
    await rig.settle()
    assert rig.ids() == {"secret1"}


async def test_a_link_swapped_in_is_never_followed(rig: Rig, tmp_path: Path) -> None:
    """Between look and opening, and between reading and moving."""
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
    rig.intake.after = swap
    await rig.scan_after(2)
    assert rig.ids() == {"bbb"}
    target.unlink()
    rig.drop_file("a.txt", "aaa\n")
    await rig.settle()
    assert rig.ids() == {"aaa", "bbb"}
    assert secret.read_text() == "secret1\n"
    assert rig.names("done") == {"b.txt"}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder to be in as somebody who may not read everything: root may."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        if user == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


async def test_a_second_name_made_at_the_last_instant_is_seen(rig: Rig) -> None:
    """After the look, before the file is opened."""
    rig.drop_file("a.txt", "aaa\n")
    os.utime(rig.drop_file("b.txt", "bbb\n"), ns=(0, 0))
    await rig.drop.scan_once()
    rig.intake.after = lambda: (rig.path / ".second.tmp").hardlink_to(rig.path / "a.txt")
    await rig.scan_after(2)
    assert rig.ids() == {"bbb"}


async def test_an_unreadable_file_is_told_and_taken_once_it_can_be_read(unprivileged: Path) -> None:
    """Others go on; `chmod` is noticed at once, for a subdirectory too."""
    rig = Rig.over(unprivileged / "drop")
    rig.drop_file("otp/c.txt", "ccc\n").parent.chmod(0)
    target = rig.drop_file("a.txt", "aaa\n")
    rig.drop_file("b.txt", "bbb\n")
    target.chmod(0)
    await rig.settle(passes=10)
    assert (rig.ids(), rig.counts.files) == ({"bbb"}, {"unreadable": 2, "done": 1})
    target.chmod(0o600)
    (rig.path / "otp").chmod(0o700)
    await rig.settle()
    assert rig.ids() == {"aaa", "bbb", "ccc"}


async def test_a_file_that_trips_the_parser_stops_no_other(rig: Rig) -> None:
    """It stays, is told once an hour, and everything else goes on."""

    class Poisoned(frozenset[str]):
        __slots__ = ()

        def __contains__(self, name: object) -> bool:
            raise ZeroDivisionError

    rig.drop._accounts = Poisoned()  # noqa: SLF001 - no input is known that trips a parser: one is planted
    rig.drop_file("a.csv", "message_id,account\naaa,poison\n")
    rig.drop_file("b.txt", "bbb\n")
    await rig.settle(passes=10)
    assert (rig.ids(), rig.counts.files) == ({"bbb"}, {"unreadable": 1, "done": 1})
    assert rig.names() == {"a.csv"}


async def test_a_directory_that_is_gone_is_waited_for(rig: Rig) -> None:
    """Removed, replaced by a file, and back again, then moved away and made anew: never an end."""
    rig.path.rmdir()
    assert not (await rig.settle()).up
    assert rig.counts.is_up == {str(rig.path): False}
    rig.path.write_text("")
    assert not (await rig.settle()).up
    rig.path.unlink()
    rig.path.mkdir()
    rig.drop_file("a.txt", "aaa\n")
    assert (await rig.settle()).up
    assert rig.ids() == {"aaa"}
    rig.path.rename(rig.path.with_name("away"))
    rig.path.mkdir()
    rig.drop_file("b.txt", "bbb\n")
    assert (await rig.settle()).up
    assert rig.ids() == {"aaa", "bbb"}


async def test_a_file_that_can_not_be_moved_counts_once_and_is_moved_later(rig: Rig) -> None:
    """`done` is a file that somebody put there, until it isn't."""
    (rig.path / "done").write_text("")
    rig.drop_file("a.txt", "aaa\nx/y\nbbb\n")
    assert not (await rig.settle(passes=10)).up
    assert rig.names() == {"a.txt", "done"}
    assert (rig.intake.transactions, rig.counts.files) == ([2], {"done": 1})
    assert rig.counts.line_results == {"accepted": 2, "duplicate": 0, "rejected": 1}
    rig.restart()
    assert not (await rig.settle(passes=10)).up
    assert rig.intake.transactions == [2]
    (rig.path / "done").unlink()
    assert (await rig.settle()).up
    assert (rig.names(), rig.names("done")) == (set(), {"a.txt"})
    assert rig.counts.line_results == {"accepted": 2, "duplicate": 0, "rejected": 1}


async def test_done_must_be_no_link(rig: Rig, tmp_path: Path) -> None:
    """It would carry files elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (rig.path / "done").symlink_to(elsewhere)
    rig.drop_file("a.txt", "aaa\n")
    assert not (await rig.settle()).up
    assert (rig.ids(), rig.names(), list(elsewhere.iterdir())) == ({"aaa"}, {"a.txt"}, [])


async def test_done_must_be_ours(unprivileged: Path) -> None:
    """Whoever else made it may read, or exchange, what lies in it."""
    rig = Rig.over(unprivileged / "drop")
    (rig.path / "done").mkdir()
    rig.drop_file("a.txt", "aaa\n")
    given_away = os.getuid() == 0
    if given_away:  # only root can give a directory away
        os.seteuid(0)
        os.chown(rig.path / "done", 0, 0)
        (rig.path / "done").chmod(0o777)
        os.seteuid(NOBODY)
    assert (await rig.settle()).up is not given_away
    assert rig.names() == ({"a.txt"} if given_away else set())


async def test_a_read_only_directory_is_read_and_left_alone_until_it_can_be_written(
    unprivileged: Path,
) -> None:
    """Its files count once, and move when they can."""
    rig = Rig.over(unprivileged / "drop")
    rig.drop_file("a.txt", "aaa\n")
    rig.path.chmod(0o500)
    assert not (await rig.settle(passes=9)).up
    assert (rig.intake.transactions, rig.counts.files, rig.names()) == ([1], {"done": 1}, {"a.txt"})
    rig.path.chmod(0o700)
    assert (await rig.settle()).up
    assert (rig.counts.files, rig.names("done")) == ({"done": 1}, {"a.txt"})


@pytest.mark.parametrize("name", ["n" * 250 + ".txt", "ї" * 120 + ".txt"])
async def test_the_longest_names_can_be_put_aside(rig: Rig, name: str) -> None:
    """Cut, where the suffixes of ours need the room."""
    rig.drop_file(name, "aaa\nx/y\n")
    await rig.settle()
    assert rig.names() == set()
    assert (len(rig.names("done")), len(rig.names("failed"))) == (1, 1)
