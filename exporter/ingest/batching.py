"""Handing messages over to the store: what is needed of it, and how a batch goes in when room is short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from exporter.domain.model import NewMessage, Source
from exporter.engine.tracker import Tracked
from exporter.ingest.drop.file_reader import Reading
from exporter.ingest.formats.formats import BATCH_MESSAGES, Batch


class Intake(Protocol):
    """Where messages are handed over: the tracker. May raise StoreFull, and then nothing was taken."""

    async def get_file_progress(self, file_key: bytes) -> int:
        """The offset committed for this file: 0 for none, READ_TO_THE_END when its last batch was."""
        ...

    async def track(
        self, batch: Sequence[NewMessage], source: Source, *, file_key: bytes, offset: int, last: bool
    ) -> Tracked:
        """Track `batch`, which may be empty, and record the file's offset, in one transaction."""
        ...


async def track_in_parts(
    track: Callable[[Sequence[NewMessage]], Awaitable[Tracked]], messages: Sequence[NewMessage], most: int
) -> AsyncIterator[Tracked]:
    """Track `messages`, at most so many a transaction; what each part came to.

    Where there is room for less than a part, less goes in. A blocked one says that there is no room
    for even one more; whoever goes on after it tries again.
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


async def hand_over(intake: Intake, reading: Reading, batch: Batch) -> Tracked:
    """Hand over the next part of the reading's `batch`: one transaction.

    All of it, as long as there is room. Where there is room for less, parts go
    in: a limit smaller than a batch would otherwise keep a file out for ever. The
    file's offset only moves on with the end of the batch, so a crash between the
    parts repeats them.
    """
    part = batch.messages[reading.handed_over : reading.handed_over + reading.part_messages]
    whole = reading.handed_over + len(part) == len(batch.messages)
    tracked = await intake.track(
        part,
        Source.DROP,
        file_key=reading.key,
        offset=batch.offset if whole else reading.offset,
        last=whole and reading.is_last,
    )
    if tracked.blocked:
        # Down to one message, which then tells each pass whether there is room again.
        reading.waits = len(part) <= 1
        reading.part_messages = max(1, len(part) // 2)
    else:
        reading.waits = False
        reading.handed_over += len(part)
        reading.messages += len(part)
        reading.part_messages = min(BATCH_MESSAGES, 2 * reading.part_messages)
        if whole:
            reading.offset = batch.offset
            reading.is_handed_over = True
    return tracked
