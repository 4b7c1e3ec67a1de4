"""The states of a message, as data: no other module knows which there are, or which may follow which.

A message has a status, which moves by `MOVES`, and a claim: the final status that an
untrusted webhook reported, which moves by `CLAIM_MOVES`. What follows from a move, and
what is counted for it, is decided in `lifecycle`.

A new status is one row of `Status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Self


class Phase(Enum):
    """What statuses have in common."""

    NEW = "new"
    """Tracked, and nothing is known yet."""
    UNDER_WAY = "under way"
    FINAL = "final"
    """The provider's last word."""
    GIVEN_UP = "given up"
    """We stopped asking."""


PHASE_MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.UNDER_WAY, Phase.FINAL, Phase.GIVEN_UP}),
    Phase.UNDER_WAY: frozenset({Phase.UNDER_WAY, Phase.FINAL, Phase.GIVEN_UP}),
    Phase.FINAL: frozenset(),
    Phase.GIVEN_UP: frozenset({Phase.FINAL}),
}
"""Which phase may follow which."""


class Status(IntEnum):
    """One row for each: the stored number, which never changes, the phase, and the order under way.

    A status under way is followed by those of a higher order; those without an order come at any time.
    """

    phase: Phase
    order: int | None

    NEW = 0, Phase.NEW
    SCHEDULED = 1, Phase.UNDER_WAY, 1
    PROCESSING = 2, Phase.UNDER_WAY, 2
    DELIVERED = 3, Phase.FINAL
    UNDELIVERABLE = 4, Phase.FINAL
    PERMANENTERROR = 5, Phase.FINAL
    OTHER = 6, Phase.UNDER_WAY
    EXPIRED = 7, Phase.GIVEN_UP
    NOT_FOUND = 8, Phase.GIVEN_UP
    REJECTED = 9, Phase.GIVEN_UP

    def __new__(cls, number: int, phase: Phase, order: int | None = None) -> Self:
        """Make a member of its row."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.phase = phase
        status.order = order
        return status

    @property
    def word(self) -> str:
        """The value of the label `status`."""
        return self.name.lower()


def _may_follow(before: Status, after: Status) -> bool:
    if after is before or after.phase not in PHASE_MOVES[before.phase]:
        return False
    return before.order is None or after.order is None or before.order < after.order


MOVES: Mapping[Status, frozenset[Status]] = {
    before: frozenset(after for after in Status if _may_follow(before, after)) for before in Status
}
"""Which status may follow which; polls can miss statuses, so any jump forward is legal."""

FINAL_BY_PROVIDER = frozenset(status for status in Status if status.phase is Phase.FINAL)
GIVEN_UP = frozenset(status for status in Status if status.phase is Phase.GIVEN_UP)
FINISHED = FINAL_BY_PROVIDER | GIVEN_UP
PENDING = frozenset(Status) - FINISHED
REPORTED = frozenset(Status) - GIVEN_UP - {Status.NEW, Status.OTHER}
"""Those that the provider has a word for; any other word is OTHER."""


class ClaimState(IntEnum):
    """What became of a claimed final status; the numbers are stored, so they never change."""

    NONE = 0
    """There is no claim."""
    OPEN = 1
    """Nothing was heard from the provider since the claim: the message must be polled."""
    SETTLED = 2
    """A poll was answered since, whatever the answer, or polling ended."""


class ClaimEvent(Enum):
    """What can change a claim."""

    CLAIMED = "claimed by a webhook"
    SETTLED = "polled, or given up"


CLAIM_MOVES: Mapping[ClaimState, Mapping[ClaimEvent, ClaimState]] = {
    ClaimState.NONE: {ClaimEvent.CLAIMED: ClaimState.OPEN},
    ClaimState.OPEN: {ClaimEvent.SETTLED: ClaimState.SETTLED},
    ClaimState.SETTLED: {ClaimEvent.CLAIMED: ClaimState.OPEN},
}
"""What is not in here changes nothing: the first claim stands until it is settled."""
