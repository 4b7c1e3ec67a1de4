"""The engines that the conformance suite runs against, and what drives a store as the tracker does."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from exporter.domain import lifecycle, schedule
from exporter.domain.aggregates import CommittedState, StateDelta
from exporter.domain.lifecycle import Event, Step, Tick
from exporter.domain.limiter import LimiterState
from exporter.domain.model import Message, Priority, Source
from exporter.domain.snapshot import Kind, Objective, SeriesKey
from exporter.store import Accepted, Arrival, Claim, FileProgress, Store
from exporter.store.sqlite import SqliteStore
from tests.domain.example import DEFAULT, SENT_AT

MANY = 10**9
"""Room enough."""
_u = random.Random(11)


class Engine(Protocol):
    """A place where state lives, over any number of runs of the program."""

    def open(self, *, now: int = SENT_AT) -> Store:
        """Start a run."""
        ...

    def crash(self) -> None:
        """End the run at once: what was not durable is lost."""
        ...

    def close(self) -> None:
        """End the run as the program does."""
        ...


class SqliteEngine:
    """SQLite in a folder; a crash is a copy of what the files hold at that moment."""

    def __init__(self, folder: Path) -> None:
        """Keep state below `folder`."""
        self._folder = folder
        self._run = 0
        self._store: SqliteStore | None = None

    @property
    def directory(self) -> Path:
        """Where this run keeps its files."""
        return self._folder / f"run-{self._run}"

    def open(self, *, now: int = SENT_AT) -> Store:
        """Start a run."""
        self.close()
        self._store = SqliteStore(self.directory, now=now)
        return self._store

    def crash(self) -> None:
        """Go on with the files as a killed process leaves them."""
        left = self.directory
        self._run += 1
        shutil.copytree(left, self.directory)
        self.close()

    def close(self) -> None:
        """End the run as the program does."""
        if self._store is not None:
            self._store.close()
            self._store = None


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": SqliteEngine}


def decide(message: Message, event: Event) -> Step:
    """What the tracker decides, for the profile `default`."""
    step = lifecycle.advance(message, event, DEFAULT, "UAH")
    if not step.message.pending or isinstance(event, Tick):
        return step
    due_at = schedule.next_poll_at(step.message, DEFAULT, event.at, event.uptime_us, _u.random())
    return step._replace(message=step.message._replace(due_at=due_at))


def make_tick(now: int) -> Callable[[Message], Step]:
    """A decision that only lets time pass, for `Store.collect_garbage`."""
    return lambda message: lifecycle.advance(message, Tick(message.row, now, 0), DEFAULT, "")


def make_arrivals(campaign_id: int, ids: Iterable[str], sent_at: int = SENT_AT) -> list[Arrival]:
    """Ids of one campaign, due at once."""
    return [Arrival(campaign_id, message_id, sent_at, sent_at, Priority.NORMAL) for message_id in ids]


def track(  # noqa: PLR0913 - what `Store.track` takes, most of it by default
    store: Store,
    account_id: int,
    batch: Sequence[Arrival],
    *,
    now: int = SENT_AT,
    room: int = MANY,
    file: FileProgress | None = None,
) -> Accepted:
    """Track as dropped ids."""
    return store.track(account_id, batch, Source.DROP, now=now, uptime_us=0, room=room, file=file)


def persist_nothing(store: Store, accounts: dict[int, LimiterState] | None = None) -> None:
    """Persist as the maintenance does when no counter changed."""
    store.persist(StateDelta(), accounts or {})


def list_shown_values(state: CommittedState) -> dict[SeriesKey, int]:
    """All series that `/metrics` would show other than 0."""
    snapshot = state.take_snapshot(SENT_AT, {}, lambda _: Objective(DEFAULT.deadline_us, 0.95), {})
    return {key: value for key, value in snapshot.values.items() if value}


def read_values(store: Store) -> dict[SeriesKey, int]:
    """All series that are not 0."""
    return {key: value for key, value in store.restore().values if value}


def claim_all(store: Store, up_to: int) -> list[Message]:
    """All messages whose row is at most `up_to`."""
    return store.read(range(1, up_to + 1))


def list_queue(store: Store) -> list[Message]:
    """All messages that are still to be polled, whenever they are due, by row."""
    queued: list[Message] = []
    for account_id, _ in store.restore().accounts.values():
        for priority in Priority:
            claim = Claim(account_id, priority, SENT_AT, MANY * MANY, MANY, frozenset(), {})
            queued += store.claim(claim).messages
    return sorted(queued, key=lambda message: message.row)


def recount(messages: Iterable[Message]) -> dict[tuple[Kind, str], int]:
    """The gauge, and what was tracked and finished, counted from the messages."""
    counts: Counter[tuple[Kind, str]] = Counter()
    for message in messages:
        counts[Kind.MESSAGES, message.status.word] += 1
        counts[Kind.TRACKED, "drop"] += 1
        if not message.pending:
            counts[Kind.FINISHED, message.outcome.word] += 1
    return dict(counts)


def sum_series(store: Store) -> dict[tuple[Kind, str], int]:
    """The same, summed from the series."""
    counts: Counter[tuple[Kind, str]] = Counter()
    for key, value in read_values(store).items():
        if key.kind in {Kind.MESSAGES, Kind.TRACKED, Kind.FINISHED}:
            counts[key.kind, key.label1] += value
    return {series: value for series, value in counts.items() if value}
