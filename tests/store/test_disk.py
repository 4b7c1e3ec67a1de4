"""Disks that are full or fail, and processes that are killed: what was acknowledged is there, once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from exporter.runtime.errors import StoreFull
from exporter.store.sqlite import SqliteStore
from tests.domain.example import HOUR_US, SENT_AT, make_observed
from tests.store.engines import (
    claim_all,
    decide,
    list_queue,
    make_arrivals,
    make_tick,
    recount,
    sum_series,
    track,
)

ROOT = Path(__file__).parents[2]
GROUPS = 20


class Acknowledged(NamedTuple):
    """What a worker printed before its end."""

    tracked: int
    finished: int
    refused: int
    """Verbs that were tried again because there was no room."""
    end: str
    exit_code: int


def listen(worker: subprocess.Popen[str], *, lines: int | None = None) -> Acknowledged:
    """Read what the worker prints, and kill it after so many lines."""
    tracked, finished, refused, end = 0, 0, 0, ""
    assert worker.stdout is not None
    with worker:
        for number, line in enumerate(worker.stdout, 1):
            match line.split():
                case ["track", count]:
                    tracked += int(count)
                case ["finish", count]:
                    finished += int(count)
                case ["full"]:
                    refused += 1
                case words:
                    end = " ".join([end, *words]).strip()
            if number == lines:
                worker.kill()
    return Acknowledged(tracked, finished, refused, end, worker.returncode)


def work(folder: Path, *around: str, tries: int = 3, lines: int | None = None) -> Acknowledged:
    """Run a worker, with the words of a program around it."""
    command = [*around, sys.executable, "-m", "tests.store.worker", str(folder), str(GROUPS), str(tries)]
    return listen(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True), lines=lines)


def injecting(fault: str, when: int) -> tuple[str, ...]:
    """A program around it that makes one system call fail: `fdatasync:error=EIO`."""
    call = fault.partition(":")[0]
    inject = f"inject={fault}:when={when}"
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)


def assert_all_is_there(folder: Path, acknowledged: Acknowledged) -> None:
    """What was acknowledged is stored, at most one group more, and the series are those of the messages."""
    store = SqliteStore(folder, now=SENT_AT)
    assert store.restore().warning == ""
    messages = claim_all(store, 100_000)
    series = sum_series(store)
    store.close()
    assert series == recount(messages)
    tracked, finished = series.get((Kind.TRACKED, "drop"), 0), series.get((Kind.FINISHED, "delivered"), 0)
    assert acknowledged.tracked <= tracked <= acknowledged.tracked + 100
    assert acknowledged.finished <= finished <= acknowledged.finished + 100


def test_a_sound_disk(tmp_path: Path) -> None:
    """A check of these checks: nothing fails, everything is stored."""
    acknowledged = work(tmp_path)
    assert acknowledged == (100 * GROUPS, 100 * GROUPS, 0, "done", 0)
    assert_all_is_there(tmp_path, acknowledged)


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("call", "when"),
    # The log or the database; the folder itself, which SQLite syncs too but doesn't mind.
    [*(("fdatasync", when) for when in (1, 5, 40)), ("fsync", 1)],
)
def test_a_sync_that_fails_ends_the_run(tmp_path: Path, call: str, when: int) -> None:
    """A failed sync is reported, nothing is acknowledged after it, and what was acknowledged is stored."""
    acknowledged = work(tmp_path, *injecting(f"{call}:error=EIO", when))
    assert (acknowledged.end, acknowledged.exit_code) == ("StoreBroken", 74)
    assert_all_is_there(tmp_path, acknowledged)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("when", [2, 11, 250])
def test_a_write_without_room_is_tried_again(tmp_path: Path, when: int) -> None:
    """A write that finds no room leaves nothing behind: the same verb succeeds later, and counts once."""
    acknowledged = work(tmp_path, *injecting("pwrite64:error=ENOSPC", when))
    assert acknowledged[:2] == (100 * GROUPS, 100 * GROUPS)
    assert (acknowledged.end, acknowledged.exit_code) == ("done", 0)
    assert_all_is_there(tmp_path, acknowledged)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("when", [4, 20])
def test_a_log_that_finds_no_room(tmp_path: Path, when: int) -> None:
    """When there is no room to copy the log into the database, what was committed is not tried again."""
    only = ("-P", str(tmp_path / "state.sqlite3"))
    acknowledged = work(tmp_path, *injecting("pwrite64:error=ENOSPC", when), *only)
    assert acknowledged == (100 * GROUPS, 100 * GROUPS, 0, "done", 0)
    assert_all_is_there(tmp_path, acknowledged)


@pytest.mark.needs("prlimit")
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """Where a file may not grow, the run ends in a sentence with all that was acknowledged."""
    acknowledged = work(tmp_path, "prlimit", "--fsize=200000")
    assert (acknowledged.end, acknowledged.exit_code) == ("StoreBroken", 74)
    assert acknowledged.tracked > 0
    assert_all_is_there(tmp_path, acknowledged)


def test_a_killed_process(tmp_path: Path) -> None:
    """What a process acknowledged before it was killed at any moment is stored, and the next one goes on."""
    draw = random.Random(1)
    acknowledged = [work(tmp_path, lines=draw.randint(1, 2 * GROUPS - 2)) for _ in range(3)]
    assert [end.exit_code for end in acknowledged] == [-9] * 3
    store = SqliteStore(tmp_path, now=SENT_AT)
    messages = claim_all(store, 100_000)
    series = sum_series(store)
    store.close()
    assert series == recount(messages)
    assert series[Kind.TRACKED, "drop"] >= sum(end.tracked for end in acknowledged)
    assert series.get((Kind.FINISHED, "delivered"), 0) >= sum(end.finished for end in acknowledged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mount], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield mount
    # At once even when a failed test has left a file open there.
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(disk: Path) -> Path:
    """Leave no free byte on a disk; returns the file that takes them."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65_536)
    return ballast


def work_on(store: SqliteStore, prefix: str, groups: int) -> None:
    """Track and finish groups of 20 messages."""
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    for group in range(groups):
        batch = make_arrivals(campaign, [f"{prefix}-{group}-{n}" for n in range(20)])
        rows = track(store, account, batch).rows
        store.apply([make_observed(Status.DELIVERED, 5, row=row) for row in rows], decide)


def retry_once(verb: Callable[[], object]) -> None:
    """Try again once, as the tracker does every second: the first failure makes the log ready for use."""
    try:
        verb()
    except StoreFull:
        verb()


def test_a_disk_that_fills_and_empties(small_disk: Path) -> None:
    """Full, everything can still be read; with room again, work goes on as if nothing had been."""
    store = SqliteStore(small_disk / "state", now=SENT_AT)
    for turn in range(6):
        for group in range(5):
            retry_once(partial(work_on, store, f"room-{turn}-{group}", 1))
        ballast = fill(small_disk)
        with pytest.raises(StoreFull, match="no room"):
            work_on(store, f"full-{turn}", 400)
        before = claim_all(store, 10_000)
        pending = [message.row for message in before if message.pending]
        assert len(before) >= 100
        assert sum_series(store)[Kind.MESSAGES, "delivered"] == len(before) - len(pending)
        assert [message.row for message in list_queue(store)] == pending
        ballast.unlink()
        now = SENT_AT + 10**9
        retry_once(
            partial(store.apply, [make_observed(Status.DELIVERED, 5, row=row) for row in pending], decide)
        )
        assert (
            store.collect_garbage(0, limit=10_000, now=now, retention_us=0, tick=make_tick(now)).cursor == 0
        )
        store.prune(now=now + 8 * 24 * HOUR_US, cohorts_before=0, files_before=0)
        assert claim_all(store, 10_000) == []
    tracked = sum_series(store)[Kind.TRACKED, "drop"]
    assert sum_series(store) == {(Kind.TRACKED, "drop"): tracked, (Kind.FINISHED, "delivered"): tracked}
    store.close()
