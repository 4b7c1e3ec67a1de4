"""The disk whose power is cut: what is synced stays, what is not may be dropped or torn."""

from __future__ import annotations

import random

from tests.torture.disk import Disk
from tests.torture.trace import (
    Create,
    MakeFolder,
    Op,
    Open,
    Rename,
    Sync,
    Truncate,
    Unlink,
    Write,
    operations,
)

OLD, NEW = b"o" * 2048, b"n" * 2048
SYNCED_FILE: list[Op] = [Create("/d/a"), Write("/d/a", 0, OLD, "3"), Sync("/d/a"), Sync("/d")]


def images(ops: list[Op], count: int = 200) -> list[dict[str, bytes]]:
    """Many images of a cut after these operations."""
    disk = Disk()
    for op in ops:
        disk.add(op)
    rng = random.Random(1)
    return [disk.image(rng) for _ in range(count)]


def test_what_is_synced_survives_every_cut() -> None:
    """Content after its sync, and a name after its folder's, are in all images."""
    assert images(SYNCED_FILE) == [{"/d/a": OLD}] * 200


def test_what_is_not_synced_may_be_dropped_torn_or_there() -> None:
    """Each sector of 512 bytes is the old or the new one; all choices come up."""
    seen = {image["/d/a"] for image in images([*SYNCED_FILE, Write("/d/a", 0, NEW, "3")])}
    assert {OLD, NEW} < seen
    for content in seen:
        sectors = {content[at : at + 512] for at in range(0, 2048, 512)}
        assert sectors <= {OLD[:512], NEW[:512]}


def test_a_later_write_can_arrive_without_an_earlier_one() -> None:
    """Nothing orders two writes but a sync between them."""
    ops = [*SYNCED_FILE, Write("/d/a", 0, b"1", "3"), Write("/d/a", 1024, b"2", "3")]
    seen = {(image["/d/a"][0:1], image["/d/a"][1024:1025]) for image in images(ops)}
    assert seen == {(b"o", b"o"), (b"1", b"o"), (b"o", b"2"), (b"1", b"2")}


def test_a_name_without_a_sync_of_its_folder_can_be_lost() -> None:
    """Creating, renaming and removing last only with their folder; a file is never in two places."""
    assert {frozenset(image) for image in images([Create("/d/a"), Sync("/d/a")])} == {
        frozenset(),
        frozenset({"/d/a"}),
    }
    renamed = images([*SYNCED_FILE, Rename("/d/a", "/d/b")])
    assert {frozenset(image) for image in renamed} == {frozenset({"/d/a"}), frozenset({"/d/b"})}
    assert {len(image) for image in images([*SYNCED_FILE, Unlink("/d/a")])} == {0, 1}
    assert {len(image) for image in images([*SYNCED_FILE, Unlink("/d/a"), Sync("/d")])} == {0}


def test_a_folder_that_is_lost_takes_its_files_with_it() -> None:
    """A new folder's own name must be synced too, in the folder above."""
    ops: list[Op] = [MakeFolder("/d"), *SYNCED_FILE]
    assert {len(image) for image in images(ops)} == {0, 1}
    assert images([*ops, Sync("/")]) == [{"/d/a": OLD}] * 200


def test_a_cut_file_can_have_its_old_content() -> None:
    """Emptying a file lasts with its sync."""
    assert {image["/d/a"] for image in images([*SYNCED_FILE, Truncate("/d/a", 0)])} == {OLD, b""}
    assert {image["/d/a"] for image in images([*SYNCED_FILE, Open("/d/a", "3", cut=True)])} == {OLD, b""}


def test_a_trace_is_read() -> None:
    """Calls that failed, calls elsewhere and calls shown in two halves are told apart."""

    def told(text: str) -> str:
        return "".join(f"\\x{byte:02x}" for byte in text.encode())

    lines = [
        f'7  openat(AT_FDCWD<{told("/")}>, "{told("/h/a")}", O_RDWR|O_CREAT, 0600) = 3<{told("/h/a")}>',
        f'7  write(3<{told("/h/a")}>, "{told("one")}", 3 <unfinished ...>',
        f"8  fsync(5<{told('/h')}>)            = -1 EIO (Input/output error) (INJECTED)",
        "7  <... write resumed>)             = 3",
        f'7  pwrite64(3<{told("/h/a")}>, "{told("2")}", 1, 512) = 1',
        f'8  renameat(5<{told("/h")}>, "{told("a")}", 6<{told("/h/done")}>, "{told("b")}") = 0',
        f'8  unlink("{told("/elsewhere")}") = 0',
        f"8  fdatasync(3<{told('/h/done/b')}>) = 0",
    ]
    assert list(operations(iter(lines), "/h")) == [
        Create("/h/a"),
        Open("/h/a", "3", cut=False),
        Write("/h/a", None, b"one", "3"),
        Write("/h/a", 512, b"2", "3"),
        Rename("/h/a", "/h/done/b"),
        Sync("/h/done/b"),
    ]
