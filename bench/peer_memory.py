"""The peer of `memory`: `python -m bench.peer_memory DATABASE`.

Prints its resident bytes [before, after] it has read all pending messages.
"""

from __future__ import annotations

import heapq
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from bench.programs import Running


def _main() -> None:
    this = Running("", os.getpid())
    before_bytes = this.resident_bytes()
    pending: dict[str, tuple[int, int]] = {}
    heap: list[tuple[int, str]] = []
    with closing(sqlite3.connect(f"{Path(sys.argv[1]).as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT message_id, due_at, polls FROM messages WHERE outcome = 0")
        for message_id, due_at, attempts in rows:
            pending[message_id] = (due_at, attempts)
            heapq.heappush(heap, (due_at, message_id))
    print(json.dumps([before_bytes, this.resident_bytes()]))


if __name__ == "__main__":
    _main()
