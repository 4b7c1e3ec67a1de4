"""A file with content that this program never wrote: reported in a sentence, never with a traceback."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exporter.domain.aggregates import CommittedState
from exporter.domain.model import Source
from exporter.domain.states import Status
from exporter.runtime.errors import StoreError, StoreUnusable
from exporter.store import directory
from exporter.store.sqlite import SqliteStore
from tests.domain.example import SENT_AT, make_observed
from tests.store.engines import MANY, decide, list_queue, make_arrivals, make_tick, persist_nothing, track

MESSAGES = 300
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some state, cleanly closed."""
    folder = tmp_path_factory.mktemp("sound")
    store = SqliteStore(folder, now=SENT_AT)
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    track(store, account, make_arrivals(campaign, [f"id-{n}" for n in range(MESSAGES)]))
    store.apply([make_observed(Status.DELIVERED, 5, row=row) for row in range(1, 100)], decide)
    persist_nothing(store)
    store.close()
    return folder


def use(folder: Path) -> tuple[int, str]:
    """Use all of a store; returns the number of messages that it has, and its warning."""
    store = SqliteStore(folder, now=SENT_AT)
    try:
        restored = store.restore()
        state = CommittedState(restored.created_at)
        state.restore(restored.campaigns, restored.values, restored.cohorts)
        rows = [message.row for message in list_queue(store)]
        messages = store.read(range(1, MESSAGES + 1))
        store.apply([make_observed(Status.PROCESSING, 5, row=row) for row in rows], decide)
        now = SENT_AT + 10**9
        store.collect_garbage(0, limit=MESSAGES, now=now, retention_us=10**15, tick=make_tick(now))
        store.find_oldest_pending([1])
        store.track(1, make_arrivals(1, ["new"]), Source.DROP, now=SENT_AT, uptime_us=0, room=MANY, file=None)
        persist_nothing(store)
    finally:
        store.close()
    return len(messages), restored.warning


def outcome(sound: Path, folder: Path, damage: Callable[[Path], None]) -> str:
    """What happens with a damaged copy: `refused`, `warned`, or `used` with all its messages."""
    shutil.copytree(sound, folder)
    damage(folder / directory.DATABASE)
    refusal, count, warning = "", 0, ""
    try:
        count, warning = use(folder)
    except StoreError as error:
        refusal = error.message
    shutil.rmtree(folder)
    if refusal:
        assert str(folder) in refusal
        assert "\n" not in refusal
        return "refused"
    if warning:
        return "warned"
    assert count == MESSAGES, "messages are lost without a warning"
    return "used"


def overwrite(offset: int, data: bytes) -> Callable[[Path], None]:
    """Put other bytes into a file."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return damage


def test_a_sound_file_is_used(sound: Path, tmp_path: Path) -> None:
    """A check of these checks: an undamaged file is not refused."""
    assert outcome(sound, tmp_path / "copy", lambda _: None) == "used"


def test_each_byte_of_the_header(sound: Path, tmp_path: Path) -> None:
    """Any byte of SQLite's header turned over: used whole, or refused in a sentence."""
    header = (sound / directory.DATABASE).read_bytes()[:100]
    outcomes = [
        outcome(sound, tmp_path / "copy", overwrite(offset, bytes([header[offset] ^ 0xFF])))
        for offset in range(100)
    ]
    assert outcomes[:16] == ["refused"] * 16, "the magic words"
    assert outcomes.count("refused") > 20


def test_bytes_of_the_schema(sound: Path, tmp_path: Path) -> None:
    """A byte turned over in the page that holds the tables' definitions: the same."""
    page = (sound / directory.DATABASE).read_bytes()[:PAGE_BYTES]
    for offset in range(100, PAGE_BYTES, 89):
        outcome(sound, tmp_path / "copy", overwrite(offset, bytes([page[offset] ^ 0x01])))


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_anywhere(sound: Path, tmp_path: Path, seed: int) -> None:
    """Bytes turned over anywhere in the file: the same."""
    draw = random.Random(seed)
    size = (sound / directory.DATABASE).stat().st_size
    for _ in range(12):
        noise = draw.randbytes(draw.choice([1, 2, 16, 512]))
        outcome(sound, tmp_path / "copy", overwrite(draw.randrange(PAGE_BYTES, size - 512), noise))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(sound: Path, tmp_path: Path, share: float) -> None:
    """A file that lost its end is refused; one that lost everything is noticed by its commit marker."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    assert outcome(sound, tmp_path / "copy", damage) == ("warned" if share == 0 else "refused")


@pytest.mark.parametrize("first_page", [0, 1, 3])
def test_a_file_of_zeros(sound: Path, tmp_path: Path, first_page: int) -> None:
    """A file whose pages were zeroed is refused."""

    def damage(path: Path) -> None:
        kept = path.read_bytes()[: first_page * PAGE_BYTES]
        path.write_bytes(kept.ljust(path.stat().st_size, b"\0"))

    assert outcome(sound, tmp_path / "copy", damage) == "refused"


def test_a_lost_file_is_noticed(sound: Path, tmp_path: Path) -> None:
    """Where the database is gone but its commit marker is there, there is a warning."""
    assert outcome(sound, tmp_path / "copy", Path.unlink) == "warned"


def test_a_file_that_is_no_database_is_refused(sound: Path, tmp_path: Path) -> None:
    """It is left as it is."""
    assert outcome(sound, tmp_path / "copy", overwrite(0, b"PNG" * 5000)) == "refused"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE messages SET status = 77", "refused"),
        ("UPDATE messages SET verdict = -1", "refused"),
        ("UPDATE messages SET due_at = 'soon'", "refused"),
        ("UPDATE messages SET message_id = x'05' WHERE id = 7", "refused"),
        ("UPDATE messages SET message_id = CAST(x'ff61' AS TEXT) WHERE id = 7", "refused"),
        ("UPDATE series SET kind = 99 WHERE label1 = 'new'", "refused"),
        ("UPDATE series SET value = 'many'", "refused"),
        ("UPDATE cohorts SET sent = x'00'", "refused"),
        ("UPDATE accounts SET rate_micros = 'fast'", "refused"),
        ("UPDATE meta SET value = 'old' WHERE name = 'created_at'", "refused"),
        # It becomes a number, which is too small for the commit marker.
        ("UPDATE meta SET value = 'old' WHERE name = 'commits'", "warned"),
        ("DELETE FROM meta", "warned"),
    ],
)
def test_values_that_were_never_written(sound: Path, tmp_path: Path, statement: str, expected: str) -> None:
    """A whole file with impossible values in it is damaged all the same."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    assert outcome(sound, tmp_path / "copy", damage) == expected


def test_a_damaged_file_is_set_aside_when_configured(sound: Path, tmp_path: Path) -> None:
    """With `on_corrupt: fresh` the damaged file is set aside, kept, and reported."""
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder)
    damaged = folder / directory.DATABASE
    overwrite(0, b"not a database")(damaged)
    kept = damaged.read_bytes()
    with pytest.raises(StoreUnusable, match="damaged") as refused:
        SqliteStore(folder, now=SENT_AT)
    assert "recover" in refused.value.hint
    assert damaged.read_bytes() == kept, "a refusal touches nothing"
    store = SqliteStore(folder, now=SENT_AT + 1, fresh_when_damaged=True)
    restored = store.restore()
    store.close()
    assert "set aside" in restored.warning
    assert "pending is forgotten" in restored.warning
    assert (list(restored.values), restored.created_at) == ([], SENT_AT + 1)
    (aside,) = [path for path in folder.iterdir() if "corrupt" in path.name]
    assert aside.read_bytes() == kept
