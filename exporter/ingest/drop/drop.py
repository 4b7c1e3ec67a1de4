"""A drop directory: files of message ids are found, taken in, and put aside.

Every pass looks at the directory (no inotify: it is silent on network file
systems), takes files that have settled, hands their messages over in
transactions that also record how far the file got, and only when the last of
them is on disk puts the file aside. Taken again after a crash, a file changes
nothing.

What a user may rely on:

- Good lines of a bad file count, refused ones are listed in `failed/NAME.reason`
  by number and reason. With more than half of its lines refused, or unusable from
  some point on, the file itself goes to `failed/` too; else to `done/`. Nothing
  counts of a file that is no text or in an encoding that it doesn't announce.
- `done/` and `failed/` lie beside the file, in its own subdirectory.
- A large file takes turns with the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from exporter.domain.model import SECOND_US
from exporter.ingest.batching import Intake, hand_over
from exporter.ingest.drop.archive import Placed, Plan, put_aside
from exporter.ingest.drop.directory import DropFile, Identity, Listing, open_found, scan_directory
from exporter.ingest.drop.file_reader import Reading, Report
from exporter.ingest.drop.reporting import DropInstruments, Journal, Summary
from exporter.ingest.formats.fields import Context
from exporter.ingest.formats.formats import BATCH_MESSAGES, Batch, parser
from exporter.runtime.clock import Clock
from exporter.runtime.errors import StoreFull
from exporter.store import READ_TO_THE_END

PASS_US = SECOND_US
UNENDED_US = 30 * SECOND_US
"""After this long unchanged, an unended last line is a line, and JSON that closes no bracket is whole."""
NOTICE_US = 3600 * SECOND_US
"""A file that can't be taken is told, and tried again, once in this time."""
KEPT_US = 24 * 3600 * SECOND_US
"""A file that stays is shown to the store again once in this time, so that its record isn't forgotten."""
MAX_FILE_BYTES = 2**30
PASS_FILES = 1000
TURN_BATCHES = 5
MAX_OPEN = 8
"""Files that are open at a time because they take more than a turn."""
MAX_UNMOVED = 1000
"""Files taken in that can't be put aside; with so many, nothing new is taken from the directory."""

_ONE_TURN_BYTES = 2 * TURN_BATCHES * BATCH_MESSAGES  # a record and its end are at least two bytes


class After(StrEnum):
    """What becomes of a file that was taken in; with refused lines, `delete` moves it to `failed/`."""

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


class DropDirectory:
    """One configured directory, watched."""

    def __init__(
        self,
        settings: DropSettings,
        accounts: Collection[str],
        intake: Intake,
        instruments: DropInstruments,
        clock: Clock,
    ) -> None:
        """Open nothing yet; `accounts` are the names that a record may bear."""
        self._settings = settings
        self._accounts = accounts
        self._intake = intake
        self._clock = clock
        self._journal = Journal(settings.directory, instruments)
        self._first_seen: dict[Identity, int] = {}
        self._left_alone: dict[Identity, int] = {}
        """Files that stay where they are, and until when they are passed over (monotonic)."""
        self._unmoved: dict[Identity, tuple[DropFile, Plan]] = {}
        """Files that were told of and only need to be put aside."""
        self._readings: list[Reading] = []

    async def run(self, stop: asyncio.Event) -> None:
        """StatusBuilder until `stop`; whatever is wrong with the directory or a file is waited out."""
        try:
            while not stop.is_set():
                summary = await self.scan_once(stop)
                if summary.blocked or not summary.unfinished:
                    await self._clock.wait(stop, PASS_US)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the files that are open: they go on where they stopped when they are found again."""
        for reading in self._readings:
            reading.close()
        self._readings.clear()

    async def scan_once(self, stop: asyncio.Event | None = None) -> Summary:
        """One pass; ends early at `stop`."""
        summary = self._journal.start_pass()
        settled: list[DropFile] = []
        try:
            listing = await asyncio.to_thread(self._look)
        except OSError:
            readable = False
        else:
            readable = True
            self._take_note(listing)
            settled = self._settled(listing)
        await self._retry_moves()
        try:
            await self._take_in(settled, stop or asyncio.Event())
        except StoreFull:
            summary.blocked = True  # the store tells of it; files stay where they are until it has room
        summary.unfinished = len(self._readings)
        self._journal.up(ok=readable and not self._unmoved)
        return summary

    def _look(self) -> Listing:
        now = self._clock.monotonic()
        left_alone = {identity for identity, until in self._left_alone.items() if until > now}
        return scan_directory(self._settings.directory, left_alone | self._unmoved.keys())

    def _take_note(self, listing: Listing) -> None:
        """Tell of what is passed over, forget what is no longer there."""
        present = listing.remembered
        self._left_alone = {at: until for at, until in self._left_alone.items() if at in present}
        self._unmoved = {at: unmoved for at, unmoved in self._unmoved.items() if at in present}
        for result, found in listing.notices:
            self._pass_over(result, found)
        self._journal.exposed(exposed=listing.exposed)

    def _settled(self, listing: Listing) -> list[DropFile]:
        """The files that nobody has written to for a while."""
        now = self._clock.monotonic()
        self._first_seen = {
            found.identity: self._first_seen.get(found.identity, now) for found in listing.files
        }
        being_read = {reading.found.identity[:2] for reading in self._readings}
        return [
            found
            for found in listing.files
            if now - self._first_seen[found.identity] >= self._settings.settle_us
            and found.identity[:2] not in being_read
        ][:PASS_FILES]

    async def _retry_moves(self) -> None:
        for identity, (found, plan) in list(self._unmoved.items()):
            try:
                await asyncio.to_thread(put_aside, self._settings.directory, found, plan)
            except OSError:
                return  # what keeps one from being moved keeps them all
            del self._unmoved[identity]

    async def _take_in(self, settled: list[DropFile], stop: asyncio.Event) -> None:
        """A turn for each file that is open, then for the new ones, until there is no more room."""
        for reading in list(self._readings):
            if stop.is_set() or not await self._turn(reading):
                return
        for found in settled:
            if stop.is_set() or len(self._unmoved) >= MAX_UNMOVED:
                return
            size = found.identity.size_bytes
            if size > MAX_FILE_BYTES:
                await self._finish(found, Report(fault="too_large"))
            elif (len(self._readings) < MAX_OPEN or size <= _ONE_TURN_BYTES) and not await self._take(found):
                return

    async def _take(self, found: DropFile) -> bool:
        """Begin with a file; False when there is no more room."""
        begun = await asyncio.to_thread(self._begin, found)
        if isinstance(begun, str):
            self._pass_over(begun, found)
        elif begun is not None:
            self._readings.append(begun)
            return await self._turn(begun)
        return True

    def _begin(self, found: DropFile) -> Reading | str | None:
        """Open a file and make its key; None when it must wait, a result when it can't be read."""
        descriptor = open_found(self._settings.directory, found)
        if not isinstance(descriptor, int):
            return descriptor
        settings = self._settings
        campaign = found.folder or settings.campaign
        context = Context(campaign, settings.account, self._accounts, self._clock.now())
        reading = Reading(descriptor, found, parser(found.suffix, context))
        age_us = self._clock.monotonic() - self._first_seen[found.identity]
        try:
            whole = reading.ends_in_newline() or (found.suffix == ".json" and reading.closes_its_bracket())
            ready = (whole or age_us >= UNENDED_US) and reading.measure()
        except OSError:
            reading.close()
            return "unreadable"
        if not ready:
            reading.close()
            return None
        return reading

    async def _turn(self, reading: Reading) -> bool:
        """Go on with one file for some batches; False when there is no more room."""
        if reading.committed_offset is None:
            committed = await self._intake.progress(reading.key)
            if committed == READ_TO_THE_END and self._settings.after is After.KEEP:
                self._end(reading)
                self._leave_alone(reading.found, KEPT_US)
                return True
            if not await self._step(reading, partial(reading.start, committed)):
                return True
        for _ in range(TURN_BATCHES):
            if reading.batch is None:
                break
            if not await self._hand_over(reading, reading.batch):
                return False
            if not await self._step(reading, reading.load):
                return True
        if reading.batch is None:
            self._end(reading)
            if not reading.changed:
                again = reading.committed_offset == READ_TO_THE_END
                told = reading.told_at > reading.began_at
                await self._finish(reading.found, reading.report, again=again, told=told)
        return True

    async def _hand_over(self, reading: Reading, batch: Batch) -> bool:
        """Hand over one batch; False when there is no more room."""
        while not reading.is_handed_over:
            waited = reading.waits
            tracked = await hand_over(self._intake, reading, batch)
            self._journal.tracked(tracked, waited=waited, waits=reading.waits)
            self._journal.going_on(reading, self._clock.monotonic())
            if reading.waits:
                return False
        return True

    async def _step(self, reading: Reading, step: Callable[[], None]) -> bool:
        """Do blocking work on one file; False when that file is beyond us."""
        try:
            await asyncio.to_thread(step)
        except Exception as error:  # noqa: BLE001 - the edge of one item: one odd file must not stop the rest
            self._end(reading)
            self._pass_over("unreadable", reading.found, error)
            return False
        return True

    async def _finish(
        self, found: DropFile, report: Report, *, again: bool = False, told: bool = False
    ) -> None:
        """Put a file aside whose messages are on disk, and tell of it, once."""
        failed = bool(report.fault) or report.mostly_bad
        result = report.fault if report.fault == "too_large" else "failed" if failed else "done"
        delete = self._settings.after is After.DELETE and not report.text()
        aside = "failed" if failed or (self._settings.after is After.DELETE and not delete) else "done"
        plan = Plan(aside, delete, report.text())
        if self._settings.after is After.KEEP:
            self._leave_alone(found, KEPT_US)
        else:
            try:
                placed = await asyncio.to_thread(put_aside, self._settings.directory, found, plan)
            except OSError:
                self._unmoved[found.identity] = (found, plan)
            else:
                if placed is Placed.CHANGED:
                    return  # it is read again, and told of then
        self._journal.finished(result, found, report, again=again, told=told)

    def _pass_over(self, result: str, found: DropFile, error: Exception | None = None) -> None:
        self._journal.file(result, found, error)
        self._leave_alone(found, NOTICE_US)

    def _leave_alone(self, found: DropFile, duration_us: int) -> None:
        self._left_alone[found.identity] = self._clock.monotonic() + duration_us

    def _end(self, reading: Reading) -> None:
        self._readings.remove(reading)
        reading.close()
