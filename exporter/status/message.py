"""Everything known about one message, from the store and from the request history.

The views are frozen values whose attributes are the keys of
`/api/v1/messages/ID`; as in `model`, names, types and docstrings are public.
The lookup is the only part of `status` that reads the store. When the store is
busy or hangs, a client waits only briefly before it gets that answer, and only a few
clients may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import ConfigDict

from exporter.domain.model import SECOND_US, Message, Outcome, Verdict
from exporter.domain.snapshot import CampaignName
from exporter.domain.states import ClaimState
from exporter.engine.request_history import Request
from exporter.engine.tracker import Tracker
from exporter.runtime.clock import Clock
from exporter.store import Store

MAX_WAITING = 16
WAIT_SECONDS = 2.0
"""How long a client waits for the store."""

VerdictWord = Literal["none", "met", "missed", "unobserved", "exempt"]
KEYS = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class RequestView:
    """One finished request to the provider."""

    __pydantic_config__ = KEYS

    timestamp_seconds: float
    """When it ended."""
    account: str
    """The account that it belongs to."""
    campaign: str | None
    """The campaign of the message; null for an id that only a webhook has named."""
    message_id: str
    """The message that it was about."""
    outcome: Outcome
    """As in smsbat_api_requests_total."""
    status: str | None
    """The status in the answer; null when there was no usable answer."""
    duration_seconds: float
    """How long it took."""
    detail: str
    """Details of a failure; never a body."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """One tracked message, as stored."""

    __pydantic_config__ = KEYS

    account: str
    """The account that it belongs to."""
    campaign: str
    """The campaign that it counts in."""
    status: str
    """The latest known status, as in smsbat_messages."""
    finished: bool
    """Whether it is finished, in whatever way."""
    outcome: str | None
    """Its first final status, which was counted; null while it is pending."""
    verdict: VerdictWord
    """`met`, `missed` or `unobserved`; `none`: not judged yet; `exempt`: when it was sent is not known."""
    sent_timestamp_seconds: float
    """When it was sent, or accepted if the time of sending is not known."""
    deadline_timestamp_seconds: float
    """By when it should be delivered, by its profile."""
    accepted_timestamp_seconds: float
    """When its id was accepted."""
    last_asked_timestamp_seconds: float | None
    """When the latest request ended; null before the first."""
    next_look_timestamp_seconds: float | None
    """When the next poll is due; it may be later, as the rate allows. Null when no poll will follow."""
    finished_timestamp_seconds: float | None
    """When its final status became known; null while it is pending."""
    polls: int
    """Answers with a status."""
    failures: int
    """Requests that failed since the latest answer with a status."""
    refusals: int
    """Answers that refused this message id."""
    told_by_webhook: str | None
    """The final status that a webhook claimed and no poll has confirmed yet."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Everything known about one message id."""

    __pydantic_config__ = KEYS

    message_id: str
    """The requested id."""
    messages: tuple[MessageView, ...]
    """One for each account that tracks it; empty when none does, or when its retention is over."""
    retention_seconds: float
    """How long finished messages are kept."""
    requests: tuple[RequestView, ...]
    """The remembered requests about it, oldest first."""
    requests_since_timestamp_seconds: float
    """Since when every request is remembered."""
    failures_since_timestamp_seconds: float
    """Since when every failed request is remembered."""


def view_request(account: str, request: Request, campaigns: Mapping[int, CampaignName]) -> RequestView:
    """The view of a request of `account`."""
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


class _Query(NamedTuple):
    message_id: str
    found: asyncio.Future[list[Message]]


@dataclass(eq=False)
class Lookups:
    """All methods belong to the event loop."""

    tracker: Tracker
    store: Store
    clock: Clock

    def __post_init__(self) -> None:
        self._queue: asyncio.Queue[_Query] = asyncio.Queue(MAX_WAITING)

    async def run(self) -> None:
        """Answer lookups until cancelled."""
        while True:
            query = await self._queue.get()
            if query.found.done():
                continue  # the client has disconnected
            account_ids = [account.id for account in self.tracker.accounts.values()]
            found = await self.tracker.run(self.store.find, account_ids, [query.message_id])
            if not query.found.done():
                query.found.set_result(found.get(query.message_id, []))

    async def look_up(self, message_id: str) -> Lookup | None:
        """Everything known about an id that `message_ids` allows; None when the store can't be read now."""
        found: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Query(message_id, found))
            async with asyncio.timeout(WAIT_SECONDS):
                messages = await found
        except (asyncio.QueueFull, TimeoutError):
            return None
        return self._view_lookup(message_id, messages)

    def _view_lookup(self, message_id: str, messages: Sequence[Message]) -> Lookup:
        accounts, names = self.tracker.accounts.values(), self.tracker.state.campaigns
        requests = [
            view_request(account.name, request, names)
            for account in accounts
            for request in account.history.find_by_message(message_id)
        ]
        now = self.clock.now()
        return Lookup(
            message_id=message_id,
            messages=tuple(self._view_message(message) for message in messages),
            retention_seconds=self.tracker.settings.storage.retention / SECOND_US,
            requests=tuple(sorted(requests, key=lambda request: request.timestamp_seconds)),
            requests_since_timestamp_seconds=max((a.history.since for a in accounts), default=now)
            / SECOND_US,
            failures_since_timestamp_seconds=max((a.history.failures_since for a in accounts), default=now)
            / SECOND_US,
        )

    def _view_message(self, message: Message) -> MessageView:
        name = self.tracker.state.campaigns[message.campaign_id]
        deadline_us = self.tracker.settings.policy_for(name.campaign).deadline_us
        # Due times are on a clock of their own.
        due_at = message.due_at - self.tracker.queue_clock.now() + self.clock.now()
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
            last_asked_timestamp_seconds=_to_seconds(message.polled_at),
            next_look_timestamp_seconds=due_at / SECOND_US if message.unsettled else None,
            finished_timestamp_seconds=_to_seconds(message.finished_at),
            polls=message.polls,
            failures=message.failures,
            refusals=message.refusals,
            told_by_webhook=message.claimed_status.word if message.claim_state is ClaimState.OPEN else None,
        )


def _to_seconds(at: int) -> float | None:
    """Unix seconds; None for 0, which stands for never."""
    return at / SECOND_US if at else None
