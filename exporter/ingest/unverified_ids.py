"""Ids that are known only from a webhook, while webhooks aren't trusted: polled before they are tracked.

A client that knows the token could make up ids. So they wait here, in memory and
bounded, are polled with at most a tenth of the account's rate, and only those
that the provider knows are tracked. A crash loses those that wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from exporter.domain.events import Observed
from exporter.domain.limiter import BURST_US, USABLE
from exporter.domain.model import SECOND_US, Answer, NewMessage, Reply, Source
from exporter.domain.token_bucket import TokenBucket
from exporter.engine.accounts import AccountState
from exporter.engine.poller import Fetch, record_reply
from exporter.engine.request_history import InFlightRequest
from exporter.engine.tracker import Tracker
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import Store

MAX_WAITING = 10_000
RATE_SHARE = 0.1
"""Of the account's rate."""
TRIES = 3
"""Requests without a usable answer before an id is forgotten."""
NO_ROW = NO_CAMPAIGN = -1
HELD_US = SECOND_US // 10
"""How long to wait when the next id is held."""
ROOM_US = 5 * SECOND_US
"""How long to wait for room before trying to track again."""


class _UnverifiedId(NamedTuple):
    sent_at: int
    tries: int = 0


@dataclass(eq=False)
class UnverifiedIds:
    """The ids that wait for the provider's answer."""

    tracker: Tracker
    store: Store
    clock: Clock
    instruments: Instruments

    def __post_init__(self) -> None:
        self._waiting: dict[str, _UnverifiedId] = {}
        self._has_ids = asyncio.Event()

    def propose(self, message_id: str, sent_at: int) -> bool:
        """Let an id wait for its poll; False when there is no room for it."""
        if message_id in self._waiting:
            return True
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting[message_id] = _UnverifiedId(sent_at)
        self._has_ids.set()
        return True

    async def run(self, account: AccountState, fetch: Fetch) -> None:
        """Poll them at `account`, one at a time, until cancelled."""
        bucket = TokenBucket(account.limiter.rate * RATE_SHARE, self.clock.monotonic(), burst_us=BURST_US)
        while True:
            await self._has_ids.wait()
            await self.tracker.wait_until_writable()
            bucket.rate = account.limiter.rate * RATE_SHARE
            now = self.clock.monotonic()
            wait_us = max(account.get_wait_us(now), bucket.get_wait_us(now))
            if wait_us:
                await self.clock.sleep(wait_us)
                continue
            message_id = next(iter(self._waiting))
            if not account.queue.hold(message_id):
                # It was requested just now, for another webhook or as a tracked message.
                self._waiting[message_id] = self._waiting.pop(message_id)
                await self.clock.sleep(HELD_US)
                continue
            # Nothing else runs between the question and the taking, so no other request uses this turn.
            account.limiter.record_sent(now)
            bucket.take_token(now)
            await self._poll(account, fetch, message_id, now)

    async def _poll(self, account: AccountState, fetch: Fetch, message_id: str, now: int) -> None:
        ends_with_commit = False
        try:
            reply = await fetch(message_id)
            ends_with_commit = await self._process_reply(account, message_id, reply, now)
        finally:
            # Unless its answer waits for its commit: until then its message must not be polled.
            if not ends_with_commit:
                account.queue.release(message_id, account.queue.now())

    async def _process_reply(self, account: AccountState, message_id: str, reply: Reply, now: int) -> bool:
        """Do what follows from a reply; whether a commit will end the hold."""
        unverified_id = self._waiting[message_id]
        self._forget(message_id)
        request = InFlightRequest(NO_ROW, message_id, NO_CAMPAIGN, now)
        record_reply(account, request, reply, self.clock, self.instruments)
        if reply.answer is not None:
            while not await self._track(account, message_id, unverified_id):
                await self.clock.sleep(ROOM_US)
            return await self._report(account, message_id, reply.answer)
        if reply.outcome not in USABLE and unverified_id.tries + 1 < TRIES:
            self._waiting[message_id] = unverified_id._replace(tries=unverified_id.tries + 1)
            self._has_ids.set()
        return False

    def _forget(self, message_id: str) -> None:
        del self._waiting[message_id]
        if not self._waiting:
            self._has_ids.clear()

    async def _track(self, account: AccountState, message_id: str, unverified_id: _UnverifiedId) -> bool:
        """Track an id that the provider knows; False when there is no room now."""
        settings = self.tracker.settings.webhook
        if settings is None:
            return True
        new = NewMessage(message_id, settings.campaign, account.name, unverified_id.sent_at)
        try:
            return not (await self.tracker.track([new], Source.WEBHOOK)).blocked
        except StoreFull:
            return False

    async def _report(self, account: AccountState, message_id: str, answer: Answer) -> bool:
        """Report the answer; whether there is a message that it is about. Its commit ends the hold."""
        requested_at = account.queue.now()
        found = await self.tracker.run(self.store.find, [account.id], [message_id])
        uptime_us = account.limiter.get_uptime_us(self.clock.monotonic())
        for message in found.get(message_id, ()):
            self.tracker.report(
                Observed(message.row, self.clock.now(), uptime_us, answer),
                partial(account.queue.release, message_id, requested_at),
            )
        return bool(found)
