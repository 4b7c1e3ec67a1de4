"""Asks the provider about what is due: as many workers as the account may have requests in flight.

One worker at a time waits for its turn: for room in the store, for the gate
and for something due. It chooses the message last, so that what is sent is
always what matters most at that moment. A part of the workers never takes
anything but high priority, so that slow answers about a campaign can't fill
all slots.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Protocol

from exporter.domain.events import Observed, PollFailed
from exporter.domain.limiter import USABLE, AccountLimiter, CircuitState
from exporter.domain.model import SECOND_US, Message, Outcome, Priority, Reply
from exporter.domain.schedule import CLOSEST_US
from exporter.engine.accounts import AccountState
from exporter.engine.agenda import Entry, Turns
from exporter.engine.request_history import InFlightRequest, Request
from exporter.engine.tracker import Tracker
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import Code, code_of

_log = logging.getLogger("smsbat.poller")

IDLE_US = 60 * SECOND_US
"""How long to wait for something to become due before looking again anyway."""
AHEAD_SECONDS = 0.1
"""How much of the rate is read from the store ahead of its turn, for each class."""
AHEAD_ROWS = 128
MAX_UNKNOWN_WORDS = 20
_NOT_ASKED = frozenset({Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED})
"""Outcomes that are about the account, not about the message: no attempt is counted."""


class Fetch(Protocol):
    """What the poller needs of `client.Client`."""

    def __call__(self, message_id: str) -> Awaitable[Reply]:
        """Ask about one message; never raises but when cancelled."""
        ...


@dataclass(eq=False)
class Poller:
    """The requests of one account."""

    account: AccountState
    fetch: Fetch
    tracker: Tracker
    clock: Clock
    instruments: Instruments
    max_in_flight: int

    def __post_init__(self) -> None:
        """Start with nothing taken and nothing in flight."""
        self._reserved = (self.max_in_flight + 4) // 5 if self.max_in_flight > 1 else 0
        self._turn = asyncio.Lock()
        self._turns = Turns()
        self._ahead: dict[Priority, deque[tuple[Entry, Message]]] = {p: deque() for p in Priority}
        self._reading = {p: asyncio.Lock() for p in Priority}
        self._claimed: set[int] = set()
        self._ordinary_in_flight = 0
        self._retried: set[int] = set()

    async def run(self) -> None:
        """Ask until cancelled; what was taken but not asked then goes back to the agenda."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self.max_in_flight):
                    workers.create_task(self._work(workers))
        finally:
            for ahead in self._ahead.values():
                for entry, _ in ahead:
                    self._put_back(entry)
                ahead.clear()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            async with self._turn:
                entry, message = await self._next(tasks)
                sent_at = self.clock.monotonic()
                self.account.limiter.sent(sent_at)
                self.account.mark_requested(message.row, sent_at)
            ordinary = entry.priority is not Priority.HIGH
            self._ordinary_in_flight += ordinary
            self.instruments.set_poll_lag(
                self.account.name, entry.priority, (sent_at - entry.due_at) / SECOND_US
            )
            try:
                reply = await self.fetch(message.message_id)
            except BaseException:
                self._put_back(entry)
                raise
            finally:
                self._claimed.discard(message.row)
                self._ordinary_in_flight -= ordinary
                if ordinary and self._ordinary_in_flight == self.max_in_flight - self._reserved - 1:
                    self.account.wakeup.set()
            self._learn(entry, message, reply, sent_at)

    # --- before a request ------------------------------------------------------------------------

    async def _next(self, tasks: asyncio.TaskGroup) -> tuple[Entry, Message]:
        """The message to ask about now, once the store, the gate and the agenda have one."""
        account = self.account
        while True:
            await self.tracker.wait_until_writable()
            now = self.clock.monotonic()
            wait_us = account.limiter.wait_us(now)
            if wait_us:
                # A changed key lifts a hold early; anything else that stirs only has to wait on.
                account.wakeup.clear()
                await self.clock.wait(account.wakeup, wait_us)
                continue
            account.agenda.advance(now)
            classes = (Priority.HIGH,) if self._ordinary_full() else tuple(Priority)
            waiting = [p for p in classes if self._ahead[p] or account.agenda.ready(p)]
            if not waiting:
                await self._wait_for_something_due(classes)
                continue
            priority = self._turns.choose(waiting)
            ahead = self._ahead[priority]
            if not ahead:
                await self._read_ahead(priority)
                # A stop waits for the store (see `store.thread`): here it ends this worker, and not only
                # at its next wait, since a group that stops takes no more tasks.
                await self.clock.sleep(0)
            # Meanwhile the request of an unverified id may have used the turn (see `unverified_ids`).
            if ahead and not account.limiter.wait_us(self.clock.monotonic()):
                taken = ahead.popleft()
                if len(ahead) < self._depth() // 2 and not self._reading[priority].locked():
                    tasks.create_task(self._read_ahead(priority))
                return taken

    def _depth(self) -> int:
        """How many messages of a class to have read: more where the store's answers would be waited for."""
        return max(1, min(AHEAD_ROWS, int(self.account.limiter.rate * AHEAD_SECONDS)))

    async def _read_ahead(self, priority: Priority) -> None:
        """Read the next due messages of a class from the store."""
        async with self._reading[priority]:
            entries = self._pop(priority, self._depth() - len(self._ahead[priority]))
            if not entries:
                return
            found: set[int] = set()
            try:
                for message in await self.tracker.claim(list(entries)):
                    entry = entries[message.row]
                    if message.unsettled and message.revision == entry.revision:
                        self._ahead[priority].append((entry, message))
                        found.add(message.row)
            finally:
                self._claimed.difference_update(entries.keys() - found)
            # Meanwhile they were neither due nor read: a worker may have gone to sleep over that.
            self.account.wakeup.set()

    def _pop(self, priority: Priority, count: int) -> dict[int, Entry]:
        """Take due entries from the agenda, by row."""
        entries: dict[int, Entry] = {}
        now = self.clock.monotonic()
        while len(entries) < count and (entry := self.account.agenda.pop(priority)) is not None:
            cooldown_until = self.account.cooldown_until(entry.row)
            if entry.row in self._claimed:
                # Superseded, or superseding the one in flight: that is known once that one is done.
                self._put_back(entry)
            elif cooldown_until > now:
                # A webhook brought it forward while a request was out that has only just ended.
                self.account.agenda.add(entry.priority, entry.row, entry.revision, cooldown_until)
            else:
                self._claimed.add(entry.row)
                entries[entry.row] = entry
        return entries

    def _ordinary_full(self) -> bool:
        return self._ordinary_in_flight >= self.max_in_flight - self._reserved

    async def _wait_for_something_due(self, classes: Iterable[Priority]) -> None:
        """Wait until one of these classes has something; a freed slot stirs the account too."""
        account = self.account
        account.wakeup.clear()
        due_at = account.agenda.next_due_at(classes)
        wait_us = IDLE_US if due_at is None else min(due_at - self.clock.monotonic(), IDLE_US)
        await self.clock.wait(account.wakeup, wait_us)

    def _put_back(self, entry: Entry) -> None:
        """Ask about it later after all, but never within the provider's second."""
        due_at = self.clock.monotonic() + CLOSEST_US
        self.account.agenda.add(entry.priority, entry.row, entry.revision, due_at)
        self.account.wakeup.set()

    # --- after a request -------------------------------------------------------------------------

    def _learn(self, entry: Entry, message: Message, reply: Reply, sent_at: int) -> None:
        """Tell the gate, the metrics and the tracker what a request brought."""
        account, gate = self.account, self.account.limiter
        now = self.clock.monotonic()
        if reply.reused_connection_lost and message.row not in self._retried:
            # The peer closed an idle connection just then: not a failure, if it happens once.
            self._retried.add(message.row)
            self._put_back(entry)
            return
        self._retried.discard(message.row)
        asked = InFlightRequest(message.row, message.message_id, message.campaign_id, sent_at)
        note(account, asked, reply, self.clock, self.instruments)
        uptime_us = gate.uptime_us(now)
        if reply.answer is not None:
            event = Observed(message.row, self.clock.now(), uptime_us, reply.answer)
            self.tracker.report(event)
        elif reply.outcome in _NOT_ASKED:
            self._put_back(entry)
        else:
            failed = PollFailed(message.row, self.clock.now(), uptime_us, reply.outcome)
            self.tracker.report(failed)


def note(
    account: AccountState, asked: InFlightRequest, reply: Reply, clock: Clock, instruments: Instruments
) -> None:
    """Tell the gate, the metrics and those who look what a request brought."""
    instruments.count_request(account.name, reply.outcome, reply.duration_us / SECOND_US)
    status = reply.answer.status if reply.answer is not None else None
    account.history.add(
        Request(
            clock.now(),
            asked.message_id,
            asked.campaign_id,
            reply.outcome,
            status,
            reply.duration_us,
            reply.detail,
        )
    )
    gate, now = account.limiter, clock.monotonic()
    if gate.ended(now, asked.sent_at, asked.row, reply.outcome, reply.retry_after_us):
        _say_flow(account.name, gate, reply)
        # Whoever waits for the next probe's turn need not any more.
        account.wakeup.set()
    instruments.set_api_up(account.name, up=reply.outcome in USABLE)
    if reply.answer is not None:
        instruments.set_api_last_success(account.name, clock.now() / SECOND_US)
        instruments.count_answer_faults(account.name, reply.answer)
        _say_word(account, reply.answer.unknown_word)


def _say_word(account: AccountState, word: str) -> None:
    """One line for each of the first words that we don't know; whoever invents more has been heard."""
    known = account.unknown_words
    if word and word not in known and len(known) < MAX_UNKNOWN_WORDS:
        known.add(word)
        fields = {"account": account.name, "word": word}
        message = "The provider uses a status that this version does not know; it counts as other"
        _log.warning(message, extra={"event": "unknown_status", "fields": fields})


def _say_flow(account: str, gate: AccountLimiter, reply: Reply) -> None:
    """One line for each change of what the account may do, none for each try."""
    fields = {"account": account, "outcome": reply.outcome.value, "detail": reply.detail}
    code = code_of(reply.outcome, reply.detail)
    if code is not None:
        fields["code"] = code
    match gate.flow:
        case CircuitState.CLOSED:
            _log.info("The provider answers again", extra={"event": "account_flowing", "fields": fields})
        case CircuitState.OPEN:
            message = "The provider fails; one probe every 30 s until it answers"
            _log.error(message, extra={"event": "account_outage", "fields": fields})
        case CircuitState.UNAUTHORIZED:
            message = "The provider refuses the key; one probe a minute, and one when the key file changes"
            if code is Code.CONFIG_KEY_FILE:
                message = "The key can't be used, so nothing is sent until its file holds one"
            _log.error(message, extra={"event": "account_revoked", "fields": fields})
