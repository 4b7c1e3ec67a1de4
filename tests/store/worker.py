"""A process that uses a store and prints what was acknowledged, until its disk fails or it is killed.

Each line is a verb that came back: `track N` or `finish N`, with the number of
messages so far; `full` is a verb that is tried again; the last line is `done`,
or the name of the error that ended the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from exporter.domain.states import Status
from exporter.runtime.errors import StoreError, StoreFull
from exporter.store.sqlite import SqliteStore
from tests.domain.example import SENT_AT, make_observed
from tests.store.engines import decide, make_arrivals, persist_nothing, track

GROUP = 100
T = TypeVar("T")


def main(folder: Path, groups: int, tries: int) -> int:
    """Use a store until it fails; returns the exit code."""
    try:
        store = _retry(lambda: SqliteStore(folder, now=SENT_AT), tries)
    except StoreError as error:
        _print(type(error).__name__)
        return error.exit_code
    try:
        _use(store, groups, tries)
    except StoreError as error:
        # What failed once is not to be trusted again, though it would work this time.
        with suppress(StoreError):
            persist_nothing(store)
            _print("used after its end")
        store.close()
        _print(type(error).__name__)
        return error.exit_code
    _print("done")
    return 0


def _use(store: SqliteStore, groups: int, tries: int) -> None:
    """Track and finish groups of messages."""
    account = _retry(lambda: store.ensure_account("main"), tries)
    campaign = _retry(lambda: store.ensure_campaign(account, "default"), tries)
    for group in range(groups):
        batch = make_arrivals(campaign, [f"{os.getpid()}-{group}-{n}" for n in range(GROUP)])
        accepted = _retry(partial(track, store, account, batch), tries)
        _print(f"track {len(accepted.rows)}")
        events = [make_observed(Status.DELIVERED, 5, row=row) for row in accepted.rows]
        steps = _retry(partial(store.apply, events, decide), tries).steps
        _print(f"finish {sum(step.newly_finished for step in steps)}")
        _retry(partial(persist_nothing, store), tries)
    store.close()


def _retry(verb: Callable[[], T], tries: int) -> T:
    for _ in range(tries):
        try:
            return verb()
        except StoreFull:
            _print("full")
    return verb()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # As the program leaves when the disk fails: an ordinary exit would close the file, and sync it again.
    os._exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
