"""Watches a drop directory: finds files of message ids, has them tracked, and archives the files.

Every pass scans the directory (no inotify: it reports nothing on network file
systems), reads files that have settled, has their messages tracked in
transactions that also record how far the file got, and archives the file only
when the last of them is on disk. Read again after a crash, a file changes
nothing.

What a user may rely on:

- Good lines of a bad file count, refused ones are listed in `failed/NAME.reason`
  by number and reason. With more than half of its lines refused, or unusable from
  some point on, the file itself goes to `failed/` too; else to `done/`. Nothing
  counts of a file that is no text or in an encoding that it doesn't announce.
- `done/` and `failed/` are beside the file, in its own subdirectory.
- A large file takes turns with the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

from exporter.domain.model import SECOND_US, NewMessage, Source
from exporter.engine.tracker import Tracked
from exporter.ingest.drop.directory import (
    Archived,
    ArchivePlan,
    DropFile,
    Identity,
    Listing,
    archive_file,
    open_file,
    scan_directory,
)
from exporter.ingest.drop.file_reader import FileReader, FileReport
from exporter.ingest.drop.reporting import DropInstruments, DropReporter, Summary
from exporter.ingest.formats.fields import RecordReader
from exporter.ingest.formats.formats import BATCH_MESSAGES, Batch, make_parser
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import READ_TO_THE_END

PASS_US = SECOND_US
UNTERMINATED_US = 30 * SECOND_US
"""After this long unchanged, an unterminated last line is a line, and JSON with an open bracket is whole."""
SKIPPED_US = 3600 * SECOND_US
"""A file that can't be read is reported, and tried again, once in this time."""
KEPT_US = 24 * 3600 * SECOND_US
"""A file that stays is shown to the store again once in this time, so that its record isn't deleted."""
MAX_FILE_BYTES = 2**30
PASS_FILES = 1000
TURN_BATCHES = 5
MAX_OPEN = 8
"""Files that are open at a time because they take more than a turn."""
MAX_UNARCHIVED = 1000
"""Files that were read and can't be archived; with so many, no new file is read."""

_ONE_TURN_BYTES = 2 * TURN_BATCHES * BATCH_MESSAGES  # a record and its end are at least two bytes


class MessageTracker(Protocol):
    """Where messages are tracked. May raise StoreFull, and then nothing was tracked."""

    async def get_file_progress(self, file_key: bytes) -> int:
        """The offset committed for this file: 0 for none, READ_TO_THE_END when its last batch was."""
        ...

    async def track(
        self, batch: Sequence[NewMessage], source: Source, *, file_key: bytes, offset: int, last: bool
    ) -> Tracked:
        """Track `batch`, which may be empty, and record the file's offset, in one transaction."""
        ...


class After(StrEnum):
    """What happens to a file after it was read; with refused lines, `delete` moves it to `failed/`."""

    MOVE = "move"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class DropSettings:
    """One configured directory."""

    directory: str
    """As configured: also the label `directory`."""
    account: str
    campaign: str
    after: After = After.MOVE
    settle_us: int = 2 * SECOND_US


class DropWorker:
    """Watches one configured directory."""

    def __init__(
        self,
        settings: DropSettings,
        accounts: Collection[str],
        tracker: MessageTracker,
        instruments: DropInstruments,
        clock: Clock,
    ) -> None:
        """Open nothing yet; `accounts` are the names that a record may have."""
        self._settings = settings
        self._accounts = accounts
        self._tracker = tracker
        self._clock = clock
        self._reporter = DropReporter(settings.directory, instruments)
        self._first_seen: dict[Identity, int] = {}
        self._ignored_until: dict[Identity, int] = {}
        """Files that stay where they are, and until when (monotonic)."""
        self._unarchived: dict[Identity, tuple[DropFile, ArchivePlan]] = {}
        """Files that were reported and only need to be archived."""
        self._archive_error: OSError | None = None
        """Why they can't be."""
        self._readers: list[FileReader] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop`; waits while something is wrong with the directory or a file."""
        try:
            while not stop.is_set():
                summary = await self.scan_once(stop)
                if summary.blocked or not summary.unfinished:
                    await self._clock.wait(stop, PASS_US)
        finally:
            self.close()

    def close(self) -> None:
        """Close the files that are open: they go on where they stopped when they are found again."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()

    async def scan_once(self, stop: asyncio.Event | None = None) -> Summary:
        """Do one pass; it ends early at `stop`."""
        summary = self._reporter.start_pass()
        settled: list[DropFile] = []
        scan_error: OSError | None = None
        try:
            listing = await asyncio.to_thread(self._scan)
        except OSError as error:
            scan_error = error
        else:
            self._note_listing(listing)
            settled = self._find_settled(listing)
        await self._retry_archiving()
        try:
            await self._read_files(settled, stop or asyncio.Event())
        except StoreFull:
            summary.blocked = True  # the store reports it; files stay where they are until it has room
        summary.unfinished = len(self._readers)
        self._reporter.report_health(scan_error, self._archive_error if self._unarchived else None)
        return summary

    def _scan(self) -> Listing:
        now = self._clock.monotonic()
        ignored = {identity for identity, until in self._ignored_until.items() if until > now}
        return scan_directory(self._settings.directory, ignored | self._unarchived.keys())

    def _note_listing(self, listing: Listing) -> None:
        """Report what is skipped, forget what is no longer there."""
        present = listing.remembered
        self._ignored_until = {at: until for at, until in self._ignored_until.items() if at in present}
        self._unarchived = {at: planned for at, planned in self._unarchived.items() if at in present}
        for result, found in listing.skipped:
            self._skip(result, found)
        self._reporter.report_exposed(exposed=listing.exposed)

    def _find_settled(self, listing: Listing) -> list[DropFile]:
        """The files that were not written to for a while."""
        now = self._clock.monotonic()
        self._first_seen = {
            found.identity: self._first_seen.get(found.identity, now) for found in listing.files
        }
        being_read = {reader.found.identity[:2] for reader in self._readers}
        return [
            found
            for found in listing.files
            if now - self._first_seen[found.identity] >= self._settings.settle_us
            and found.identity[:2] not in being_read
        ][:PASS_FILES]

    async def _retry_archiving(self) -> None:
        for identity, (found, plan) in list(self._unarchived.items()):
            try:
                await asyncio.to_thread(archive_file, self._settings.directory, found, plan)
            except OSError as error:
                self._archive_error = error
                return  # what keeps one from being moved keeps them all
            del self._unarchived[identity]

    async def _read_files(self, settled: list[DropFile], stop: asyncio.Event) -> None:
        """Give a turn to each file that is open, then to the new ones, until there is no more room."""
        for reader in list(self._readers):
            if stop.is_set() or not await self._read_turn(reader):
                return
        for found in settled:
            if stop.is_set() or len(self._unarchived) >= MAX_UNARCHIVED:
                return
            size = found.identity.size_bytes
            if size > MAX_FILE_BYTES:
                await self._finish_file(found, FileReport(found.suffix, fault="too_large"))
                continue
            may_begin = len(self._readers) < MAX_OPEN or size <= _ONE_TURN_BYTES
            if may_begin and not await self._begin_file(found):
                return

    async def _begin_file(self, found: DropFile) -> bool:
        """Begin with a file; False when there is no more room."""
        begun = await asyncio.to_thread(self._open_reader, found)
        if isinstance(begun, str):
            self._skip(begun, found)
        elif begun is not None:
            self._readers.append(begun)
            return await self._read_turn(begun)
        return True

    def _open_reader(self, found: DropFile) -> FileReader | str | None:
        """Open a file and make its key; None when it must wait, a result when it can't be read."""
        descriptor = open_file(self._settings.directory, found)
        if not isinstance(descriptor, int):
            return descriptor
        settings = self._settings
        campaign = found.folder or settings.campaign
        records = RecordReader(campaign, settings.account, self._accounts, self._clock.now())
        reader = FileReader(descriptor, found, make_parser(found.suffix, records))
        age_us = self._clock.monotonic() - self._first_seen[found.identity]
        try:
            whole = reader.ends_in_newline() or (found.suffix == ".json" and reader.closes_its_bracket())
            ready = (whole or age_us >= UNTERMINATED_US) and reader.measure()
        except OSError:
            reader.close()
            return "unreadable"
        if not ready:
            reader.close()
            return None
        return reader

    async def _read_turn(self, reader: FileReader) -> bool:
        """Go on with one file for some batches; False when there is no more room."""
        if reader.committed_offset is None:
            committed = await self._tracker.get_file_progress(reader.key)
            if committed == READ_TO_THE_END and self._settings.after is After.KEEP:
                self._close_reader(reader)
                self._ignore(reader.found, KEPT_US)
                return True
            if not await self._run_step(reader, partial(reader.start, committed)):
                return True
        for _ in range(TURN_BATCHES):
            if reader.batch is None:
                break
            if not await self._track_batch(reader, reader.batch):
                return False
            if not await self._run_step(reader, reader.load):
                return True
        if reader.batch is None:
            self._close_reader(reader)
            if not reader.changed:
                is_counted = reader.committed_offset == READ_TO_THE_END
                had_progress = reader.logged_at > reader.began_at
                await self._finish_file(
                    reader.found, reader.report, is_counted=is_counted, had_progress=had_progress
                )
        return True

    async def _track_batch(self, reader: FileReader, batch: Batch) -> bool:
        """Have one batch tracked; False when there is no more room."""
        while not reader.is_batch_tracked:
            was_waiting = reader.is_waiting
            tracked = await self._track_part(reader, batch)
            self._reporter.report_tracked(tracked, was_waiting=was_waiting, is_waiting=reader.is_waiting)
            self._reporter.report_progress(reader, self._clock.monotonic())
            if reader.is_waiting:
                return False
        return True

    async def _track_part(self, reader: FileReader, batch: Batch) -> Tracked:
        """Have the next part of the reader's `batch` tracked, in one transaction.

        All of it, as long as there is room. Where there is room for less, parts of it are
        tracked: a limit smaller than a batch would otherwise keep a file out for ever. The file's
        offset only moves on with the end of the batch, so a crash between the parts repeats them.
        """
        part = batch.messages[reader.batch_tracked : reader.batch_tracked + reader.part_messages]
        whole = reader.batch_tracked + len(part) == len(batch.messages)
        tracked = await self._tracker.track(
            part,
            Source.DROP,
            file_key=reader.key,
            offset=batch.offset if whole else reader.offset,
            last=whole and reader.is_last,
        )
        if tracked.blocked:
            # Down to one message, which then shows in each pass whether there is room again.
            reader.is_waiting = len(part) <= 1
            reader.part_messages = max(1, len(part) // 2)
        else:
            reader.is_waiting = False
            reader.batch_tracked += len(part)
            reader.messages += len(part)
            reader.part_messages = min(BATCH_MESSAGES, 2 * reader.part_messages)
            if whole:
                reader.offset = batch.offset
                reader.is_batch_tracked = True
        return tracked

    async def _run_step(self, reader: FileReader, step: Callable[[], None]) -> bool:
        """Do blocking work on one file; False when that file can't be read."""
        try:
            await asyncio.to_thread(step)
        except Exception as error:  # noqa: BLE001 - the edge of one item: one odd file must not stop the rest
            self._close_reader(reader)
            self._skip("unreadable", reader.found, error)
            return False
        return True

    async def _finish_file(
        self, found: DropFile, report: FileReport, *, is_counted: bool = False, had_progress: bool = False
    ) -> None:
        """Archive a file whose messages are on disk, and report it, once."""
        failed = bool(report.fault) or report.mostly_bad
        result = report.fault if report.fault == "too_large" else "failed" if failed else "done"
        reasons = report.render()
        delete = self._settings.after is After.DELETE and not reasons
        place = "failed" if failed or (self._settings.after is After.DELETE and not delete) else "done"
        plan = ArchivePlan(place, delete, reasons)
        if self._settings.after is After.KEEP:
            self._ignore(found, KEPT_US)
        else:
            try:
                archived = await asyncio.to_thread(archive_file, self._settings.directory, found, plan)
            except OSError as error:
                self._archive_error = error
                self._unarchived[found.identity] = (found, plan)
            else:
                if archived is Archived.CHANGED:
                    return  # it is read again, and reported then
        self._reporter.report_finished(
            result, found, report, is_counted=is_counted, had_progress=had_progress
        )

    def _skip(self, result: str, found: DropFile, error: Exception | None = None) -> None:
        self._reporter.report_skipped(result, found, error)
        self._ignore(found, SKIPPED_US)

    def _ignore(self, found: DropFile, duration_us: int) -> None:
        self._ignored_until[found.identity] = self._clock.monotonic() + duration_us

    def _close_reader(self, reader: FileReader) -> None:
        self._readers.remove(reader)
        reader.close()
