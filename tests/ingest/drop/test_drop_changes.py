"""Files that are written to, replaced or rotated while the drop directory is watched."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ingest.drop.rig import Rig, make_lines
from tests.kit.waiting import HANG_SECONDS

LONG = make_lines(50_000, "o" * 40)
"""Three pieces, the first of which holds more than two batches and the beginning of a line."""


async def test_an_unterminated_line_is_an_id_only_after_thirty_seconds(rig: Rig) -> None:
    """Before that "12345" may yet become "1234567"."""
    rig.drop_file("a.txt", "aaa\n12345")
    await rig.settle(passes=14)
    assert rig.list_ids() == set()
    await rig.scan_after(2)
    assert rig.list_ids() == {"aaa", "12345"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
async def test_a_newline_is_seen_in_any_encoding(rig: Rig, encoding: str) -> None:
    """A file in UTF-16 or UTF-32 that ends in a newline needs no thirty seconds."""
    rig.drop_file("a.txt", "aaa\n".encode(encoding))
    await rig.settle(passes=1)
    assert rig.list_ids() == {"aaa"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("answer", ['[{"messageId": "aaa"}]', '{"messages": [{"messageId": "aaa"}]} '])
async def test_json_that_closes_its_bracket_needs_no_newline(rig: Rig, answer: str, encoding: str) -> None:
    """An answer of the provider, saved as it came, is read once it has settled."""
    rig.drop_file("a.json", answer.encode(encoding))
    await rig.settle(passes=1)
    assert rig.list_ids() == {"aaa"}


@pytest.mark.parametrize("begun", ['[{"messageId": "aaa"}', '{"messages": [{"messageId": "aaa"}]', "["])
async def test_json_that_leaves_its_bracket_open_is_waited_for(rig: Rig, begun: str) -> None:
    """Its writer may only have paused."""
    rig.drop_file("a.json", begun)
    await rig.settle(passes=14)
    assert (rig.list_ids(), rig.list_names()) == (set(), {"a.json"})


async def test_a_file_that_changes_is_not_read(rig: Rig) -> None:
    """Each write restarts the settling time."""
    target = rig.drop_file("a.txt", "aaa\n")
    for count in range(20):
        await rig.scan_after(1.9)
        with target.open("a") as file:
            file.write(f"b{count}\n")
    assert rig.list_ids() == set()
    await rig.settle()
    assert rig.list_ids() == {"aaa", *(f"b{count}" for count in range(20))}


def _truncate(path: Path) -> None:
    os.truncate(path, 200_000)


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("appended\n")


def _rewrite(path: Path) -> None:
    before = path.stat()
    path.write_text(make_lines(25_000, "re"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [_truncate, _append, _rewrite])
@pytest.mark.parametrize("transaction", [1, 2, 3])
async def test_a_file_changed_while_it_is_read_is_read_again(
    rig: Rig, change: Callable[[Path], None], transaction: int
) -> None:
    """What is moved to `done/` in the end is tracked line by line, and no line is made up of two states."""
    target = rig.drop_file("a.txt", make_lines(25_000))
    touched = iter(range(1, 100))
    rig.tracker.after_commit = lambda: change(target) if next(touched) == transaction else None
    await rig.settle(passes=6)
    assert rig.list_names() == set()
    assert set((rig.path / "done" / "a.txt").read_text().split()) <= rig.list_ids()
    assert {len(text) for text in rig.list_ids()} <= {9, 8}
    assert rig.counts.files == {"done": 1}


async def test_a_rewrite_that_hides_behind_the_old_time_is_found_by_its_content(rig: Rig) -> None:
    """Size and time are as before, the hash is not: the last part doesn't count, the file is read again."""
    target = rig.drop_file("a.txt", LONG)
    before = target.stat()

    def hide() -> None:
        if len(rig.tracker.transactions) == 1:
            target.write_text(LONG.replace("o", "n"))
            os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))

    rig.tracker.after_commit = hide
    await rig.settle(passes=20)
    assert set((rig.path / "done" / "a.txt").read_text().split()) <= rig.list_ids()


async def test_nothing_counts_of_a_file_that_was_not_read_as_it_was_hashed(rig: Rig) -> None:
    """Of one piece, that is, even where size and time are as before; the next pass finds it as it is then."""
    target = rig.drop_file("a.txt", make_lines(12_000))
    before = target.stat()

    def hide() -> None:
        target.write_text(make_lines(12_000, "re"))
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))

    rig.tracker.on_progress = hide
    await rig.settle(passes=1)
    rig.tracker.on_progress = lambda: None
    assert (rig.list_ids(), rig.counts.files) == (set(), {})
    await rig.settle()
    assert rig.list_ids() == set(make_lines(12_000, "re").split())


async def test_no_line_is_put_together_from_two_states_of_a_file(rig: Rig) -> None:
    """A rewrite after the first piece was read stops the reader before the torn line counts."""
    target = rig.drop_file("a.txt", LONG)
    new = LONG.replace("o", "n")

    def rewrite() -> None:
        if len(rig.tracker.transactions) == 1:
            target.write_text(new)
            os.utime(target, ns=(0, 10**18))

    rig.tracker.after_commit = rewrite
    await rig.settle(passes=9)
    assert set(new.split()) <= rig.list_ids() <= {*new.split(), *LONG.split()}


async def test_a_file_swapped_while_it_is_moved_is_put_back_and_read(rig: Rig) -> None:
    """A thread replaces the file at any moment while it is archived."""
    chance = random.Random(1)
    committed, over = threading.Event(), threading.Event()
    expected: set[str] = set()

    def swap() -> None:
        for number in range(150):
            committed.wait()
            committed.clear()
            for _ in range(chance.randrange(4000)):
                pass
            rig.drop_file("a.txt", f"swapped{number}\n")
            over.set()

    # A daemon: a test that fails leaves it waiting.
    swapper = threading.Thread(target=swap, daemon=True)
    swapper.start()
    for number in range(150):
        rig.drop_file("a.txt", f"id{number}\n")
        expected |= {f"id{number}", f"swapped{number}"}
        rig.tracker.after_commit = committed.set
        await rig.settle(passes=1)
        rig.tracker.after_commit = lambda: None
        assert over.wait(HANG_SECONDS)
        over.clear()
        await rig.settle(passes=1)
    swapper.join()
    assert rig.list_ids() == expected
    assert rig.list_names() == set()
    archived = [text for path in (rig.path / "done").iterdir() for text in path.read_text().split()]
    assert len(archived) == len(set(archived))


async def test_a_file_renamed_or_deleted_while_it_is_read_counts_once(rig: Rig) -> None:
    """The open descriptor is read on; a new name has nothing new."""
    for name in ("a.txt", "b.txt"):
        rig.drop_file(name, make_lines(25_000, name[0]))
    actions: dict[int, Callable[[], None]]
    actions = {2: (rig.path / "a.txt").unlink, 5: lambda: os.rename(rig.path / "b.txt", rig.path / "c.txt")}  # noqa: PTH104 - one expression

    def act() -> None:
        if action := actions.get(len(rig.tracker.transactions)):
            action()

    rig.tracker.after_commit = act
    await rig.settle(passes=6)
    assert len(rig.list_ids()) == 50_000
    assert rig.counts.line_results["accepted"] == 50_000
    assert rig.list_names("done") == {"c.txt"}


async def test_a_file_replaced_while_it_is_read_is_not_moved_in_its_place(rig: Rig) -> None:
    """Both contents count, and the new file is read before it is archived."""
    rig.drop_file("a.txt", "aaa\n")

    def replace() -> None:
        if len(rig.tracker.transactions) == 1:
            rig.drop_file("a.txt", "bbb\n")

    rig.tracker.after_commit = replace
    await rig.settle()
    assert rig.list_ids() == {"aaa", "bbb"}
    assert (rig.path / "done" / "a.txt").read_text() == "bbb\n"


@pytest.mark.parametrize(
    "rotation", ["rename", "copytruncate", "rename-late-writer", "copy-delete", "rewrite", "swap"]
)
async def test_a_rotated_log_loses_no_line(rig: Rig, rotation: str) -> None:
    """Whole files only: rotated by whatever scheme, every line that was there counts once."""
    log, old = rig.path / "app.txt", rig.path / "app.1.txt"
    expected = set()
    for turn in range(4):
        writer = log.open("a")
        writer.write(make_lines(20, f"t{turn}x"))
        writer.flush()
        await rig.scan_after(1)
        if rotation in {"rename", "rename-late-writer"}:
            log.rename(old)
        elif rotation in {"copytruncate", "copy-delete"}:
            shutil.copy2(log, old)
            log.unlink() if rotation == "copy-delete" else os.truncate(log, 0)
        elif rotation == "swap":
            log.rename(rig.path / ".swap.tmp")
            (rig.path / ".swap.tmp").rename(old)
        if rotation == "rename-late-writer":
            await rig.scan_after(1)
            writer.write(make_lines(20, f"t{turn}late"))
            expected |= set(make_lines(20, f"t{turn}late").split())
        writer.close()
        expected |= set(make_lines(20, f"t{turn}x").split())
        await rig.settle()
    await rig.settle(passes=16)
    assert rig.list_ids() == expected
    assert rig.counts.line_results["accepted"] == len(expected)


@pytest.mark.parametrize("seed", range(100))
async def test_half_an_id_of_a_writer_that_pauses_inside_a_line_never_counts(rig: Rig, seed: int) -> None:
    """However often and long it pauses, below the thirty seconds."""
    chance = random.Random(seed)
    content = make_lines(chance.randint(1, 5), f"s{seed}-")
    offsets = sorted(chance.sample(range(len(content)), min(len(content), chance.randint(1, 4))))
    target = rig.path / "a.txt"
    for start, end in zip([0, *offsets], [*offsets, len(content)], strict=True):
        with target.open("a") as file:
            file.write(content[start:end])
        for _ in range(chance.randint(0, 9)):
            await rig.scan_after(chance.choice([0.5, 1, 2, 3]))
    await rig.settle(passes=16)
    assert rig.list_ids() == set(content.split())
