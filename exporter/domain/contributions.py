"""What an end is worth: the series that its duration, cost, parts and channels count in."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from exporter.domain.model import Answer, Via
from exporter.domain.snapshot import BUCKETS_US, Kind


class Count(NamedTuple):
    """One series of the message's campaign, and by how much it changes."""

    kind: Kind
    label1: str
    label2: str
    amount: int


def contributions_of(answer: Answer, currency: str) -> list[Count]:
    """What a final answer says of cost, parts and channels; `currency` holds where it names none."""
    counts = []
    if answer.cost_nanos:
        counts.append(Count(Kind.COST_NANOS, answer.currency or currency, "", answer.cost_nanos))
    if answer.parts:
        counts.append(Count(Kind.PARTS, "", "", answer.parts))
    counts += [Count(Kind.FALLBACKS, kind, word, 1) for kind, word in answer.fallbacks]
    counts += [Count(Kind.CHANNELS, channel, word, 1) for channel, word in answer.channels]
    return counts


def duration(duration_us: int, via: Via) -> list[Count]:
    """One delivery that took that long."""
    index = bisect_left(BUCKETS_US, duration_us)
    return [
        Count(Kind.DURATION_BUCKET, via.value, str(index), 1),
        Count(Kind.DURATION_SUM_US, via.value, "", duration_us),
    ]
