"""The log: one line a record, never a value out of an exception, never a wait for whoever reads it.

Everywhere in this program::

    _log = logging.getLogger("smsbat.store")
    _log.info("The store is open.", extra={"event": "store_opened", "fields": {"rows": 3}})

The sentence is constant; what varies goes into `fields`. Phone numbers, message
ids (above DEBUG), bodies and keys stay out: that is the caller's duty. This
module's duty is what callers can't know: values inside exceptions and inside
the messages of libraries are left out, control characters are escaped.

A record is formatted in the thread that logs, then handed to a writer thread
through a bounded queue: a reader that stopped costs lines, which are counted,
and no time. Lines of one class (same logger, level and event) pass at one a
second after a short burst, since one broken socket can log a thousand times a
second; what was left out is said with the next line of the class, or when the
class has gone quiet. Our own DEBUG lines are not limited: who asks for them
wants all of them. Nor are records that say so (`extra={"unlimited": True}`):
what a file is warned of is a list, and none of it comes again by itself.

Time here is each record's own: nothing in this module asks a clock.
"""

from __future__ import annotations

import logging
import os
from typing import Final, TextIO

from exporter.runtime.errors import UsageError
from exporter.runtime.log.lines import FORMATS, ROOT, describe_exception
from exporter.runtime.log.writer import LogHandle, QueueingHandler

__all__ = ["FORMATS", "LEVELS", "ROOT", "LogHandle", "describe_exception", "setup"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def setup(level: str, fmt: str, stream: TextIO) -> LogHandle:
    """Send the log to `stream` until the handle is closed.

    `level` is one of `LEVELS`, `fmt` one of `FORMATS`, else `UsageError`. `stream` must have a
    descriptor: lines are written to a copy of it, past Python's buffers, which tear lines apart
    when a full disk has room again.
    """
    if level not in LEVELS:
        raise UsageError(f"unknown log level {level!r}", hint=f"one of: {', '.join(LEVELS)}")
    if fmt not in FORMATS:
        raise UsageError(f"unknown log format {fmt!r}", hint=f"one of: {', '.join(FORMATS)}")
    stream.flush()
    return LogHandle(QueueingHandler(FORMATS[fmt]), os.dup(stream.fileno()), LEVELS[level])
