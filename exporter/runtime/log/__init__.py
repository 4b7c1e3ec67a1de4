"""The log: one line per record, no values from exceptions, and no waiting for a slow reader.

Everywhere in this program::

    _log = logging.getLogger("smsbat.store")
    _log.info("The store is open.", extra={"event": "store_opened", "fields": {"rows": 3}})

The sentence is constant; what varies goes into `fields`. The caller keeps phone
numbers, message ids (above DEBUG), bodies and keys out. This module handles
what callers can't know: it leaves out values inside exceptions and inside the
messages of libraries, and escapes control characters.

A record is formatted in the thread that logs, then handed to a writer thread
through a bounded queue: a reader that has stopped costs lines, which are
counted, but no time. Lines of one class (same logger, level and event) are
limited to one per second after a short burst, since one broken socket can log a
thousand times a second; the number of suppressed lines is logged with the next
line of the class, or when the class has gone quiet. Our own DEBUG lines are not
limited, nor are records with `extra={"unlimited": True}`: the warnings of a
configuration are a list, and none of them is logged again later.

The only time used here is that of each record.
"""

from __future__ import annotations

import logging
import os
from typing import Final, TextIO

from exporter.runtime.errors import UsageError
from exporter.runtime.log.lines import FORMATS, ROOT, describe_exception
from exporter.runtime.log.writer import LogHandle, QueueingHandler

__all__ = ["FORMATS", "LEVELS", "ROOT", "LogHandle", "describe_exception", "start_logging"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def start_logging(level: str, fmt: str, stream: TextIO) -> LogHandle:
    """Write the log to `stream` until the handle is closed.

    Raises UsageError unless `level` is one of `LEVELS` and `fmt` one of `FORMATS`. `stream` must have a
    file descriptor: lines are written to a copy of it, bypassing Python's buffers, which would split
    lines once a full disk has space again.
    """
    if level not in LEVELS:
        raise UsageError(f"unknown log level {level!r}", hint=f"one of: {', '.join(LEVELS)}")
    if fmt not in FORMATS:
        raise UsageError(f"unknown log format {fmt!r}", hint=f"one of: {', '.join(FORMATS)}")
    stream.flush()
    return LogHandle(QueueingHandler(FORMATS[fmt]), os.dup(stream.fileno()), LEVELS[level])
