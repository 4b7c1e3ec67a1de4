"""The formats that ids are dropped in, over files and over HTTP: pieces of bytes into messages and refusals.

`.txt .list` an id a line; `.csv` with a header; `.jsonl .ndjson` an object a
line; `.json` a list of objects, or the provider's own answers to sending. Only
the known fields are read; all else of a record is dropped at once.

A *record* is a line, or for `.json` an object that should hold an id. Records
are numbered from 1, and `Batch.offset` is the number of the last one examined: a
reader that was interrupted parses again from the start and passes over the
batches up to the offset that it had committed. The numbers depend on the
content alone, never on how it was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from exporter.domain.model import NewMessage
from exporter.ingest.formats.decoding import LINE_CHARACTERS, Decoder, Lines
from exporter.ingest.formats.fields import Context, id_refusal
from exporter.ingest.formats.record_parsers import CsvRecords, Fields, document_fields, json_fields

BATCH_MESSAGES = 10_000
MAX_JSON_BYTES = 64 * 2**20
"""A `.json` file is held in memory whole."""
FAULTS = ("bad_json", "binary", "encoding", "no_header", "too_large")
"""Every reason for which the rest of a file is refused (`Parser.fault`)."""


class Reject(NamedTuple):
    """One refused record."""

    record: int
    reason: str


class Batch(NamedTuple):
    """What records up to `offset` held, from the offset of the batch before."""

    messages: list[NewMessage]
    """At most BATCH_MESSAGES."""
    rejects: list[Reject]
    """At most BATCH_MESSAGES."""
    offset: int


class Parser(Protocol):
    """One file on its way in."""

    fault: str
    """Why nothing after the batches so far can be used: one of FAULTS, or "" while all is well."""

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[Batch]:
        """The batches that `piece` completes; with `final`, called once at the end, the rest."""
        ...


class _BatchBuilder:
    """Messages and refusals until there are enough for a batch."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._messages: list[NewMessage] = []
        self._rejects: list[Reject] = []

    def put(self, record: int, fields: Fields | str) -> None:
        """Check the fields of one record; a reason instead of them refuses it."""
        found = fields if isinstance(fields, str) else self._context.message(*fields)
        if isinstance(found, str):
            self._rejects.append(Reject(record, found))
        else:
            self._messages.append(found)

    def put_id(self, record: int, text: str) -> None:
        """`put` for a bare id: the hot path of the plain list."""
        reason = id_refusal(text)
        if reason:
            self._rejects.append(Reject(record, reason))
        else:
            self._messages.append(NewMessage(text, self._context.campaign, self._context.account))

    def is_full(self) -> bool:
        return len(self._messages) >= BATCH_MESSAGES or len(self._rejects) >= BATCH_MESSAGES

    def is_empty(self) -> bool:
        return not self._messages and not self._rejects

    def take(self, offset: int) -> Batch:
        batch = Batch(self._messages, self._rejects, offset)
        self._messages, self._rejects = [], []
        return batch


class _LineFormat:
    """What is common to the formats of lines: cutting, counting and batching."""

    def __init__(self, context: Context) -> None:
        self.fault = ""
        self._basket = _BatchBuilder(context)
        self._lines = Lines()
        self._number = 0

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[Batch]:
        """See `Parser.feed`."""
        if self.fault:
            return
        lines = self._lines.feed(piece, final=final)
        self.fault = self._lines.fault
        for line in lines:
            if self.fault:
                # Or what is refused after a bad header would depend on how the file was cut.
                break
            self._number += 1
            if len(line) > LINE_CHARACTERS:
                self._basket.put(self._number, "too_long")
            else:
                self._read(line)
            if self._basket.is_full():
                yield self._basket.take(self._number)
        if final:
            self._end()
        if (final or self.fault) and not self._basket.is_empty():
            yield self._basket.take(self._number)

    def _read(self, line: str) -> None:
        """Put what `line` holds into the basket."""
        raise NotImplementedError

    def _end(self) -> None:
        """Put what was waiting for more lines into the basket."""


class _IdLines(_LineFormat):
    """An id a line, `#` comments."""

    def _read(self, line: str) -> None:
        text = line.strip()
        if text and text[0] != "#":
            self._basket.put_id(self._number, text)


class _JsonLines(_LineFormat):
    """An object a line."""

    def _read(self, line: str) -> None:
        text = line.strip()
        if text:
            self._basket.put(self._number, json_fields(text))


class _Csv(_LineFormat):
    """A header, then a record a line, or over several lines where a field is quoted."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._records = CsvRecords()

    def _read(self, line: str) -> None:
        if not self.fault:
            self._keep(self._records.feed(self._number, line))
            if self._records.headless:
                self.fault = "no_header"

    def _end(self) -> None:
        self._keep(self._records.finish(self._number))

    def _keep(self, records: Iterator[tuple[int, Fields | str]]) -> None:
        for number, fields in records:
            self._basket.put(number, fields)


class _JsonFile:
    """A whole document, of at most MAX_JSON_BYTES."""

    def __init__(self, context: Context) -> None:
        self.fault = ""
        self._basket = _BatchBuilder(context)
        self._decoder = Decoder()
        self._document = bytearray()

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[Batch]:
        """See `Parser.feed`."""
        if self.fault:
            return
        self._document += self._decoder.feed(piece, final=final)
        self.fault = self._decoder.fault
        if len(self._document) > MAX_JSON_BYTES:
            self.fault = "too_large"
            self._document.clear()
        if final and not self.fault:
            yield from self._read()

    def _read(self) -> Iterator[Batch]:
        document = self._document.decode("utf-8", "surrogateescape")
        self._document.clear()
        number = 0
        for fields in document_fields(document):
            if fields is None:
                self.fault = "bad_json"
                break
            number += 1
            self._basket.put(number, fields)
            if self._basket.is_full():
                yield self._basket.take(number)
        if not self._basket.is_empty():
            yield self._basket.take(number)


SUFFIXES: dict[str, Callable[[Context], Parser]] = {
    ".txt": _IdLines,
    ".list": _IdLines,
    ".csv": _Csv,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".json": _JsonFile,
}
"""The formats by the end of a file's name, in lower case."""


def parser(suffix: str, context: Context) -> Parser:
    """A parser for one file; `suffix` is a key of SUFFIXES."""
    return SUFFIXES[suffix](context)
