"""The two halves of the log: one in the threads that log, one in the thread that writes."""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from typing import Final

from exporter.runtime.log.limiter import CLASSES, QUIET_SECONDS, Limiter, LineClass
from exporter.runtime.log.lines import ROOT, Entry, Render, Value, entry_of, is_ours, sentence

QUEUE_LINES: Final = 2_000
"""How many lines wait for the writer before new ones are dropped."""
CLOSE_SECONDS: Final = 2.0
"""How long `close` waits for a reader that doesn't read."""


class QueueingHandler(logging.Handler):
    """The half that runs in the thread that logs: limits, formats, hands over; never waits."""

    def __init__(self, render: Render) -> None:
        """Start with an empty queue; `render` makes the lines."""
        super().__init__()
        # Not `queue.Queue`: its lock deadlocks when a finalizer logs from inside `put`.
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.dropped_lines = 0
        self._render = render
        self._limiter = Limiter()
        self._settled_at_seconds = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, unless its class has had enough or the queue is full."""
        try:
            if abs(record.created - self._settled_at_seconds) >= QUIET_SECONDS:
                self._settled_at_seconds = record.created
                self._account_for(self._limiter.settle(record.created))
            elif len(self._limiter) > CLASSES:
                self._account_for(self._limiter.settle())
            suppressed = 0 if _unlimited(record) else self._limiter.admit(_class_of(record), record.created)
            if suppressed is not None:
                self.put(entry_of(record, suppressed))
        except Exception:  # noqa: BLE001 - a field whose `str` fails costs its line, never its caller
            self.dropped_lines += 1

    def settle(self) -> None:
        """Say what was left out of every class."""
        self.acquire()
        try:
            self._account_for(self._limiter.settle())
        finally:
            self.release()

    def put(self, entry: Entry) -> None:
        """Queue one line, or count it as dropped."""
        if self.lines.qsize() >= QUEUE_LINES:
            self.dropped_lines += 1
        else:
            self.lines.put(self.line(entry))

    def line(self, entry: Entry) -> bytes:
        """The line of an entry, with its end."""
        return f"{self._render(entry)}\n".encode()

    def _account_for(self, left_out: list[tuple[LineClass, int]]) -> None:
        for (logger, _, text), lines in left_out:
            self.put(
                _own_entry("log_suppressed", "Lines were left out.", of=logger, what=text, suppressed=lines)
            )


def _unlimited(record: logging.LogRecord) -> bool:
    return is_ours(record) and (record.levelno <= logging.DEBUG or getattr(record, "unlimited", False))


def _class_of(record: logging.LogRecord) -> LineClass:
    text = getattr(record, "event", None) or (record.msg if is_ours(record) else sentence(record))
    return (record.name, record.levelno, str(text))


def _own_entry(event: str, sentence: str, **fields: Value) -> Entry:
    level = logging.WARNING
    record = logging.LogRecord(f"{ROOT}.log", level, __file__, 0, sentence, None, None)
    record.event, record.fields = event, fields
    return entry_of(record, 0)


class LogHandle:
    """The log while it is set up: says what it lost, and gives everything back when closed."""

    def __init__(self, front: QueueingHandler, descriptor: int, level: int) -> None:
        """Attach `front` to Python's root logger and start writing to `descriptor`, which is then ours."""
        self._front = front
        self._descriptor = descriptor
        self._unwritten_lines = 0
        self._told_lines = 0
        self._torn = False
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        self._levels_before = (root.level, ours.level)
        # Libraries say on INFO what they do (aiohttp: request lines with their tokens).
        root.setLevel(logging.WARNING)
        ours.setLevel(level)
        root.addHandler(front)
        # A daemon: a reader that never reads again must not keep the process alive.
        self._writer = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._writer.start()

    def dropped(self) -> int:
        """How many lines were lost since the start: the queue was full, or they couldn't be written."""
        return self._front.dropped_lines + self._unwritten_lines

    def close(self) -> None:
        """Write what waits, for `CLOSE_SECONDS` at most, and put Python's loggers back."""
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        if self._front not in root.handlers:
            return
        root.removeHandler(self._front)
        root.setLevel(self._levels_before[0])
        ours.setLevel(self._levels_before[1])
        self._front.settle()
        self._front.lines.put(None)
        self._writer.join(CLOSE_SECONDS)
        self._front.close()
        if not self._writer.is_alive():
            os.close(self._descriptor)

    def _write_lines(self) -> None:
        while True:
            try:
                line = self._front.lines.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                self._front.settle()
                continue
            if line is None:
                return
            if self._write(line):
                self._tell_dropped()
            else:
                self._unwritten_lines += 1

    def _tell_dropped(self) -> None:
        dropped = self.dropped()
        if dropped > self._told_lines:
            entry = _own_entry("log_dropped", "Lines were lost.", dropped=dropped - self._told_lines)
            if self._write(self._front.line(entry)):
                self._told_lines = dropped

    def _write(self, line: bytes) -> bool:
        """Write all of a line; False when the rest of it can't be written."""
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
