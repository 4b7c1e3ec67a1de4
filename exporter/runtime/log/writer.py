"""The two halves of the log: one in the threads that log, the other in the thread that writes."""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from typing import Final

from exporter.runtime.log.limiter import CLASSES, QUIET_SECONDS, LineClass, LineLimiter
from exporter.runtime.log.lines import ROOT, Entry, Render, Value, extract_sentence, is_ours, make_entry

QUEUE_LINES: Final = 2_000
"""How many lines may wait for the writer before new ones are dropped."""
CLOSE_SECONDS: Final = 2.0
"""How long `close` waits for a reader that has stopped."""


class QueueingHandler(logging.Handler):
    """The half that runs in the thread that logs: limits, formats and queues; never waits."""

    def __init__(self, render: Render) -> None:
        """`render` formats the lines."""
        super().__init__()
        # Not `queue.Queue`: its lock deadlocks when a finalizer logs from inside `put`.
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.dropped_lines = 0
        self._render = render
        self._limiter = LineLimiter()
        self._checked_at_seconds = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, unless its class is over its limit or the queue is full."""
        try:
            if abs(record.created - self._checked_at_seconds) >= QUIET_SECONDS:
                self._checked_at_seconds = record.created
                self._log_suppressed(self._limiter.forget_quiet(record.created))
            elif len(self._limiter) > CLASSES:
                self._log_suppressed(self._limiter.forget_quiet())
            suppressed = (
                0 if _is_unlimited(record) else self._limiter.admit(_classify(record), record.created)
            )
            if suppressed is not None:
                self.put(make_entry(record, suppressed))
        except Exception:  # noqa: BLE001 - a field whose `str` fails costs its line, and never fails its caller
            self.dropped_lines += 1

    def log_suppressed(self) -> None:
        """Log how many lines of each class were suppressed."""
        self.acquire()
        try:
            self._log_suppressed(self._limiter.forget_quiet())
        finally:
            self.release()

    def put(self, entry: Entry) -> None:
        """Queue one line, or count it as dropped."""
        if self.lines.qsize() >= QUEUE_LINES:
            self.dropped_lines += 1
        else:
            self.lines.put(self.format_line(entry))

    def format_line(self, entry: Entry) -> bytes:
        """The line of an entry, with its line break."""
        return f"{self._render(entry)}\n".encode()

    def _log_suppressed(self, suppressed: list[tuple[LineClass, int]]) -> None:
        for (logger, _, text), lines in suppressed:
            self.put(
                _make_own_entry(
                    "log_suppressed", "Lines were suppressed.", of=logger, what=text, suppressed=lines
                )
            )


def _is_unlimited(record: logging.LogRecord) -> bool:
    return is_ours(record) and (record.levelno <= logging.DEBUG or getattr(record, "unlimited", False))


def _classify(record: logging.LogRecord) -> LineClass:
    text = getattr(record, "event", None) or (record.msg if is_ours(record) else extract_sentence(record))
    return (record.name, record.levelno, str(text))


def _make_own_entry(event: str, text: str, **fields: Value) -> Entry:
    level = logging.WARNING
    record = logging.LogRecord(f"{ROOT}.log", level, __file__, 0, text, None, None)
    record.event, record.fields = event, fields
    return make_entry(record, 0)


class LogHandle:
    """The running log: reports what it lost, and restores Python's loggers when closed."""

    def __init__(self, handler: QueueingHandler, descriptor: int, level: int) -> None:
        """Attach `handler` to Python's root logger and write to `descriptor`, which this object closes."""
        self._handler = handler
        self._descriptor = descriptor
        self._unwritten_lines = 0
        self._reported_lines = 0
        self._torn = False
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        self._levels_before = (root.level, ours.level)
        # Libraries log on INFO what they do (aiohttp: request lines with their tokens).
        root.setLevel(logging.WARNING)
        ours.setLevel(level)
        root.addHandler(handler)
        # A daemon: a reader that never reads again must not keep the process alive.
        self._writer = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._writer.start()

    def count_dropped(self) -> int:
        """How many lines were lost since the start: the queue was full, or the write failed."""
        return self._handler.dropped_lines + self._unwritten_lines

    def close(self) -> None:
        """Write the waiting lines, for `CLOSE_SECONDS` at most, and restore Python's loggers."""
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        if self._handler not in root.handlers:
            return
        root.removeHandler(self._handler)
        root.setLevel(self._levels_before[0])
        ours.setLevel(self._levels_before[1])
        self._handler.log_suppressed()
        self._handler.lines.put(None)
        self._writer.join(CLOSE_SECONDS)
        self._handler.close()
        if not self._writer.is_alive():
            os.close(self._descriptor)

    def _write_lines(self) -> None:
        while True:
            try:
                line = self._handler.lines.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                self._handler.log_suppressed()
                continue
            if line is None:
                return
            if self._write(line):
                self._report_dropped()
            else:
                self._unwritten_lines += 1

    def _report_dropped(self) -> None:
        dropped = self.count_dropped()
        if dropped > self._reported_lines:
            entry = _make_own_entry("log_dropped", "Lines were lost.", dropped=dropped - self._reported_lines)
            if self._write(self._handler.format_line(entry)):
                self._reported_lines = dropped

    def _write(self, line: bytes) -> bool:
        """Write a whole line; returns False when a part of it can't be written."""
        rest = memoryview(b"\n" + line if self._torn else line)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
                self._torn = bool(rest)
        except OSError:
            return False
        return True

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # A terminal or pipe that another process made non-blocking, and that is full.
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll()
            return 0
