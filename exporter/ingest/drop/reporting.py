"""What a drop directory reports: counters, one summary a pass, and a log line a change of state.

File names may hold phone numbers, so the log has them hashed
(`printf %s otp/today.txt | sha256sum` finds one again, by its first digits).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from exporter.domain.model import SECOND_US
from exporter.engine.tracker import Tracked
from exporter.ingest.drop.directory import DropFile
from exporter.ingest.drop.file_reader import FileReader, FileReport
from exporter.ingest.formats.formats import FAULTS, SUFFIXES
from exporter.runtime.errors import Code

RESULTS = ("done", "failed", "ignored", "not_regular", "too_large", "unreadable")
"""The values of the label `result` of files."""

PROGRESS_US = 10 * SECOND_US
"""The progress of a file that takes longer than this is logged once in this time."""

_SKIPPED = {
    "ignored": f"Ignored a file or directory: a file's name must end in {' '.join(SUFFIXES)}, and a directory"
    " must have a campaign's name and no directories in it",
    "not_regular": "Ignored a file: it must be a regular file, no link, and have one name only",
    "unreadable": "Can't read a dropped file",
}
_log = logging.getLogger("smsbat.drop")


class DropInstruments(Protocol):
    """What is counted."""

    def count_file(self, result: str) -> None:
        """One file was read to its end, or is skipped: one of RESULTS."""
        ...

    def count_lines(self, result: str, count: int) -> None:
        """Lines were `accepted`, `duplicate` or `rejected`."""
        ...

    def count_rejected(self, reason: str, count: int) -> None:
        """Lines were refused for one of `fields.REASONS`."""
        ...

    def set_up(self, directory: str, up: bool) -> None:  # noqa: FBT001 - the value of a gauge
        """Whether the directory could be read, and files archived."""
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


class DropReporter:
    """Reports on one directory; `directory` is the name it was configured by."""

    def __init__(self, directory: str, instruments: DropInstruments) -> None:
        self.summary = Summary()
        self._directory = directory
        self._instruments = instruments
        self._up = True
        self._exposed = False

    def start_pass(self) -> Summary:
        """A new summary, which the rest of the pass goes into."""
        self.summary = Summary()
        return self.summary

    def report_skipped(self, result: str, found: DropFile, error: Exception | None = None) -> None:
        """Report a file that can't be read at all, or failed while it was read."""
        self.summary.files[result] += 1
        self._instruments.count_file(result)
        level = logging.WARNING if error is None else logging.ERROR
        self._write(
            level,
            "drop_file_passed_over",
            _SKIPPED[result],
            found,
            result=result,
            # An error's text may quote what it failed on.
            error=None if error is None else type(error).__name__,
            code=Code.DROP_FILE,
        )

    def report_progress(self, reader: FileReader, now: int) -> None:
        """Report on a file that is being read: a line now and then, for as long as it takes."""
        if not reader.logged_at:
            reader.began_at, reader.logged_at, reader.began_bytes = now, now, reader.read_bytes
        if now - reader.logged_at < PROGRESS_US or reader.is_waiting:
            return
        reader.logged_at = now
        seconds = (now - reader.began_at) / SECOND_US
        size_bytes, read_bytes = reader.found.identity.size_bytes, reader.read_bytes
        bytes_per_second = (read_bytes - reader.began_bytes) / seconds
        self._write(
            logging.INFO,
            "drop_file_progress",
            "Reading a dropped file",
            reader.found,
            messages=reader.messages,
            messages_per_second=round(reader.messages / seconds),
            read_percent=100 * read_bytes // max(1, size_bytes),
            # All of it may be one piece: then there is nothing to go by.
            left_seconds=round((size_bytes - read_bytes) / bytes_per_second) if bytes_per_second else None,
        )

    def report_finished(
        self,
        result: str,
        found: DropFile,
        report: FileReport,
        *,
        is_counted: bool = False,
        had_progress: bool = False,
    ) -> None:
        """Report a file that was read to its end, and whose messages are on disk.

        `is_counted`: its lines were counted before; `had_progress`: the log has a line of its progress.
        """
        self.summary.files[result] += 1
        self._instruments.count_file(result)
        if not is_counted:
            self.summary.rejected += report.rejected
            self._instruments.count_lines("rejected", report.rejected)
            for reason, count in report.reasons.items():
                self._instruments.count_rejected(reason, count)
        level = logging.INFO if had_progress else logging.DEBUG
        code = None
        if report.fault or report.rejected:
            level, code = logging.WARNING, Code.DROP_LINES
        self._write(
            level,
            "drop_file_ended",
            _describe(report),
            found,
            result=result,
            fault=report.fault,
            used=report.messages,
            refused=report.rejected,
            code=code,
        )

    def report_tracked(self, tracked: Tracked, *, was_waiting: bool, is_waiting: bool) -> None:
        """Report messages that were tracked, or found no room; whether their file waited, or waits now."""
        self.summary.accepted += tracked.accepted
        self.summary.duplicate += tracked.duplicate
        self._instruments.count_lines("accepted", tracked.accepted)
        self._instruments.count_lines("duplicate", tracked.duplicate)
        self.summary.blocked = is_waiting
        if is_waiting or not tracked.blocked:
            self._instruments.set_blocked(is_waiting)
        if is_waiting and not was_waiting:
            text = "Dropped files wait: no more messages can be tracked (limits.max_tracked)"
            self._write(logging.WARNING, "drop_blocked", text, code=Code.DROP_WAITS)
        elif was_waiting and not is_waiting:
            self._write(logging.INFO, "drop_unblocked", "Dropped files go on: messages can be tracked again")

    def report_exposed(self, *, exposed: bool) -> None:
        """Report whether anyone may replace files in the directory."""
        if exposed and not self._exposed:
            text = "Anyone may replace files in the drop directory"
            self._write(logging.WARNING, "drop_exposed", text, code=Code.DROP_EXPOSED)
        self._exposed = exposed

    def report_health(self, scan_error: OSError | None, archive_error: OSError | None) -> None:
        """Report whether the directory could be read, and files archived."""
        up = scan_error is None and archive_error is None
        self.summary.up = up
        self._instruments.set_up(self._directory, up)
        if up and not self._up:
            self._write(logging.INFO, "drop_up", "The drop directory is usable again")
        elif self._up and not up:
            text = f"Can't read {self._directory}: {_explain(scan_error)}"
            if scan_error is None:
                text = f"Can't move files that were read within {self._directory}: {_explain(archive_error)}"
            self._write(logging.ERROR, "drop_down", text, code=Code.DROP_DIRECTORY)
        self._up = up

    def _write(
        self, level: int, event: str, text: str, found: DropFile | None = None, **more: object
    ) -> None:
        """Log it with the fields that have a value."""
        fields: dict[str, object] = {"directory": self._directory}
        fields |= {name: value for name, value in more.items() if value is not None}
        if found is not None:
            fields["file"] = _hash_path(found)
        _log.log(level, text, extra={"event": event, "fields": fields})


def _describe(report: FileReport) -> str:
    """What happened to a file, in a sentence."""
    if report.fault:
        what = "the rest of a dropped file" if report.messages or report.rejected else "a dropped file"
        return f"Could not use {what}: {FAULTS[report.fault]}"
    if report.rejected:
        how_many = "Most" if report.mostly_bad else "Some"
        return f"{how_many} records of a dropped file can't be used"
    return "Read a dropped file"


def _explain(error: OSError | None) -> str:
    number = error.errno if error is not None and error.errno else 0
    reason = error.strerror if error is not None and error.strerror else os.strerror(number)
    return f"{reason} ({errno.errorcode.get(number, 'unknown error')})"


def _hash_path(found: DropFile) -> str:
    path = os.fsencode(f"{found.folder}/{found.name}" if found.folder else found.name)
    return hashlib.sha256(path).hexdigest()[:12]
