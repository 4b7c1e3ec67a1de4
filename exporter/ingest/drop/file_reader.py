"""Reads one dropped file: its key, its batches one after the other, and what was wrong with it.

The file is read twice from one descriptor: once for the hash that is part of
its key, once for its content, and the second reading must give the same hash.
Blocking calls (`measure`, `start`, `load`): for a thread.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator

from exporter.ingest.drop.directory import DropFile, Identity
from exporter.ingest.formats.fields import REASONS
from exporter.ingest.formats.formats import BATCH_MESSAGES, FAULTS, Batch, Parser, Reject
from exporter.store import READ_TO_THE_END

PIECE_BYTES = 2**20
EDGE_BYTES = 64
REPORTED_LINES = 10_000
"""Refused records that a report lists; it counts them all."""


class FileReport:
    """How many records of a file were used, and which were not, and why: never what they held."""

    def __init__(self, suffix: str, fault: str = "") -> None:
        """Start with nothing; `fault` says why the file, or the rest of it, can't be used."""
        self.fault = fault
        self.messages = 0
        self.reasons: Counter[str] = Counter()
        self._record_word = "record" if suffix == ".json" else "line"
        self._listed: list[Reject] = []

    def add(self, batch: Batch) -> None:
        """Count one batch."""
        self.messages += len(batch.messages)
        self.reasons.update(reject.reason for reject in batch.rejects)
        self._listed += batch.rejects[: REPORTED_LINES - len(self._listed)]

    @property
    def rejected(self) -> int:
        """Records that were refused."""
        return self.reasons.total()

    @property
    def mostly_bad(self) -> bool:
        """Whether more than half of the records were refused."""
        return self.rejected > self.messages

    def render(self) -> bytes:
        """The content of a `.reason` file; empty when there is nothing to report."""
        if not self.fault and not self.rejected:
            return b""
        lines = [f"file: {self.fault} ({FAULTS[self.fault]})"] if self.fault else []
        lines.append(f"used: {self.messages}")
        lines += [f"refused: {n} {reason} ({REASONS[reason]})" for reason, n in sorted(self.reasons.items())]
        lines += [f"{self._record_word} {record}: {reason}" for record, reason in self._listed]
        left_out = self.rejected - len(self._listed)
        if left_out:
            lines.append(f"and {left_out} more {self._record_word}s")
        return "\n".join([*lines, ""]).encode()


class FileReader:
    """A file that is open; `close` it.

    `batch` is what to track next, with `is_last`; `load` goes on to the one
    after it. A batch is held back until the one after it was read: the last one
    is only tracked when the whole file proved unchanged.
    """

    def __init__(self, descriptor: int, found: DropFile, parser: Parser) -> None:
        """Take over `descriptor`."""
        self.found = found
        self.key = b""
        """Names this content of this file to the store: SHA-256 over both."""
        self.report = FileReport(found.suffix)
        self.changed = False
        """The file was written to since it was found: nothing more of it can be trusted."""
        self.batch: Batch | None = None
        self.is_last = False
        self.committed_offset: int | None = None
        """As far as the store has it; None until that was read, READ_TO_THE_END for all."""
        self.offset = 0
        """As far as this reader has committed."""
        self.batch_tracked = 0
        """Messages of `batch` that the store has already."""
        self.is_batch_tracked = False
        """Whether the store has all of `batch`."""
        self.part_messages = BATCH_MESSAGES
        """How many to track in a transaction."""
        self.is_waiting = False
        """The store had no room for even one more."""
        self.messages = 0
        """How many this reader has had tracked."""
        self.read_bytes = 0
        """As far as it is read: a little ahead of what is tracked."""
        self.began_at = self.logged_at = 0
        """When the first messages were tracked, and when progress was last logged (monotonic)."""
        self.began_bytes = 0
        """As far as it was read then."""
        self._descriptor = descriptor
        self._parser = parser
        self._content = b""
        self._batches = self._read_batches()
        self._ahead: Batch | None = None

    def close(self) -> None:
        """Give back the descriptor; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def ends_in_newline(self) -> bool:
        """Whether the last line is terminated, in any encoding: NULs around a newline don't matter.

        Raises OSError.
        """
        size = self.found.identity.size_bytes
        tail = os.pread(self._descriptor, 4, max(0, size - 4))
        return tail.rstrip(b"\0").endswith((b"\n", b"\r"))

    def closes_its_bracket(self) -> bool:
        """Whether it ends with the bracket that it begins with, in any encoding; raises OSError.

        Programs write JSON without a newline at its end.
        """
        size = self.found.identity.size_bytes
        head = os.pread(self._descriptor, EDGE_BYTES, 0).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
        tail = os.pread(self._descriptor, EDGE_BYTES, max(0, size - EDGE_BYTES)).rstrip(b"\0 \t")
        return head[:1] + tail[-1:] in {b"[]", b"{}"}

    def measure(self) -> bool:
        """Hash the content and make the key; False when the file is changing. Raises OSError."""
        content = hashlib.sha256()
        for piece in self._read_pieces():
            content.update(piece)
        self._content = content.digest()
        identity = ",".join(map(str, self.found.identity[:4])).encode()
        # Without the time of the inode's change: that moves with a rename, and the key must outlive one.
        self.key = hashlib.sha256(self._content + identity).digest()
        return not self.changed

    def start(self, committed_offset: int) -> None:
        """Skip what the store has; raises OSError."""
        self.committed_offset = committed_offset
        self.offset = max(0, committed_offset)
        self._ahead = next(self._batches, None)
        self.load()

    def load(self) -> None:
        """Go on to the next batch that the store doesn't have, None at the end; raises OSError."""
        self.batch_tracked, self.is_batch_tracked = 0, False
        while True:
            batch, self._ahead = self._ahead, next(self._batches, None)
            if batch is not None:
                self.report.add(batch)
            if batch is None or self._is_new(batch):
                break
        self.batch = None if self.changed else batch
        self.is_last = self._ahead is None

    def _is_new(self, batch: Batch) -> bool:
        committed = self.committed_offset
        return committed != READ_TO_THE_END and (committed is None or batch.offset > committed)

    def _read_batches(self) -> Iterator[Batch]:
        content = hashlib.sha256()
        for piece in self._read_pieces():
            content.update(piece)
            yield from self._parser.feed(piece)
            if self._parser.fault:
                break
        else:
            if not self.changed and content.digest() == self._content:
                yield from self._parser.feed(b"", final=True)
            else:
                self.changed = True
        self.report.fault = self._parser.fault

    def _read_pieces(self) -> Iterator[bytes]:
        """The content as it was found; sets `changed` and stops where it is another by now."""
        position = 0
        while True:
            piece = os.pread(self._descriptor, PIECE_BYTES, position)
            self.read_bytes = position = position + len(piece)
            # After each piece, so that no line is ever put together from two states of the file.
            now = Identity.of(os.fstat(self._descriptor))
            self.changed = self.changed or not now.has_same_content(self.found.identity)
            if self.changed or not piece:
                self.changed = self.changed or position != self.found.identity.size_bytes
                return
            yield piece
