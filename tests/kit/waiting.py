"""Waiting for what must come to pass: by looking again and again, never by a guess of how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

LOOK_EVERY_SECONDS = 0.02


def until(
    condition: Callable[[], _T],
    what: str,
    *,
    within_seconds: float,
    every_seconds: float = LOOK_EVERY_SECONDS,
) -> _T:
    """The first true value of `condition`; AssertionError with `what` when none comes in time."""
    deadline_seconds = time.monotonic() + within_seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline_seconds, f"not within {within_seconds:g} s: {what}"
        time.sleep(every_seconds)
