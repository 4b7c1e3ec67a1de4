"""The provider's own books: what every message came to, to compare an exporter's counters with.

Money is exact. An amount without a currency of its own is the account's and is
booked under `account`; a currency in which nothing was ever due is left out.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from exporter.domain.model import Status
from exporter.simulator.answer import decimal_text
from exporter.simulator.book import Book
from exporter.simulator.fate import Fate

ACCOUNT_CURRENCY = "account"
_BATCH = 1000


@dataclass(slots=True)
class CampaignTally:
    """The sums of one campaign. All but `messages` count ended messages only."""

    messages: Counter[str] = field(default_factory=Counter)
    """By current status."""
    finished: Counter[str] = field(default_factory=Counter)
    """By final status."""
    cost_nanos: Counter[str] = field(default_factory=Counter)
    """By currency of the bill."""
    parts: int = 0
    fallbacks: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (type, status)."""
    channels: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (channel, status)."""
    messages_fell_back: int = 0

    def add(self, fate: Fate, now: int) -> None:
        """Count one message as it stands at `now`."""
        word = fate.status(now).word
        self.messages[word] += 1
        if now < fate.final_at:
            return
        self.finished[word] += 1
        self.parts += fate.parts
        if fate.final is Status.DELIVERED:
            self.cost_nanos[fate.tariff.bill_currency or ACCOUNT_CURRENCY] += fate.bill_nanos()
        fallbacks = fate.fallbacks(now)
        self.fallbacks.update(fallbacks)
        self.channels.update(fate.channels(now))
        self.messages_fell_back += any(status != "not_used" for _, status in fallbacks)

    def as_json(self) -> dict[str, Any]:
        """Return the sums as JSON values: pairs become nested objects, money a decimal string and nanos."""
        return {
            "messages": dict(self.messages),
            "finished": dict(self.finished),
            "cost": {
                currency: {"amount": decimal_text(nanos), "nanos": nanos}
                for currency, nanos in self.cost_nanos.items()
            },
            "parts": self.parts,
            "fallbacks": _nested(self.fallbacks),
            "channels": _nested(self.channels),
            "messages_fell_back": self.messages_fell_back,
        }


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    outer: dict[str, dict[str, int]] = {}
    for (name, status), count in counts.items():
        outer.setdefault(name, {})[status] = count
    return outer


async def tally(book: Book, *, seen_only: bool = False) -> dict[str, CampaignTally]:
    """Return the sums of each campaign as of the moment of the call.

    `seen_only` leaves out messages whose end no answer has told yet. A million
    messages take seconds, so the event loop gets its turns in between.
    """
    now = book.clock.now()
    sums: dict[str, CampaignTally] = {}
    for index in range(len(book)):
        if index % _BATCH == _BATCH - 1:
            await asyncio.sleep(0)
        if seen_only and not book.final_seen(index):
            continue
        fate = book.fate(index)
        # An end told while this count is under way lies after its moment.
        if seen_only and now < fate.final_at:
            continue
        campaign = book.campaign(index)
        if campaign not in sums:
            sums[campaign] = CampaignTally()
        sums[campaign].add(fate, now)
    return sums
