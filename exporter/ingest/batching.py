"""Tracks a list of ids in transactions that are as large as there is room for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from exporter.domain.model import NewMessage
from exporter.engine.tracker import Tracked


async def track_in_parts(
    track: Callable[[Sequence[NewMessage]], Awaitable[Tracked]], messages: Sequence[NewMessage], most: int
) -> AsyncIterator[Tracked]:
    """Track `messages`, at most `most` in a transaction; yields the result of each part.

    Where there is room for less than a part, the part is halved. A blocked result means that there is no
    room for even one more; a caller that goes on after it tries again.
    """
    start, size = 0, most
    while start < len(messages):
        part = messages[start : start + size]
        tracked = await track(part)
        if not tracked.blocked:
            start += len(part)
            size = min(most, 2 * size)
            yield tracked
        elif len(part) > 1:
            size = len(part) // 2
        else:
            yield tracked
