"""Waiting for what must come to pass: by looking again and again, never by a guess of how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

HANG_SECONDS = 600.0
"""Only so that what hangs is told of some day: no verdict depends on how long something takes."""
LOOK_EVERY_SECONDS = 0.02


def until(condition: Callable[[], _T], what: object, *, every_seconds: float = LOOK_EVERY_SECONDS) -> _T:
    """The first true value of `condition`; AssertionError with `what`, as it is then, when none comes."""
    give_up_at = time.monotonic() + HANG_SECONDS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < give_up_at, f"never came: {what}"
        time.sleep(every_seconds)
