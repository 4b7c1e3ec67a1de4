"""Times, counts and ratios in the form that people read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_duration(seconds: float) -> str:
    """A duration in one or two units: `2.5 s`, `3 min 21 s`, `26 min`, `2 h 10 min`, `3 d 4 h`."""
    tenths = round(seconds, 1)
    if 0 < tenths < 10 and tenths % 1:  # noqa: PLR2004 - more digits would be noise
        return f"{tenths} s"
    left = max(0, round(seconds))
    for index, (size, unit) in enumerate(_UNITS):
        if left >= size:
            count, rest = divmod(left, size)
            smaller, smaller_unit = _UNITS[min(index + 1, len(_UNITS) - 1)]
            exact = count < 10 and rest >= smaller and size > 1  # noqa: PLR2004 - as above
            more = f" {rest // smaller} {smaller_unit}" if exact else ""
            return f"{count} {unit}{more}"
    return "0 s"


def format_latency(seconds: float) -> str:
    """How long a request took."""
    return format_duration(seconds) if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def format_age(seconds: float) -> str:
    """How long ago something was, in whole seconds."""
    return f"{format_duration(round(seconds))} ago" if round(seconds) > 0 else "just now"


def format_iso(timestamp_seconds: float) -> str:
    """A time in RFC 3339, to the second."""
    return _to_datetime(timestamp_seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_date_time(timestamp_seconds: float) -> str:
    """A date and time for people."""
    return _to_datetime(timestamp_seconds).strftime("%Y-%m-%d %H:%M:%S")


def format_time_of_day(timestamp_seconds: float) -> str:
    """The hour and minute, where the day is clear."""
    return _to_datetime(timestamp_seconds).strftime("%H:%M")


def _to_datetime(timestamp_seconds: float) -> datetime:
    """The time in UTC; a time beyond the calendar becomes its end."""
    try:
        return _EPOCH + timedelta(seconds=timestamp_seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def format_number(count: float) -> str:
    """A count, in groups of three digits."""
    return f"{count:,.0f}"


def format_count(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{format_number(count)} {one if count == 1 else many or f'{one}s'}"


def format_amount(amount: float) -> str:
    """Money, without its currency."""
    return f"{amount:,.2f}"


def format_share(ratio: float) -> str:
    """A ratio in percent; 100 % only for exactly 1, 0 % only for exactly 0."""
    percent = ratio * 100
    if 0 < percent < 0.1 or 99.9 < percent < 100:  # noqa: PLR2004 - would round to 0 % or 100 %
        return "< 0.1 %" if percent < 1 else "> 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def format_list(texts: list[str], most: int = 5) -> str:
    """A list in a sentence, with at most `most` items."""
    shown = texts[:most]
    if len(texts) > most:
        return f"{', '.join(shown)} and {len(texts) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
