"""The formats of files and bodies with ids: which records there are in pieces of bytes.

`.txt .list` an id a line; `.csv` with a header; `.jsonl .ndjson` an object a
line; `.json` a list of objects, or the provider's own answers to sending. What a
record says is read by `fields`; all else of it is dropped at once.

A *record* is a line, or for `.json` an object that should hold an id. Records
are numbered from 1, and `Batch.offset` is the number of the last one examined: a
reader that was interrupted parses again from the start and skips the batches up
to the offset that it had committed. The numbers depend on the content alone,
never on how it was cut into pieces.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from exporter.domain.model import NewMessage
from exporter.ingest.formats.decoding import LINE_CHARACTERS, Decoder, Lines, is_undecodable
from exporter.ingest.formats.fields import RecordReader, find_columns

BATCH_MESSAGES = 10_000
MAX_JSON_BYTES = 64 * 2**20
"""A `.json` file is held in memory whole."""
FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "bad_json": "it is not valid JSON from here on",
        "binary": "it is not text, it has NUL bytes",
        "encoding": "its encoding is unknown: save it as UTF-8, or with a byte order mark",
        "no_header": "its first line has no column message_id",
        "too_large": f"it may have 1 GiB, or {MAX_JSON_BYTES // 2**20} MiB in a .json file",
    }
)
"""Every reason for which the rest of a file is refused (`Parser.fault`), in a sentence."""


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
    """Makes batches of one file."""

    fault: str
    """Why nothing after the batches so far can be used: one of FAULTS, or "" while there is none."""

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[Batch]:
        """The batches that `piece` completes; with `final`, called once at the end, the rest."""
        ...


class _BatchBuilder:
    """Collects messages and refusals until there are enough for a batch."""

    def __init__(self) -> None:
        self._messages: list[NewMessage] = []
        self._rejects: list[Reject] = []

    def put(self, record: int, found: NewMessage | str) -> None:
        """Add what one record holds: a message, or the reason for which it is refused."""
        if isinstance(found, str):
            self._rejects.append(Reject(record, found))
        else:
            self._messages.append(found)

    def is_full(self) -> bool:
        return len(self._messages) >= BATCH_MESSAGES or len(self._rejects) >= BATCH_MESSAGES

    def is_empty(self) -> bool:
        return not self._messages and not self._rejects

    def take(self, offset: int) -> Batch:
        batch = Batch(self._messages, self._rejects, offset)
        self._messages, self._rejects = [], []
        return batch


class _LineParser:
    """What the formats of lines share: splitting, counting and batching."""

    def __init__(self, reader: RecordReader) -> None:
        self.fault = ""
        self._reader = reader
        self._batch = _BatchBuilder()
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
                self._batch.put(self._number, "too_long")
            else:
                self._read_line(line)
            if self._batch.is_full():
                yield self._batch.take(self._number)
        if final:
            self._read_end()
        if (final or self.fault) and not self._batch.is_empty():
            yield self._batch.take(self._number)

    def _read_line(self, line: str) -> None:
        """Put the records that `line` completes into the batch."""
        raise NotImplementedError

    def _read_end(self) -> None:
        """Put the records that waited for more lines into the batch."""


class _IdLines(_LineParser):
    """An id a line, `#` comments."""

    def _read_line(self, line: str) -> None:
        text = line.strip()
        if text and text[0] != "#":
            self._batch.put(self._number, self._reader.read_id(text))


class _JsonLines(_LineParser):
    """An object a line."""

    def _read_line(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        try:
            value = _JSON.decode(text)
        except (ValueError, RecursionError):
            self._batch.put(self._number, "encoding" if is_undecodable(text) else "bad_json")
        else:
            self._batch.put(self._number, self._reader.read_object(value))


class _Csv(_LineParser):
    """A header, then a record a line, or over several lines where a field is quoted.

    The delimiter is the one that makes a column `message_id` of the header:
    spreadsheets write semicolons where the comma is the decimal mark. A quoted
    field may hold line ends, within the cap on a line.
    """

    def __init__(self, reader: RecordReader) -> None:
        super().__init__(reader)
        self._delimiter = ""
        self._columns: list[int] = []
        self._waiting: list[str] = []
        """The lines of a record whose quoted field is still open."""
        self._waiting_characters = 0

    def _read_line(self, line: str) -> None:
        if not self._columns:
            self._read_header(line)
        elif self._waiting:
            self._continue_record(line)
        elif '"' not in line:
            self._put(self._number, line.split(self._delimiter))
        elif line.count('"') % 2:
            # A field over several lines, or only a quote within a bare field: the next lines show which.
            self._waiting, self._waiting_characters = [line], len(line)
        else:
            self._put(self._number, self._split(line))

    def _read_end(self) -> None:
        self._give_up_record(self._number)

    def _read_header(self, line: str) -> None:
        if not line.strip():
            return
        for delimiter in ",;\t":
            self._delimiter = delimiter
            columns = find_columns(self._split(line) or ())
            if columns is not None:
                self._columns = columns
                return
        self.fault = "no_header"

    def _continue_record(self, line: str) -> None:
        """Go on with a record whose quoted field is longer than its line."""
        self._waiting.append(line)
        self._waiting_characters += len(line)
        if line.count('"') % 2:
            row = self._split("\n".join(self._waiting))
            if row is not None:
                first = self._number - len(self._waiting) + 1
                self._waiting = []
                self._put(first, row)
                return
        elif self._waiting_characters <= LINE_CHARACTERS:
            return
        self._waiting.pop()
        self._give_up_record(self._number - 1)
        self._read_line(line)

    def _give_up_record(self, last: int) -> None:
        """Refuse the line with the stray quote alone: the lines after it, up to `last`, are records too."""
        waiting, self._waiting = self._waiting, []
        for number, line in enumerate(waiting, last - len(waiting) + 1):
            self._put(number, self._split(line))

    def _split(self, record: str) -> list[str] | None:
        """The fields of a whole record; None when its quotes don't match."""
        try:
            return next(
                csv.reader([record], delimiter=self._delimiter, skipinitialspace=True, strict=True), []
            )
        except csv.Error:
            return None

    def _put(self, number: int, row: list[str] | None) -> None:
        if row is None:
            self._batch.put(number, "bad_csv")
        elif any(row):
            self._batch.put(number, self._reader.read_row(self._columns, row))


class _JsonFile:
    """A whole document, of at most MAX_JSON_BYTES."""

    def __init__(self, reader: RecordReader) -> None:
        self.fault = ""
        self._reader = reader
        self._batch = _BatchBuilder()
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
            yield from self._read_document()

    def _read_document(self) -> Iterator[Batch]:
        document = self._document.decode("utf-8", "surrogateescape")
        self._document.clear()
        walker = _DocumentWalker(document)
        number = 0
        for number, value in enumerate(walker.find_objects(), 1):
            self._batch.put(number, self._reader.read_object(value))
            if self._batch.is_full():
                yield self._batch.take(number)
        if walker.is_broken:
            self.fault = "bad_json"
        if not self._batch.is_empty():
            yield self._batch.take(number)


class _DocumentWalker:
    """Reads a JSON document from its front, an object at a time.

    So a document of a million objects never is a million objects in memory.
    """

    def __init__(self, document: str) -> None:
        self._document = document
        self._at = 0
        self.is_broken = False
        """Whether it is no JSON from the last object on."""

    def find_objects(self) -> Iterator[object]:
        """Each value that should hold an id."""
        try:
            yield from self._walk()
        except (ValueError, RecursionError):
            self.is_broken = True

    def _walk(self) -> Iterator[object]:
        if self._accept("["):
            for _ in self._walk_items("]"):
                value = self._decode_value()
                messages = value.get("messages") if isinstance(value, dict) else None
                if isinstance(messages, list):
                    yield from messages
                else:
                    yield value
        else:
            yield from self._walk_object()
        if self._peek():
            raise ValueError

    def _walk_object(self) -> Iterator[object]:
        """The objects of one answer of the provider (its `messages`), or the object itself."""
        members: dict[object, object] = {}
        is_answer = False
        self._expect("{")
        for _ in self._walk_items("}"):
            key = self._decode_value()
            self._expect(":")
            if key == "messages" and self._accept("["):
                is_answer = True
                for _ in self._walk_items("]"):
                    yield self._decode_value()
            else:
                members[key] = self._decode_value()
        if not is_answer:
            yield members

    def _walk_items(self, closing: str) -> Iterator[None]:
        """Stop before each item of a list or an object that was just opened."""
        if self._accept(closing):
            return
        while True:
            yield
            if self._accept(closing):
                return
            self._expect(",")

    def _decode_value(self) -> object:
        self._peek()
        value: object
        value, self._at = _JSON.raw_decode(self._document, self._at)
        return value

    def _peek(self) -> str:
        """The next character that is no white space, not taken yet; "" at the end."""
        space = _SPACE.match(self._document, self._at)
        if space is not None:
            self._at = space.end()
        return self._document[self._at : self._at + 1]

    def _accept(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            raise ValueError


_JSON = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
"""Numbers stay text: an id of digits keeps its zeros, a time its fraction, and none costs a conversion."""
_SPACE = re.compile(r"[ \t\n\r]*")

SUFFIXES: dict[str, Callable[[RecordReader], Parser]] = {
    ".txt": _IdLines,
    ".list": _IdLines,
    ".csv": _Csv,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".json": _JsonFile,
}
"""The formats by the end of a file's name, in lower case."""


def make_parser(suffix: str, reader: RecordReader) -> Parser:
    """A parser for one file; `suffix` is a key of SUFFIXES."""
    return SUFFIXES[suffix](reader)
