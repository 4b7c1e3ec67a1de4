"""What the simulated provider's messages come to, to compare an exporter's counters with.

Computed from the messages themselves, by none of the exporter's code. Money is exact.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator

from exporter.domain.model import Status
from exporter.simulator.book import Book
from exporter.simulator.fate import Fate

ACCOUNT_CURRENCY = "UAH"
"""Of an amount without a currency of its own, where an account names none."""
Totals = Counter[tuple[str, ...]]
"""By campaign, what is counted, and its labels.

- `messages`, status: all messages, by current status
- `finished`, status; `parts`; `fallbacks`, type, status; `channels`, channel, status;
  `cost_nanos`, currency of the bill: of those that have ended
"""
_BATCH = 1000


async def sum_totals(sent: Book, *, among: Collection[str] | None = None) -> Totals:
    """Return the totals as of the moment of the call, over all messages or the ended ones `among` these ids.

    A million messages take seconds, so the event loop gets its turns in between.
    """
    now = sent.clock.now()
    totals: Totals = Counter()
    for index in range(len(sent)):
        if index % _BATCH == _BATCH - 1:
            await asyncio.sleep(0)
        if among is not None and sent.ids.write(index) not in among:
            continue
        fate = sent.fate(index)
        # One that ends while this is under way has ended after its moment.
        if among is None or now >= fate.final_at:
            for key, value in _contributions_of(fate, now):
                totals[sent.campaign(index), *key] += value
    return totals


def _contributions_of(fate: Fate, now: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """What one message adds to the totals of its campaign, as it stands at `now`."""
    word = fate.status(now).word
    yield ("messages", word), 1
    if now < fate.final_at:
        return
    yield ("finished", word), 1
    yield ("parts",), fate.parts
    for fallback in fate.fallbacks(now):
        yield ("fallbacks", *fallback), 1
    for channel in fate.channels(now):
        yield ("channels", *channel), 1
    if fate.final is Status.DELIVERED:
        yield ("cost_nanos", fate.tariff.bill_currency or ACCOUNT_CURRENCY), fate.bill_nanos()


def select(totals: Totals, what: str) -> Totals:
    """Return what is counted under `what`, by campaign and labels."""
    return Counter({(campaign, *labels): n for (campaign, one, *labels), n in totals.items() if one == what})
