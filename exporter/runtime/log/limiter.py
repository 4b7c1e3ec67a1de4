"""The rate limit of one class of lines: a short burst, then one per second; the rest is counted.

Time is an argument: that of the record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

BURST_LINES: Final = 5
"""How many lines of one class may come at once: two accounts can start in the same second."""
QUIET_SECONDS: Final = 10.0
"""A class without a new line for so long is forgotten, once its count is logged."""
CLASSES: Final = 500
"""How many classes are remembered at most."""

LineClass = tuple[str, int, str]
"""Logger, level, event or sentence."""


@dataclass(slots=True)
class _Bucket:
    lines: float
    at_seconds: float
    suppressed: int = 0


@dataclass(slots=True)
class LineLimiter:
    """Limits each class of lines on its own."""

    _buckets: dict[LineClass, _Bucket] = field(default_factory=dict)

    def admit(self, line_class: LineClass, at_seconds: float) -> int | None:
        """How many lines of the class were suppressed before this one; None to suppress this one too."""
        bucket = self._buckets.get(line_class)
        if bucket is None:
            bucket = self._buckets[line_class] = _Bucket(BURST_LINES, at_seconds)
        # The wall clock may step back: then nothing is earned, and counting continues from there.
        earned = max(0.0, at_seconds - bucket.at_seconds)
        bucket.lines = min(BURST_LINES, bucket.lines + earned)
        bucket.at_seconds = at_seconds
        if bucket.lines < 1:
            bucket.suppressed += 1
            return None
        bucket.lines -= 1
        suppressed, bucket.suppressed = bucket.suppressed, 0
        return suppressed

    def forget_quiet(self, at_seconds: float = math.inf) -> list[tuple[LineClass, int]]:
        """Forget the classes that are quiet at that time; returns how many lines of each were suppressed."""
        # A copy: a finalizer may log, and so add a class, while this loop allocates.
        quiet = [
            (line_class, bucket)
            for line_class, bucket in list(self._buckets.items())
            if abs(at_seconds - bucket.at_seconds) >= QUIET_SECONDS
        ]
        for line_class, _ in quiet:
            del self._buckets[line_class]
        return [(line_class, bucket.suppressed) for line_class, bucket in quiet if bucket.suppressed]

    def __len__(self) -> int:
        return len(self._buckets)
