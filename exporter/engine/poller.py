"""Polls due messages: an account has as many workers as it may have requests in flight.

One worker at a time has the turn: it waits for the store, for the limiter and
for a due message. It chooses the message last, so that it sends what matters
most at that moment. Some workers only take messages of high priority, so that
slow answers about a campaign can't fill all slots.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from exporter.domain.events import Observed, PollFailed
from exporter.domain.limiter import USABLE, AccountLimiter, CircuitState
from exporter.domain.model import SECOND_US, Message, Outcome, Priority, Reply
from exporter.engine.accounts import AccountState
from exporter.engine.poll_queue import Turns
from exporter.engine.request_history import InFlightRequest, Request
from exporter.engine.tracker import Tracker
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import Code, find_error_code

_log = logging.getLogger("smsbat.poller")

IDLE_US = 60 * SECOND_US
"""How long to wait for a due message before checking again anyway."""
AHEAD_SECONDS = 0.1
"""How many seconds' worth of messages is read from the store in advance, for each priority."""
AHEAD_ROWS = 128
MAX_UNKNOWN_WORDS = 20
_ACCOUNT_OUTCOMES = frozenset({Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED})
"""Outcomes that are about the account, not about the message: no attempt is counted."""


class Fetch(Protocol):
    """The part of `client.Client` that the poller needs."""

    def __call__(self, message_id: str) -> Awaitable[Reply]:
        """Poll one message; raises nothing, except when cancelled."""
        ...


@dataclass(eq=False)
class Poller:
    """Polls the messages of one account."""

    account: AccountState
    fetch: Fetch
    tracker: Tracker
    clock: Clock
    instruments: Instruments
    max_in_flight: int

    def __post_init__(self) -> None:
        self._reserved = (self.max_in_flight + 4) // 5 if self.max_in_flight > 1 else 0
        self._turn = asyncio.Lock()
        self._turns = Turns()
        self._ahead: dict[Priority, deque[Message]] = {p: deque() for p in Priority}
        self._reading = {p: asyncio.Lock() for p in Priority}
        self._ordinary_in_flight = 0
        self._retried: set[int] = set()

    async def run(self) -> None:
        """Poll until cancelled; messages that were claimed but not polled go back to the queue."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self.max_in_flight):
                    workers.create_task(self._work(workers))
        finally:
            for ahead in self._ahead.values():
                for message in ahead:
                    self.account.queue.finish(message, None, planned=False)
                ahead.clear()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            async with self._turn:
                message = await self._take_next(tasks)
                sent_at = self.clock.monotonic()
                self.account.limiter.record_sent(sent_at)
            ordinary = message.priority is not Priority.HIGH
            self._ordinary_in_flight += ordinary
            lag_us = self.account.queue.now() - message.due_at
            self.instruments.set_poll_lag(self.account.name, message.priority, lag_us / SECOND_US)
            try:
                reply = await self.fetch(message.message_id)
            except BaseException:
                self._put_back(message)
                raise
            finally:
                self._ordinary_in_flight -= ordinary
                if ordinary and self._ordinary_in_flight == self.max_in_flight - self._reserved - 1:
                    self.account.wakeup.set()
            self._process_reply(message, reply, sent_at)

    # --- before a request ------------------------------------------------------------------------

    async def _take_next(self, tasks: asyncio.TaskGroup) -> Message:
        """Take the message to poll now, once the store, the limiter and the queue allow one."""
        account = self.account
        while True:
            await self.tracker.wait_until_writable()
            wait_us = account.get_wait_us(self.clock.monotonic())
            if wait_us:
                # A changed key ends the wait early; after any other wakeup it goes on.
                account.wakeup.clear()
                await self.clock.wait(account.wakeup, wait_us)
                continue
            classes = (Priority.HIGH,) if self._is_ordinary_full() else tuple(Priority)
            unread = [p for p in classes if not self._ahead[p] and account.queue.is_due(p)]
            if unread:
                for priority in unread:
                    await self._read_ahead(priority)
                # A cancellation waits for the store (see `store.thread`). Here it ends this worker at once:
                # a task group that stops takes no more tasks.
                await self.clock.sleep(0)
                # Meanwhile the request for an unverified id may have used the token (see `unverified_ids`).
                continue
            waiting = [p for p in classes if self._ahead[p]]
            if not waiting:
                await self._wait_for_due(classes)
                continue
            priority = self._turns.choose(waiting)
            ahead = self._ahead[priority]
            message = ahead.popleft()
            if len(ahead) < self._read_ahead_limit // 2 and not self._reading[priority].locked():
                tasks.create_task(self._read_ahead(priority))
            return message

    @property
    def _read_ahead_limit(self) -> int:
        """How many messages of a priority to read in advance: more where reading would limit the rate."""
        return max(1, min(AHEAD_ROWS, int(self.account.limiter.rate * AHEAD_SECONDS)))

    async def _read_ahead(self, priority: Priority) -> None:
        """Claim the next due messages of a priority."""
        async with self._reading[priority]:
            limit = self._read_ahead_limit - len(self._ahead[priority])
            if limit > 0 and self.account.queue.is_due(priority):
                self._ahead[priority] += await self.tracker.claim(self.account, priority, limit)
                # Until now they were neither due nor read: a worker may have found nothing and gone to sleep.
                self.account.wakeup.set()

    def _is_ordinary_full(self) -> bool:
        return self._ordinary_in_flight >= self.max_in_flight - self._reserved

    async def _wait_for_due(self, classes: Iterable[Priority]) -> None:
        """Wait until one of these priorities has a due message, or a slot becomes free."""
        account = self.account
        account.wakeup.clear()
        await self.clock.wait(account.wakeup, min(account.queue.find_next_wait_us(classes), IDLE_US))

    def _put_back(self, message: Message) -> None:
        """Leave a message that was requested due as it is, but never within the provider's second."""
        self.account.queue.finish(message, self.account.queue.now(), planned=False)

    # --- after a request -------------------------------------------------------------------------

    def _process_reply(self, message: Message, reply: Reply, sent_at: int) -> None:
        """Pass the outcome of a request to the limiter, the metrics and the tracker."""
        account, limiter = self.account, self.account.limiter
        now = self.clock.monotonic()
        if reply.reused_connection_lost and message.row not in self._retried:
            # The peer closed an idle connection at that moment: not a failure, if it happens once.
            self._retried.add(message.row)
            self._put_back(message)
            return
        self._retried.discard(message.row)
        request = InFlightRequest(message.row, message.message_id, message.campaign_id, sent_at)
        record_reply(account, request, reply, self.clock, self.instruments)
        uptime_us = limiter.get_uptime_us(now)
        if reply.answer is None and reply.outcome in _ACCOUNT_OUTCOMES:
            self._put_back(message)
            return
        event: Observed | PollFailed
        if reply.answer is not None:
            event = Observed(message.row, self.clock.now(), uptime_us, reply.answer)
        else:
            event = PollFailed(message.row, self.clock.now(), uptime_us, reply.outcome)
        self.tracker.report(event, partial(account.queue.finish, message, account.queue.now(), planned=True))


def record_reply(
    account: AccountState, request: InFlightRequest, reply: Reply, clock: Clock, instruments: Instruments
) -> None:
    """Pass the outcome of a request to the limiter, the metrics and the request history."""
    instruments.count_request(account.name, reply.outcome, reply.duration_us / SECOND_US)
    status = reply.answer.status if reply.answer is not None else None
    account.history.record(
        Request(
            clock.now(),
            request.message_id,
            request.campaign_id,
            reply.outcome,
            status,
            reply.duration_us,
            reply.detail,
        )
    )
    limiter, now = account.limiter, clock.monotonic()
    if limiter.record_outcome(now, request.sent_at, request.row, reply.outcome, reply.retry_after_us):
        _log_circuit_change(account.name, limiter, reply)
        # The workers need not wait for the next probe any more.
        account.wakeup.set()
    instruments.set_api_up(account.name, up=reply.outcome in USABLE)
    if reply.answer is not None:
        instruments.set_api_last_success(account.name, clock.now() / SECOND_US)
        instruments.count_answer_faults(account.name, reply.answer)
        _log_unknown_word(account, reply.answer.unknown_word)


def _log_unknown_word(account: AccountState, word: str) -> None:
    """Log the first unknown words for a status, each once; more of them would only fill the log."""
    known = account.unknown_words
    if word and word not in known and len(known) < MAX_UNKNOWN_WORDS:
        known.add(word)
        fields = {"account": account.name, "word": word}
        message = "The provider uses a status that this version does not know; it is counted as other"
        _log.warning(message, extra={"event": "unknown_status", "fields": fields})


def _log_circuit_change(account: str, limiter: AccountLimiter, reply: Reply) -> None:
    """Log one line for each change of the circuit, none for each try."""
    fields = {"account": account, "outcome": reply.outcome.value, "detail": reply.detail}
    code = find_error_code(reply.outcome, reply.detail)
    if code is not None:
        fields["code"] = code
    match limiter.circuit:
        case CircuitState.CLOSED:
            _log.info("The provider answers again", extra={"event": "account_flowing", "fields": fields})
        case CircuitState.OPEN:
            message = "The provider fails: polling stopped, except a probe every 30 s until it answers"
            _log.error(message, extra={"event": "account_outage", "fields": fields})
        case CircuitState.UNAUTHORIZED:
            message = "The provider refuses the key: polling stopped, except a probe a minute or on a new key"
            if code is Code.CONFIG_KEY_FILE:
                message = "The key file has no usable key: nothing is sent until it has one"
            _log.error(message, extra={"event": "account_revoked", "fields": fields})
