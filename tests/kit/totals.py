"""What the simulated provider's messages come to, to compare an exporter's counters with.

Computed from the messages themselves, by none of the exporter's code. Money is exact.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator

from exporter.domain.model import Status
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.timeline import Timeline

ACCOUNT_CURRENCY = "UAH"
"""Of an amount without a currency of its own, where an account names none."""
Totals = Counter[tuple[str, ...]]
"""By campaign, what is counted, and its labels.

- `messages`, status: all messages, by current status
- `finished`, status; `parts`; `fallbacks`, type, status; `channels`, channel, status;
  `cost_nanos`, currency of the bill: of those that have ended
"""
_BATCH = 1000


async def sum_totals(sent: SentMessages, *, among: Collection[str] | None = None) -> Totals:
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
        timeline = sent.timeline_of(index)
        # One that ends while this is under way has ended after its moment.
        if among is None or now >= timeline.final_at:
            for key, value in _contributions_of(timeline, now):
                totals[sent.campaign_of(index), *key] += value
    return totals


def _contributions_of(timeline: Timeline, now: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """What one message adds to the totals of its campaign, as it stands at `now`."""
    word = timeline.status_at(now).word
    yield ("messages", word), 1
    if now < timeline.final_at:
        return
    yield ("finished", word), 1
    yield ("parts",), timeline.parts
    for fallback in timeline.fallbacks_at(now):
        yield ("fallbacks", *fallback), 1
    for channel in timeline.channels_at(now):
        yield ("channels", *channel), 1
    if timeline.final is Status.DELIVERED:
        yield ("cost_nanos", timeline.tariff.bill_currency or ACCOUNT_CURRENCY), timeline.bill_nanos


def select(totals: Totals, what: str) -> Totals:
    """Return what is counted under `what`, by campaign and labels."""
    return Counter({(campaign, *labels): n for (campaign, one, *labels), n in totals.items() if one == what})
