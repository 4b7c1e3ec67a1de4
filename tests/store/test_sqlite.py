"""The SQLite file: used by one process, set up to lose nothing, and its backups noticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.domain.lifecycle import Tick
from exporter.domain.snapshot import Kind
from exporter.runtime.errors import StoreBroken, StoreBusy
from exporter.store import directory
from exporter.store.database import CHECKPOINT_ROWS, Database
from exporter.store.sqlite import SqliteStore
from tests.domain.example import HOUR_US, SENT_AT
from tests.kit.waiting import HANG_SECONDS
from tests.store.engines import (
    decide,
    make_arrivals,
    make_tick,
    persist_nothing,
    read_values,
    sum_series,
    track,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An open store in `tmp_path`."""
    opened = SqliteStore(tmp_path, now=SENT_AT)
    yield opened
    opened.close()


def fill(store: SqliteStore, count: int, prefix: str = "id") -> None:
    """Track so many messages."""
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    track(store, account, make_arrivals(campaign, [f"{prefix}-{n}" for n in range(count)]))


# --- exclusive --------------------------------------------------------------------------------------

_SECOND = """
import sys
from pathlib import Path
from exporter.runtime.errors import StoreBusy
from exporter.store.sqlite import SqliteStore
try:
    SqliteStore(Path(sys.argv[1]), now=1)
except StoreBusy as error:
    print(error.message)
    sys.exit(error.exit_code)
"""


def files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is there: name, file, size and time of the last change."""
    stats = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def test_a_second_process_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    """Another process gets an error with the file that is in use, and touches nothing."""
    fill(store, 3)
    # Checked by name only: opening and closing a file would drop the locks of this process on it.
    before = files(tmp_path)
    second = subprocess.run(
        [sys.executable, "-c", _SECOND, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert second.returncode == 75, second.stderr
    assert str(tmp_path / directory.DATABASE) in second.stdout
    assert files(tmp_path) == before
    fill(store, 3, "more")


def test_a_second_store_is_refused_at_once(store: SqliteStore, tmp_path: Path) -> None:
    """The state is held from the start, before anything was written."""
    with pytest.raises(StoreBusy):
        SqliteStore(tmp_path, now=SENT_AT)
    assert store.restore().created_at == SENT_AT


def test_everything_is_private(tmp_path: Path) -> None:
    """Files are for their owner only, the folder too, whatever the umask says."""
    folder = tmp_path / "new" / "state"
    store = SqliteStore(folder, now=SENT_AT)
    fill(store, 3)
    persist_nothing(store)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    store.close()
    assert modes == dict.fromkeys(
        [directory.DATABASE, f"{directory.DATABASE}-wal", directory.COMMIT_MARKER], 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    """A path that can't be a folder is refused with an error that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreBroken, match="file"):
        SqliteStore(tmp_path / "file", now=SENT_AT)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("locking_mode", "exclusive"),
        ("secure_delete", 1),
        ("temp_store", 2),
        ("wal_autocheckpoint", 0),
        ("cache_size", -16_384),
        ("journal_size_limit", 64 << 20),
    ],
)
def test_settings(tmp_path: Path, pragma: str, value: object) -> None:
    """The connection is set up to lose nothing, to leave nothing, and to use little memory."""
    database = Database(directory.prepare_directory(tmp_path))
    with database.read() as cursor:
        assert cursor.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    database.close()


def test_deleted_messages_leave_no_ids_in_the_file(tmp_path: Path) -> None:
    """Not in the file's free space either."""
    store = SqliteStore(tmp_path, now=SENT_AT)
    fill(store, 500, "canary")
    now = SENT_AT + 300 * HOUR_US
    account = store.ensure_account("main")
    events = [Tick(row, now, 0) for row in range(1, 501)]
    store.apply(events, decide)
    store.collect_garbage(0, limit=1000, now=now, retention_us=0, tick=make_tick(now))
    assert store.ensure_account("main") == account
    store.close()
    assert b"canary" not in (tmp_path / directory.DATABASE).read_bytes()


def test_the_log_stays_small(store: SqliteStore, tmp_path: Path) -> None:
    """The log is copied into the database as it grows, and written over from its beginning."""
    for n in range(40):
        fill(store, CHECKPOINT_ROWS // 2, f"round-{n}")
    log = tmp_path / f"{directory.DATABASE}-wal"
    assert log.stat().st_size < 8 << 20
    assert (tmp_path / directory.DATABASE).stat().st_size > 3 << 20


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    """After a clean end all is in the database; a copy of that one file is a whole backup."""
    store = SqliteStore(tmp_path, now=SENT_AT)
    fill(store, 3)
    store.close()
    assert not (tmp_path / f"{directory.DATABASE}-wal").exists()


# --- a restored backup ------------------------------------------------------------------------------


def test_a_restored_backup_starts_its_counters_at_0(tmp_path: Path) -> None:
    """Counters of an old copy would fall: they start at 0 with a new creation time, with a warning."""
    run, backup = tmp_path / "run", tmp_path / "backup"
    store = SqliteStore(run, now=SENT_AT)
    fill(store, 3)
    store.close()
    shutil.copytree(run, backup)
    store = SqliteStore(run, now=SENT_AT)
    fill(store, 4, "later")
    store.close()
    shutil.copyfile(backup / directory.DATABASE, run / directory.DATABASE)
    store = SqliteStore(run, now=SENT_AT + HOUR_US)
    restored = store.restore()
    assert "restored backup" in restored.warning
    assert restored.created_at == SENT_AT + HOUR_US
    assert sum_series(store) == {(Kind.MESSAGES, "new"): 3}
    assert len(store.read(range(1, 10))) == 3
    store.close()
    again = SqliteStore(run, now=SENT_AT + 2 * HOUR_US)
    assert again.restore().warning == ""
    assert again.restore().created_at == SENT_AT + HOUR_US
    again.close()


def test_a_copy_of_everything_is_no_restored_backup(tmp_path: Path) -> None:
    """A folder that was moved as a whole goes on as it was."""
    run, moved = tmp_path / "run", tmp_path / "moved"
    store = SqliteStore(run, now=SENT_AT)
    fill(store, 3)
    store.close()
    shutil.copytree(run, moved)
    store = SqliteStore(moved, now=SENT_AT + HOUR_US)
    assert store.restore().warning == ""
    assert sum(read_values(store).values()) == 6
    store.close()


@pytest.mark.parametrize("text", ["", "garbage", "-5", "9" * 30, "\u00b2", "12\n"])
def test_an_unusable_commit_marker_is_ignored(tmp_path: Path, text: str) -> None:
    """A marker that is lost, torn or behind is no reason to start at 0."""
    store = SqliteStore(tmp_path, now=SENT_AT)
    for n in range(20):
        fill(store, 1, f"n{n}")
    store.close()
    (tmp_path / directory.COMMIT_MARKER).write_text(text)
    store = SqliteStore(tmp_path, now=SENT_AT + 1)
    assert store.restore().warning == ""
    store.close()
