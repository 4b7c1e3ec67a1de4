"""The provider's webhooks: the status of each message, posted to a customer's URL, as badly as ordered.

An order lasts until the next one, in real time like every fault. Messages that
end from then on are reported; some late, twice, out of order or never.
"""

import asyncio
import heapq
import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import Any, NamedTuple

import aiohttp

from exporter.domain.model import SECOND_US, Status
from exporter.runtime.clock import Clock
from exporter.simulator.answers import format_decimal
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.timeline import NEVER_AT, Timeline

SENDERS = 16
"""Webhooks that are posted at the same time."""
TICK_US = SECOND_US // 50
READ_PER_TICK = 2_000
"""New messages whose timeline is read in one tick."""
MAX_PAUSE_SECONDS = 86_400
MAX_RETRIES = 1_000
TIMEOUT = aiohttp.ClientTimeout(total=10)


class WebhookOrder(NamedTuple):
    """How webhooks are sent."""

    url: str
    delay_us: int = 0
    """From the event to its webhook."""
    jitter_us: int = 0
    """Up to so much more, drawn for each webhook: they overtake one another."""
    loss_share: float = 0.0
    """Webhooks that are never sent."""
    repeat_share: float = 0.0
    """Webhooks that are sent twice."""
    progress: bool = False
    """Whether `processing` is reported too."""
    retries: int = 10
    """After an answer other than 2xx, or none."""
    retry_us: int = SECOND_US


_LIMITS = {
    "delay_seconds": MAX_PAUSE_SECONDS,
    "jitter_seconds": MAX_PAUSE_SECONDS,
    "loss_share": 1,
    "repeat_share": 1,
    "retries": MAX_RETRIES,
    "retry_seconds": MAX_PAUSE_SECONDS,
}


def read_webhook_order(order: Mapping[str, Any]) -> WebhookOrder | str:
    """Return the order that the JSON object `order` describes, or what is wrong with it."""
    unknown = order.keys() - _LIMITS.keys() - {"url", "progress"}
    if unknown:
        return f"unknown key {min(unknown)!r}"
    url = order.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return "url must be an http or https URL"
    if not isinstance(order.get("progress", False), bool):
        return "progress must be true or false"
    for key, most in _LIMITS.items():
        value = order.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            return f"{key} must be a number from 0 to {most}"
    given: dict[str, Any] = {
        key: order[key] for key in ("loss_share", "repeat_share", "progress") if key in order
    }
    for key in ("delay", "jitter", "retry"):
        if f"{key}_seconds" in order:
            given[f"{key}_us"] = int(order[f"{key}_seconds"] * SECOND_US)
    if "retries" in order:
        given["retries"] = int(order["retries"])
    return WebhookOrder(url, **given)


class _Webhook(NamedTuple):
    """One webhook that is not acknowledged yet."""

    due_us: int
    """By the wire clock."""
    number: int
    """Decides between equal times."""
    body: bytes
    tries: int


class WebhookSender:
    """Sends what is ordered."""

    def __init__(self, sent: SentMessages, wire_clock: Clock, seed: int) -> None:
        """Report on `sent`; `wire_clock` is real time, `seed` decides what is lost or sent twice."""
        self._sent = sent
        self._wire_clock = wire_clock
        self._random = random.Random(seed)  # noqa: S311 - made-up faults need a seed, not secrecy
        self._order: WebhookOrder | None = None
        self._ordered = asyncio.Event()
        self._read = 0
        self._since_at = 0
        self._events: list[tuple[int, int, Status]] = []
        """(instant, message, status) of what is to come, the next one first; by the clock of messages."""
        self._webhooks: list[_Webhook] = []
        self._numbers = count()
        self.counts: Counter[str] = Counter()
        """`events`, of them `lost` and `repeated`; webhooks `acknowledged`, `refused`, `given_up`."""

    @property
    def waiting(self) -> int:
        """Webhooks of past events that are neither acknowledged, lost nor given up."""
        counts = self.counts
        sent = counts["events"] - counts["lost"] + counts["repeated"]
        return sent - counts["acknowledged"] - counts["given_up"]

    def order(self, order: WebhookOrder | None) -> None:
        """Send like this from now on, about whatever ends from now on; None sends nothing new."""
        self._order = order
        self._events.clear()
        self._read, self._since_at = 0, self._sent.clock.now()
        if order is not None:
            self._ordered.set()

    async def run(self) -> None:
        """Send until cancelled."""
        # Idle until the first order.
        await self._ordered.wait()
        due: asyncio.Queue[_Webhook] = asyncio.Queue()
        connector = aiohttp.TCPConnector(limit=SENDERS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session,
            asyncio.TaskGroup() as senders,
        ):
            for _ in range(SENDERS):
                senders.create_task(self._send_forever(session, due))
            while True:
                if self._order is not None:
                    self._read_timelines(self._order)
                    self._plan_webhooks(self._order)
                now_us = self._wire_clock.monotonic()
                while self._webhooks and self._webhooks[0].due_us <= now_us:
                    due.put_nowait(heapq.heappop(self._webhooks))
                await self._wire_clock.sleep(TICK_US)

    def _read_timelines(self, order: WebhookOrder) -> None:
        """Note the coming events of messages that were sent since the last tick."""
        end = min(len(self._sent), self._read + READ_PER_TICK)
        for index in range(self._read, end):
            timeline = self._sent.timeline_of(index)
            for status in (Status.PROCESSING, timeline.final) if order.progress else (timeline.final,):
                at = _find_instant(timeline, status)
                if self._since_at < at < NEVER_AT:
                    heapq.heappush(self._events, (at, index, status))
        self._read = end

    def _plan_webhooks(self, order: WebhookOrder) -> None:
        """Plan the webhooks of events that have happened."""
        now = self._sent.clock.now()
        while self._events and self._events[0][0] <= now:
            _, index, status = heapq.heappop(self._events)
            timeline = self._sent.timeline_of(index)
            status = status if status is Status.PROCESSING else timeline.final
            at = _find_instant(timeline, status)
            if now < at < NEVER_AT:
                # A scenario that has begun meanwhile postponed it.
                heapq.heappush(self._events, (at, index, status))
            elif at <= now:
                self._plan(order, _write_body(self._sent.ids.write(index), status, at, timeline))

    def _plan(self, order: WebhookOrder, body: bytes) -> None:
        self.counts["events"] += 1
        if self._random.random() < order.loss_share:
            self.counts["lost"] += 1
            return
        self._schedule(order, body)
        if self._random.random() < order.repeat_share:
            self.counts["repeated"] += 1
            self._schedule(order, body)

    def _schedule(self, order: WebhookOrder, body: bytes) -> None:
        late_us = order.delay_us + int(self._random.random() * order.jitter_us)
        due_us = self._wire_clock.monotonic() + late_us
        heapq.heappush(self._webhooks, _Webhook(due_us, next(self._numbers), body, 0))

    async def _send_forever(self, session: aiohttp.ClientSession, due: asyncio.Queue[_Webhook]) -> None:
        while True:
            webhook = await due.get()
            order = self._order
            if order is None or not await self._send(session, order.url, webhook.body):
                self._retry(order, webhook)

    async def _send(self, session: aiohttp.ClientSession, url: str, body: bytes) -> bool:
        """Post one webhook; return whether it was acknowledged."""
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(url, data=body, headers=headers) as response:
                acknowledged = response.status in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)
        except (aiohttp.ClientError, TimeoutError):
            acknowledged = False
        self.counts["acknowledged" if acknowledged else "refused"] += 1
        return acknowledged

    def _retry(self, order: WebhookOrder | None, webhook: _Webhook) -> None:
        if order is None or webhook.tries >= order.retries:
            self.counts["given_up"] += 1
            return
        due_us = self._wire_clock.monotonic() + order.retry_us
        heapq.heappush(self._webhooks, webhook._replace(due_us=due_us, tries=webhook.tries + 1))


def _find_instant(timeline: Timeline, status: Status) -> int:
    return timeline.processing_at if status is Status.PROCESSING else timeline.final_at


def _write_body(message_id: str, status: Status, at: int, timeline: Timeline) -> bytes:
    """Return a webhook as the documentation shows it; only a final status has a cost."""
    moment = datetime.fromtimestamp(at // SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = json.dumps({"messageId": message_id, "deliverystatus": status.word, "timestamp": moment})
    if status is Status.PROCESSING:
        return text.encode()
    return f'{text[:-1]}, "cost": {format_decimal(timeline.rate_amount_nanos)}}}'.encode()
