"""The log while something takes long that an operator waits for: a line every ten seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_log = logging.getLogger("smsbat.app")

EVERY_SECONDS = 10


@contextmanager
def log_slow_step(step: str, so_far: Callable[[], Mapping[str, object]] = dict) -> Iterator[None]:
    """Tell that the block still runs, with the fields of `so_far`; a quick one is not told of.

    Belongs to the event loop: the block must give it its turns.
    """
    loop = asyncio.get_running_loop()
    began_seconds = loop.time()
    handle: asyncio.TimerHandle | None = None

    def tell() -> None:
        nonlocal handle
        fields = {"step": step, "seconds": round(loop.time() - began_seconds), **so_far()}
        _log.info("Still starting", extra={"event": "still_starting", "fields": fields})
        handle = loop.call_later(EVERY_SECONDS, tell)

    handle = loop.call_later(EVERY_SECONDS, tell)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
