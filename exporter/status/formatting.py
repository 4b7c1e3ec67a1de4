"""Times and counts as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(seconds: float) -> str:
    """A duration, as exactly as matters: `2.5 s`, `3 min 21 s`, `26 min`, `2 h 10 min`, `3 d 4 h`."""
    tenths = round(seconds, 1)
    if 0 < tenths < 10 and tenths % 1:  # noqa: PLR2004 - more digits would be noise
        return f"{tenths} s"
    left = max(0, round(seconds))
    for number, (size, unit) in enumerate(_UNITS):
        if left >= size:
            count, rest = divmod(left, size)
            smaller, smaller_unit = _UNITS[min(number + 1, len(_UNITS) - 1)]
            exact = count < 10 and rest >= smaller and size > 1  # noqa: PLR2004 - as above
            more = f" {rest // smaller} {smaller_unit}" if exact else ""
            return f"{count} {unit}{more}"
    return "0 s"


def ago(seconds: float) -> str:
    """How long ago something was, in whole seconds."""
    return f"{span(round(seconds))} ago" if round(seconds) > 0 else "just now"


def iso(timestamp_seconds: float) -> str:
    """An instant in RFC 3339, to the second."""
    return _moment(timestamp_seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_and_time(timestamp_seconds: float) -> str:
    """An instant for people."""
    return _moment(timestamp_seconds).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(timestamp_seconds: float) -> str:
    """The hour and minute of an instant, for when the day is clear."""
    return _moment(timestamp_seconds).strftime("%H:%M")


def _moment(timestamp_seconds: float) -> datetime:
    """UTC; an instant beyond the calendar is its end."""
    try:
        return _EPOCH + timedelta(seconds=timestamp_seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def number(count: float) -> str:
    """A count, in groups of three digits."""
    return f"{count:,.0f}"


def counted(count: int, one: str, many: str = "") -> str:
    """A count and what it is of."""
    return f"{number(count)} {one if count == 1 else many or f'{one}s'}"


def share(ratio: float) -> str:
    """A ratio in per cent; 100 % only when it is all, 0 % only when it is none."""
    percent = ratio * 100
    if 0 < percent < 0.1 or 99.9 < percent < 100:  # noqa: PLR2004 - rounds to what it is not
        return "< 0.1 %" if percent < 1 else "> 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def listed(texts: list[str], most: int = 5) -> str:
    """A list in a sentence, cut where it gets long."""
    shown = texts[:most]
    if len(texts) > most:
        return f"{', '.join(shown)} and {len(texts) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
