"""What is known of one message: the one thing here that reads the store, one message at a time.

A store that hangs or is busy keeps nobody waiting for long: whoever asks hears
that it can't be told now, and only so many may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Message, Status, Verdict
from exporter.engine.tracker import Tracker
from exporter.runtime.clock import Clock
from exporter.status.message import Lookup, MessageView, VerdictWord
from exporter.status.requests import request_view
from exporter.store import Store

MAX_WAITING = 16
WAIT_SECONDS = 2.0
"""How long somebody waits for the store."""


_VERDICTS: Mapping[Verdict, VerdictWord] = {
    Verdict.NONE: "none",
    Verdict.MET: "met",
    Verdict.MISSED: "missed",
    Verdict.UNOBSERVED: "unobserved",
    Verdict.EXEMPT: "exempt",
}


class _Asked(NamedTuple):
    message_id: str
    found: asyncio.Future[list[Message]]


@dataclass(eq=False)
class Lookups:
    """All methods belong to the event loop."""

    tracker: Tracker
    store: Store
    clock: Clock

    def __post_init__(self) -> None:
        """Nobody has asked."""
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(MAX_WAITING)

    async def run(self) -> None:
        """Read for those who ask, until cancelled."""
        while True:
            asked = await self._queue.get()
            if asked.found.done():
                continue  # whoever asked has gone
            account_ids = [account.id for account in self.tracker.accounts.values()]
            found = await self.tracker.run(self.store.find, account_ids, [asked.message_id])
            if not asked.found.done():
                asked.found.set_result(found.get(asked.message_id, []))

    async def look_up(self, message_id: str) -> Lookup | None:
        """What is known of an id that may be one (see `ids`); None when the store can't be asked now."""
        found: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Asked(message_id, found))
            async with asyncio.timeout(WAIT_SECONDS):
                messages = await found
        except (asyncio.QueueFull, TimeoutError):
            return None
        return self._lookup(message_id, messages)

    def _lookup(self, message_id: str, messages: Sequence[Message]) -> Lookup:
        accounts, names = self.tracker.accounts.values(), self.tracker.state.campaigns
        requests = [
            request_view(account.name, request, names)
            for account in accounts
            for request in account.history.about(message_id)
        ]
        now = self.clock.now()
        return Lookup(
            message_id=message_id,
            messages=tuple(self._message(message) for message in messages),
            retention_seconds=self.tracker.settings.storage.retention / SECOND_US,
            requests=tuple(sorted(requests, key=lambda request: request.timestamp_seconds)),
            requests_since_timestamp_seconds=max((a.history.since for a in accounts), default=now)
            / SECOND_US,
            failures_since_timestamp_seconds=max((a.history.failures_since for a in accounts), default=now)
            / SECOND_US,
        )

    def _message(self, message: Message) -> MessageView:
        name = self.tracker.state.campaigns[message.campaign_id]
        deadline_us = self.tracker.settings.policy_for(name.campaign).deadline_us
        return MessageView(
            account=name.account,
            campaign=name.campaign,
            status=message.status.word,
            finished=not message.pending,
            outcome=None if message.pending else message.outcome.word,
            verdict=_VERDICTS[message.verdict],
            sent_timestamp_seconds=message.sent_at / SECOND_US,
            deadline_timestamp_seconds=(message.sent_at + deadline_us) / SECOND_US,
            accepted_timestamp_seconds=message.accepted_at / SECOND_US,
            last_asked_timestamp_seconds=_seconds(message.polled_at),
            next_look_timestamp_seconds=_seconds(message.due_at) if message.unsettled else None,
            finished_timestamp_seconds=_seconds(message.finished_at),
            polls=message.polls,
            failures=message.failures,
            refusals=message.refusals,
            told_by_webhook=Status(message.claimed_status).word if message.claimed_status > 0 else None,
        )


def _seconds(at: int) -> float | None:
    """An instant; 0 stands for one that never was."""
    return at / SECOND_US if at else None
