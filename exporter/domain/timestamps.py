"""Reads times as others write them: programs that drop files, and the provider's webhooks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from exporter.domain.model import SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNIX_SECONDS = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,18}))?", re.ASCII)
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def parse_timestamp(text: str) -> int | None:
    """Parse RFC 3339 or Unix seconds, cut to microseconds; None for anything else.

    RFC 3339 needs an offset from UTC: without one, the time is not guessed.
    """
    seconds = _UNIX_SECONDS.fullmatch(text)
    if seconds is not None:
        return int(seconds[1]) * SECOND_US + int((seconds[2] or "").ljust(6, "0")[:6])
    text = text.upper()
    if _RFC_3339.fullmatch(text) is None:
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):  # 30 February, hour 25, an offset beyond the calendar
        return None
