"""Everything known about one message, from the store and from the request history.

The views are frozen values whose attributes are the keys of
`/api/v1/messages/ID`; as in `model`, names, types and docstrings are public.
The lookup is the only part of `status` that reads the store. When the store is
busy or hangs, a client waits only briefly before it is told so, and only a few
clients may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import ConfigDict

from exporter.domain.model import SECOND_US, Message, Outcome, Status, Verdict
from exporter.domain.snapshot import CampaignName
from exporter.engine.request_history import Request
from exporter.engine.tracker import Tracker
from exporter.runtime.clock import Clock
from exporter.store import Store

MAX_WAITING = 16
WAIT_SECONDS = 2.0
"""How long somebody waits for the store."""

VerdictWord = Literal["none", "met", "missed", "unobserved", "exempt"]
KEYS = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request to the provider, ended."""

    __pydantic_config__ = KEYS

    timestamp_seconds: float
    """When it ended."""
    account: str
    """The account that it belongs to."""
    campaign: str | None
    """Null for an id that only a webhook has told of."""
    message_id: str
    """The message that it was about."""
    outcome: Outcome
    """As in smsbat_api_requests_total."""
    status: str | None
    """What the answer said; null when there was none to use."""
    duration_seconds: float
    """How long it took."""
    detail: str
    """What is known of a failure; never a body."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """One tracked message, as the store holds it."""

    __pydantic_config__ = KEYS

    account: str
    """The account that it belongs to."""
    campaign: str
    """The campaign that it counts in."""
    status: str
    """The latest that is known, as in smsbat_messages."""
    finished: bool
    """Whether it has ended, one way or the other."""
    outcome: str | None
    """How it ended first, which is what was counted; null while it is pending."""
    verdict: VerdictWord
    """`met`, `missed` or `unobserved`; `none`: not judged yet; `exempt`: when it was sent is not known."""
    sent_timestamp_seconds: float
    """When it was sent, or accepted where nobody said when."""
    deadline_timestamp_seconds: float
    """By when its profile wants it delivered."""
    accepted_timestamp_seconds: float
    """When its id was accepted."""
    last_asked_timestamp_seconds: float | None
    """When the provider last answered or failed to; null before the first request."""
    next_look_timestamp_seconds: float | None
    """When it is to be asked about again; later where the rate does not allow it. Null when it never is."""
    finished_timestamp_seconds: float | None
    """When its end was known; null while it is pending."""
    polls: int
    """Requests that were answered with a status."""
    failures: int
    """Requests that failed since the last answered one."""
    refusals: int
    """Answers that blame this very message."""
    told_by_webhook: str | None
    """The end that a webhook told and no answer has borne out yet."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of one message id."""

    __pydantic_config__ = KEYS

    message_id: str
    """The id that was asked for."""
    messages: tuple[MessageView, ...]
    """One for each account that tracks it; empty when none does, or when its retention is over."""
    retention_seconds: float
    """How long finished messages are kept."""
    requests: tuple[RequestView, ...]
    """What is remembered of the requests about it, oldest first."""
    requests_since_timestamp_seconds: float
    """From when on every request is remembered."""
    failures_since_timestamp_seconds: float
    """From when on every failed one is."""


def request_view(account: str, request: Request, campaigns: Mapping[int, CampaignName]) -> RequestView:
    """One request of `account`."""
    name = campaigns.get(request.campaign_id)
    return RequestView(
        timestamp_seconds=request.at / SECOND_US,
        account=account,
        campaign=name.campaign if name is not None else None,
        message_id=request.message_id,
        outcome=request.outcome,
        status=request.status.word if request.status is not None else None,
        duration_seconds=request.duration_us / SECOND_US,
        detail=request.detail,
    )


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
