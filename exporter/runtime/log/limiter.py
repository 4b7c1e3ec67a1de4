"""The rate limit of one class of lines: a short burst, then one per second; the rest is counted.

Time is an argument: that of the record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from exporter.domain.model import SECOND_US
from exporter.domain.token_bucket import TokenBucket

BURST_LINES: Final = 5
"""How many lines of one class may come at once: two accounts can start in the same second."""
QUIET_SECONDS: Final = 10.0
"""A class without a new line for so long is forgotten, once its count is logged."""
CLASSES: Final = 500
"""How many classes are remembered at most."""

LineClass = tuple[str, int, str]
"""Logger, level, event or sentence."""


@dataclass(slots=True)
class _Count:
    """The count of one class; `at_seconds` is the time of its latest line, logged or not."""

    bucket: TokenBucket
    at_seconds: float
    suppressed: int = 0


@dataclass(slots=True)
class LineLimiter:
    """Limits each class of lines on its own."""

    _counts: dict[LineClass, _Count] = field(default_factory=dict)

    def admit(self, line_class: LineClass, at_seconds: float) -> int | None:
        """How many lines of the class were suppressed before this one; None to suppress this one too."""
        count = self._counts.get(line_class)
        if count is None:
            bucket = TokenBucket(1.0, burst_tokens=BURST_LINES, full=True)
            count = self._counts[line_class] = _Count(bucket, at_seconds)
        count.at_seconds = at_seconds
        if not count.bucket.try_take_token(int(at_seconds * SECOND_US)):
            count.suppressed += 1
            return None
        suppressed, count.suppressed = count.suppressed, 0
        return suppressed

    def forget_quiet(self, at_seconds: float = math.inf) -> list[tuple[LineClass, int]]:
        """Forget the classes that are quiet at that time; returns how many lines of each were suppressed."""
        # A copy: a finalizer may log, and so add a class, while this loop allocates.
        quiet = [
            (line_class, count)
            for line_class, count in list(self._counts.items())
            if abs(at_seconds - count.at_seconds) >= QUIET_SECONDS
        ]
        for line_class, _ in quiet:
            del self._counts[line_class]
        return [(line_class, count.suppressed) for line_class, count in quiet if count.suppressed]

    def __len__(self) -> int:
        return len(self._counts)
