"""A campaign's last day as a small chart: one bar per hour, and the same in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from exporter.status.formatting import format_number, format_share, format_time_of_day
from exporter.status.model import Hours

HOUR_SECONDS = 3_600
_STEP, _WIDTH = 6, 5
_ABOVE, _BELOW = 28.0, 15.0
_HEIGHT = _ABOVE + _BELOW + 1
_LEAST = 1.0
"""Height of the smallest count above 0."""


class Sparkline(NamedTuple):
    """What the SVG consists of; the paths are in the coordinates of `view_box`."""

    title: str
    view_box: str
    base: str
    delivered: str
    open: str
    """Messages that may still be delivered."""
    undelivered: str


class _Bar(NamedTuple):
    x: int
    y: float
    height: float


def draw_sparkline(hours: Hours) -> Sparkline:
    """The hours in order."""
    missing = [sent - delivered for sent, delivered in zip(hours.sent, hours.delivered, strict=True)]
    undelivered = missing[: hours.judged]
    above = max((*hours.delivered, *hours.sent[hours.judged :]))
    scale = min(_ABOVE / max(above, 1), _BELOW / max(*undelivered, 0, 1))
    delivered_bars, open_bars, undelivered_bars = [], [], []
    for index, delivered in enumerate(hours.delivered):
        x, top = index * _STEP, _ABOVE
        if delivered:
            top -= max(_LEAST, delivered * scale)
            delivered_bars.append(_Bar(x, top, _ABOVE - top))
        height = max(_LEAST, missing[index] * scale)
        if missing[index] > 0 and index < hours.judged:
            undelivered_bars.append(_Bar(x, _ABOVE + 1, height))
        elif missing[index] > 0:
            open_bars.append(_Bar(x, max(0.5, top - height), height))
    width = len(hours.sent) * _STEP
    return Sparkline(
        title=describe_hours(hours),
        view_box=f"0 0 {width} {_HEIGHT:g}",
        base=f"M0 {_ABOVE + 0.5:g}h{width}",
        delivered=_path(delivered_bars),
        open=_path(open_bars, inset=0.5),
        undelivered=_path(undelivered_bars),
    )


def _path(bars: Iterable[_Bar], inset: float = 0.0) -> str:
    """One path for all bars: a seventieth of the elements."""
    width = _WIDTH - 2 * inset
    return "".join(f"M{x + inset:g} {y:.1f}h{width:g}v{height:.1f}h-{width:g}z" for x, y, height in bars)


def describe_hours(hours: Hours) -> str:
    """What the chart shows, in words."""
    sent, delivered = sum(hours.sent), sum(hours.delivered)
    judged = list(zip(hours.sent, hours.delivered, range(hours.judged), strict=False))
    undelivered = sum(of - part for of, part, _ in judged)
    counts = (
        f"{format_number(sent)} sent, {format_number(delivered)} delivered, {format_number(undelivered)} not"
    )
    text = f"Last 24 hours: {counts}"
    if sent - delivered - undelivered:
        text += f", {format_number(sent - delivered - undelivered)} may still be"
    shares = [(part / of, of, index) for of, part, index in judged if of]
    if shares and undelivered:
        ratio, of, index = min(shares)
        began = format_time_of_day(hours.began_timestamp_seconds + index * HOUR_SECONDS)
        text += f". Worst hour: {began} UTC, {format_share(ratio)} of {format_number(of)} delivered"
    return f"{text}."
