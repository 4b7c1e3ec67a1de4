"""Durable state behind a few verbs of the domain.

`Store` is the contract that each engine keeps. Every verb is one whole
transaction and returns only after it is durable; `now` and every decision come
in from outside. The verbs block: the tracker calls them one at a time, off the
event loop (`run_in_store_thread`). They raise `errors.StoreError` and nothing
else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from exporter.domain.aggregates import Cohort, CohortKey, StateDelta
from exporter.domain.events import Event, Step
from exporter.domain.limiter import LimiterState
from exporter.domain.model import Message, Policy, Priority, Source
from exporter.domain.snapshot import CampaignName, SeriesKey

_T = TypeVar("_T")
Decide = Callable[[Message, Event], Step]
"""What an event does to a message; called once per event, with the row as it stays until the commit."""

READ_TO_THE_END = -1
"""The progress of a file that needs no more reading."""


class Arrival(NamedTuple):
    """One id to track; only whether it is new is still open."""

    campaign_id: int
    message_id: str
    sent_at: int
    due_at: int
    """On the queue clock."""
    priority: Priority


class FileProgress(NamedTuple):
    """How far a dropped file is read once the batch that carries this is committed."""

    file_key: bytes
    progress: int


class QueueTime(NamedTuple):
    """The queue clock at a moment of the wall clock: see `poll_queue.QueueClock`."""

    queue_us: int
    wall_us: int


class Claim(NamedTuple):
    """What to take from the poll queue."""

    account_id: int
    priority: Priority
    now: int
    """The wall clock: deadlines are measured by it."""
    queue_now: int
    """The queue clock: what is due is measured by it."""
    limit: int
    held: Collection[str]
    """Ids of messages to leave out."""
    policies: Mapping[int, Policy]
    """Of the account's campaigns with this priority, by their ids."""


class Claimed(NamedTuple):
    """Messages to poll now."""

    messages: Sequence[Message]
    """In the order of polls: at most as many as wanted."""
    next_due_at: int | None
    """When there may be more to claim, on the queue clock; None for never, as it stands."""
    passed_over: Sequence[str] = ()
    """Held messages that are due."""


@dataclass(slots=True)
class Accepted:
    """What `track` did."""

    rows: list[int] = field(default_factory=list)
    """The new messages; all others were known already."""
    changes: StateDelta = field(default_factory=StateDelta)
    full: bool = False
    """There was no room for all that are new, so nothing was tracked."""


@dataclass(slots=True)
class Applied:
    """What `apply` did."""

    steps: list[Step]
    """In the order of the events; events about rows that are gone are left out."""
    changes: StateDelta
    committed: bool = False
    """False when no event changed its message: then nothing was written."""


@dataclass(slots=True)
class Restored:
    """What an earlier run committed."""

    created_at: int
    accounts: Mapping[str, tuple[int, LimiterState]]
    campaigns: Mapping[int, CampaignName]
    values: Sequence[tuple[SeriesKey, int]]
    cohorts: Sequence[tuple[CohortKey, Cohort]]
    queue_time: QueueTime | None = None
    """As persisted last; None for never."""
    warning: str = ""
    """Something the operator should know, such as a restored backup."""


@dataclass(slots=True)
class CollectedGarbage:
    """What one call of `collect_garbage` did."""

    cursor: int
    """Where to go on; 0 at the end of all messages."""
    changes: StateDelta = field(default_factory=StateDelta)


class Store(Protocol):
    """The verbs; see the module's docstring for what holds for all of them."""

    def restore(self) -> Restored:
        """Read everything but the messages."""
        ...

    def queue_older(self, priorities: Mapping[int, Priority], *, limit: int) -> int:
        """Queue messages that a version without a queue left, looking at no more than `limit`.

        `priorities` is by campaign. Returns how many rows it looked at; 0 when all are queued.
        """
        ...

    def pull_forward(self, account_id: int, priority: Priority, *, latest: int, limit: int) -> int:
        """Let messages that are due after `latest` be due then; returns how many, at most `limit`."""
        ...

    def ensure_account(self, account: str) -> int:
        """The id of an account, which is created when it is new."""
        ...

    def ensure_campaign(self, account_id: int, campaign: str) -> int:
        """The id of a campaign, which is created when it is new."""
        ...

    def track(  # noqa: PLR0913 - one transaction: all that it writes comes in at once
        self,
        account_id: int,
        arrivals: Sequence[Arrival],
        source: Source,
        *,
        now: int,
        uptime_us: int,
        room: int,
        file: FileProgress | None,
    ) -> Accepted:
        """Record ids of one account, and how far their file is read; at most `room` new ones.

        Ids whose source is a webhook are exempt from verdicts.
        """
        ...

    def read_file_progress(self, file_key: bytes) -> int:
        """How far a dropped file was read; 0 when it is new."""
        ...

    def claim(self, claim: Claim) -> Claimed:
        """Read the messages to poll now, in the order of `schedule.Rank`; changes nothing.

        The first are those at their deadline, earliest deadline first. Within a rank the order is that of
        the due time. Where thousands of rows must be passed over, some may be left for a later call.
        """
        ...

    def count_due(self, account_ids: Iterable[int], queue_now: int) -> dict[tuple[int, Priority], int]:
        """How many messages of each account and priority are due; `queue_now` never goes back."""
        ...

    def read(self, rows: Iterable[int]) -> list[Message]:
        """Read messages by row; rows that are gone are left out."""
        ...

    def find(self, account_ids: Sequence[int], message_ids: Iterable[str]) -> dict[str, list[Message]]:
        """Read messages by their ids, in all of these accounts; unknown ids are left out."""
        ...

    def apply(self, events: Sequence[Event], decide: Decide) -> Applied:
        """Decide events in order, each on what the ones before it left, and write what they change.

        No other writer may come between reading a row and writing it: an engine that isn't alone locks
        the rows first. Events that change nothing cost no commit.
        """
        ...

    def persist(
        self,
        changes: StateDelta,
        accounts: Mapping[int, LimiterState],
        queue_time: QueueTime | None = None,
    ) -> None:
        """Commit changes of counters alone, the state of the accounts' limiters, and the queue clock."""
        ...

    def judge_lapsed(
        self, policies: Mapping[int, Policy], *, now: int, limit: int, tick: Callable[[Message], Step]
    ) -> StateDelta:
        """Let time pass for messages whose deadline can't be observed any more, looking at `limit` at most.

        `policies` is by campaign.
        """
        ...

    def collect_garbage(
        self, cursor: int, *, limit: int, now: int, retention_us: int, tick: Callable[[Message], Step]
    ) -> CollectedGarbage:
        """Go on through all messages: delete the old finished ones, let time pass for pending ones."""
        ...

    def prune(self, *, now: int, cohorts_before: int, files_before: int) -> None:
        """Delete cohorts, tombstones and file records that nothing needs any more."""
        ...

    def find_oldest_pending(self, campaign_ids: Iterable[int]) -> dict[int, int]:
        """`sent_at` of the oldest pending message of each campaign that has one."""
        ...

    def close(self) -> None:
        """Finish writing and close; no verb may follow."""
        ...


async def run_in_store_thread(thread: Executor, verb: Callable[[], _T]) -> _T:
    """Call one of the store's verbs off the event loop, after those before it.

    A verb that has begun is waited for even when the caller is cancelled
    meanwhile, and the cancellation comes with the caller's next wait: what is
    committed must also reach the state and the poll queue.
    """
    future = asyncio.get_running_loop().run_in_executor(thread, verb)
    cancelled = False
    try:
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                cancelled = True
    finally:
        task = asyncio.current_task()
        if cancelled and task is not None:
            task.uncancel()
            task.cancel()
