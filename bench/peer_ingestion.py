"""The peer of `ingestion`: `python -m bench.peer_ingestion PATH`, with ids on the standard input.

Prints [seconds, processor seconds].
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from time import perf_counter, process_time

from exporter.ingest.formats.formats import BATCH_MESSAGES
from exporter.store.database import CACHE_KIB


def insert_ids(path: str, ids: list[str]) -> None:
    """Insert all ids into a table of a new database, one transaction per batch."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("CREATE TABLE ids (message_id TEXT NOT NULL UNIQUE)")
        for start in range(0, len(ids), BATCH_MESSAGES):
            connection.execute("BEGIN IMMEDIATE")
            batch = ((message_id,) for message_id in ids[start : start + BATCH_MESSAGES])
            connection.executemany("INSERT OR IGNORE INTO ids VALUES (?)", batch)
            connection.execute("COMMIT")


def _main() -> None:
    ids = sys.stdin.read().split()
    began, cpu_began = perf_counter(), process_time()
    insert_ids(sys.argv[1], ids)
    print(json.dumps([perf_counter() - began, process_time() - cpu_began]))


if __name__ == "__main__":
    _main()
