"""What a drop directory tells: counters, one summary a pass, and a log line a change of state.

File names may hold phone numbers, so the log has them hashed
(`printf %s otp/today.txt | sha256sum` finds one again, by its first digits).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from exporter.domain.model import SECOND_US
from exporter.engine.tracker import Tracked
from exporter.ingest.drop.directory import DropFile
from exporter.ingest.drop.file_reader import Reading, Report
from exporter.runtime.errors import Code

RESULTS = ("done", "failed", "ignored", "not_regular", "too_large", "unreadable")
"""The values of the label `result` of files."""

PROGRESS_US = 10 * SECOND_US
"""A file that takes longer than this is told of once in this time."""

_log = logging.getLogger("smsbat.drop")


class DropInstruments(Protocol):
    """What is counted."""

    def count_file(self, result: str) -> None:
        """One file ended, or is passed over: one of RESULTS."""
        ...

    def count_lines(self, result: str, count: int) -> None:
        """Lines were `accepted`, `duplicate` or `rejected`."""
        ...

    def count_rejected(self, reason: str, count: int) -> None:
        """Lines were refused for one of `fields.REASONS`."""
        ...

    def set_up(self, directory: str, up: bool) -> None:  # noqa: FBT001 - the value of a gauge
        """Whether the directory could be read, and files put aside."""
        ...

    def set_blocked(self, blocked: bool) -> None:  # noqa: FBT001 - the value of a gauge
        """Whether the limit of tracked messages keeps files waiting."""
        ...


@dataclass(slots=True)
class Summary:
    """What one pass did."""

    files: Counter[str] = field(default_factory=Counter)
    """By result."""
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    blocked: bool = False
    """The store has no room, for more messages or at all: everything waits."""
    unfinished: int = 0
    """Files that were begun and need more turns."""
    up: bool = True


class Journal:
    """The telling of one directory; `directory` is the name it was configured by."""

    def __init__(self, directory: str, instruments: DropInstruments) -> None:
        """Start with a directory that is believed to be well."""
        self.summary = Summary()
        self._directory = directory
        self._instruments = instruments
        self._up = True
        self._exposed = False

    def start_pass(self) -> Summary:
        """A new summary, which the rest of the pass goes into."""
        self.summary = Summary()
        return self.summary

    def file(self, result: str, found: DropFile, error: Exception | None = None) -> None:
        """A file is passed over, or could not be used at all."""
        self.summary.files[result] += 1
        self._instruments.count_file(result)
        level = logging.WARNING if error is None else logging.ERROR
        self._tell(
            level,
            "drop_file_passed_over",
            "A dropped file was not taken.",
            found,
            result=result,
            # An error's text may quote what it choked on.
            error=None if error is None else type(error).__name__,
            code=Code.DROP_FILE,
        )

    def going_on(self, reading: Reading, now: int) -> None:
        """A file is being read: a line now and then, for as long as it takes."""
        if not reading.told_at:
            reading.began_at, reading.told_at, reading.began_bytes = now, now, reading.read_bytes
        if now - reading.told_at < PROGRESS_US or reading.waits:
            return
        reading.told_at = now
        seconds = (now - reading.began_at) / SECOND_US
        size_bytes, read_bytes = reading.found.identity.size_bytes, reading.read_bytes
        bytes_per_second = (read_bytes - reading.began_bytes) / seconds
        self._tell(
            logging.INFO,
            "drop_file_progress",
            "A dropped file is being read.",
            reading.found,
            messages=reading.messages,
            messages_per_second=round(reading.messages / seconds),
            read_percent=100 * read_bytes // max(1, size_bytes),
            # All of it may be one piece: then there is nothing to go by.
            left_seconds=round((size_bytes - read_bytes) / bytes_per_second) if bytes_per_second else None,
        )

    def finished(
        self, result: str, found: DropFile, report: Report, *, again: bool = False, told: bool = False
    ) -> None:
        """A file was read to its end, and what it held is on disk.

        `again`: its lines were told of before; `told`: so was that it is being read.
        """
        self.summary.files[result] += 1
        self._instruments.count_file(result)
        if not again:
            self.summary.rejected += report.rejected
            self._instruments.count_lines("rejected", report.rejected)
            for reason, count in report.reasons.items():
                self._instruments.count_rejected(reason, count)
        level = logging.INFO if told else logging.DEBUG
        code = None
        if report.fault or report.rejected:
            level, code = logging.WARNING, Code.DROP_LINES
        self._tell(
            level,
            "drop_file_ended",
            "A dropped file was taken in.",
            found,
            result=result,
            fault=report.fault,
            used=report.messages,
            refused=report.rejected,
            code=code,
        )

    def tracked(self, tracked: Tracked, *, waited: bool, waits: bool) -> None:
        """Messages were handed over, or not; the file waited for room before, or waits for it now."""
        self.summary.accepted += tracked.accepted
        self.summary.duplicate += tracked.duplicate
        self._instruments.count_lines("accepted", tracked.accepted)
        self._instruments.count_lines("duplicate", tracked.duplicate)
        self.summary.blocked = waits
        if waits or not tracked.blocked:
            self._instruments.set_blocked(waits)
        if waits and not waited:
            text = "No more messages can be tracked: files wait."
            self._tell(logging.WARNING, "drop_blocked", text, code=Code.DROP_WAITS)
        elif waited and not waits:
            self._tell(logging.INFO, "drop_unblocked", "Messages can be tracked again: files go on.")

    def exposed(self, *, exposed: bool) -> None:
        """Whether anyone may replace files in the directory."""
        if exposed and not self._exposed:
            text = "Anyone may replace files in the drop directory."
            self._tell(logging.WARNING, "drop_exposed", text, code=Code.DROP_EXPOSED)
        self._exposed = exposed

    def up(self, *, ok: bool) -> None:
        """Whether the directory could be read, and files put aside."""
        self.summary.up = ok
        self._instruments.set_up(self._directory, ok)
        if ok and not self._up:
            self._tell(logging.INFO, "drop_up", "The drop directory is usable again.")
        elif self._up and not ok:
            text = "The drop directory can't be used."
            self._tell(logging.ERROR, "drop_down", text, code=Code.DROP_DIRECTORY)
        self._up = ok

    def _tell(self, level: int, event: str, text: str, found: DropFile | None = None, **more: object) -> None:
        """Log it with the fields that have a value."""
        fields: dict[str, object] = {"directory": self._directory}
        fields |= {name: value for name, value in more.items() if value is not None}
        if found is not None:
            fields["file"] = _hashed(found)
        _log.log(level, text, extra={"event": event, "fields": fields})


def _hashed(found: DropFile) -> str:
    path = os.fsencode(f"{found.folder}/{found.name}" if found.folder else found.name)
    return hashlib.sha256(path).hexdigest()[:12]
