"""Faults on demand: what was ordered, for how long, and which requests it hits.

They last in real time and hit status requests only, so that the control paths
can always clear them.
"""

import random
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from exporter.domain.model import SECOND_US

MAX_DURATION_SECONDS = 86_400


class FaultKind(StrEnum):
    """What can go wrong with one status request."""

    STATUS = "status"
    """Any HTTP status instead of the answer."""
    DELAY = "delay"
    """The right answer, late."""
    HANG = "hang"
    """No answer; the connection stays open."""
    RESET = "reset"
    """The connection is reset (RST) instead of an answer."""
    GARBAGE = "garbage"
    """200 with broken JSON."""
    HTML = "html"
    """200 with a page for people."""
    UNKNOWN_STATUS = "unknown_status"
    """A status word that the documentation doesn't know."""
    BAD_COST = "bad_cost"
    """A cost that is no number."""
    REVOKE_KEY = "revoke_key"
    """401 for every key."""
    DROP_ALL = "drop-all"
    """The connection is closed without a byte."""


class FaultOrder(NamedTuple):
    """One fault as ordered."""

    kind: FaultKind
    code: int = HTTPStatus.INTERNAL_SERVER_ERROR
    """For `status`."""
    delay_us: int = 0
    """For `delay`."""
    share: float = 1.0
    """The part of the requests that it hits."""
    duration_us: int | None = None
    """None: until cleared."""


_KEYS = {"kind", "code", "delay_seconds", "share", "seconds"}
_LIMITS = {
    "code": (200, 599),
    "delay_seconds": (0, MAX_DURATION_SECONDS),
    "share": (0, 1),
    "seconds": (0, MAX_DURATION_SECONDS),
}


def read_order(order: Mapping[str, Any]) -> FaultOrder | str:
    """Return the fault that the JSON object `order` describes, or what is wrong with it."""
    unknown = order.keys() - _KEYS
    if unknown:
        return f"unknown key {min(unknown)!r}; known are {', '.join(sorted(_KEYS))}"
    try:
        kind = FaultKind(order.get("kind", ""))
    except ValueError:
        return f"kind must be one of {', '.join(FaultKind)}"
    for key, (least, most) in _LIMITS.items():
        value = order.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            return f"{key} must be a number from {least} to {most}"
    if kind is FaultKind.DELAY and "delay_seconds" not in order:
        return "a delay needs delay_seconds"
    return FaultOrder(
        kind,
        int(order.get("code", HTTPStatus.INTERNAL_SERVER_ERROR)),
        int(order.get("delay_seconds", 0) * SECOND_US),
        float(order.get("share", 1.0)),
        int(order["seconds"] * SECOND_US) if "seconds" in order else None,
    )


class FaultBoard:
    """The faults in force."""

    def __init__(self, seed: int) -> None:
        """Start without faults; `seed` decides which requests a share hits."""
        self._random = random.Random(seed)  # noqa: S311 - made-up faults need a seed, not secrecy
        self._orders: list[tuple[FaultOrder, int | None]] = []

    def add(self, order: FaultOrder, now_us: int) -> None:
        """Put `order` in force from `now_us` on, beside those before it."""
        until_us = None if order.duration_us is None else now_us + order.duration_us
        self._orders.append((order, until_us))

    def clear(self) -> None:
        """End all faults."""
        self._orders.clear()

    def pick_fault(self, now_us: int, standing: FaultOrder | None = None) -> FaultOrder | None:
        """Return the fault that hits a request arriving at `now_us`, the earliest ordered first; or None.

        `standing` is one that comes after all that were ordered.
        """
        self._orders = [(order, until) for order, until in self._orders if until is None or now_us < until]
        orders = [order for order, _ in self._orders]
        for order in orders if standing is None else (*orders, standing):
            if order.share >= 1 or self._random.random() < order.share:
                return order
        return None
