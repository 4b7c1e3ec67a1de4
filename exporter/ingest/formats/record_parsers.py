"""The structured formats: which fields a CSV record, a JSON object or an answer of the provider holds.

Fields come out as text, unchecked (`fields.Context` checks); only those that
are known are looked at. A record that can't be read is a reason, not an error.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from exporter.ingest.formats.decoding import LINE_CHARACTERS, undecodable


class Fields(NamedTuple):
    """The known fields of one record, as they stand there; an empty one was not given."""

    message_id: str
    campaign: str
    account: str
    sent_at: str


class CsvRecords:
    """Lines of a CSV file into records; a quoted field may hold line ends, within the cap on a line.

    The delimiter is the one that makes a column `message_id` of the header:
    spreadsheets write semicolons where the comma is the decimal mark.
    """

    def __init__(self) -> None:
        """Start before the header."""
        self.headless = False
        """The first line is no header with a column `message_id`."""
        self._delimiter = ""
        self._columns: list[int] = []
        self._waiting: list[str] = []
        self._waiting_characters = 0

    def feed(self, number: int, line: str) -> Iterator[tuple[int, Fields | str]]:
        """The records that line `number` completes, each with the number of its first line."""
        if not self._delimiter:
            self._read_header(line)
        elif self._waiting:
            yield from self._continue(number, line)
        elif '"' not in line:
            yield from self._record(number, line.split(self._delimiter))
        elif line.count('"') % 2:
            # A field over several lines, or only a quote within a bare field: the lines to come tell.
            self._waiting, self._waiting_characters = [line], len(line)
        else:
            yield from self._record(number, self._row(line))

    def finish(self, number: int) -> Iterator[tuple[int, Fields | str]]:
        """The records that still waited for a closing quote after line `number`, the last."""
        yield from self._give_up(number)

    def _continue(self, number: int, line: str) -> Iterator[tuple[int, Fields | str]]:
        """Go on with a record whose quoted field went over the end of its line."""
        self._waiting.append(line)
        self._waiting_characters += len(line)
        if line.count('"') % 2:
            row = self._row("\n".join(self._waiting))
            if row is not None:
                first = number - len(self._waiting) + 1
                self._waiting = []
                yield from self._record(first, row)
                return
        elif self._waiting_characters <= LINE_CHARACTERS:
            return
        self._waiting.pop()
        yield from self._give_up(number - 1)
        yield from self.feed(number, line)

    def _give_up(self, number: int) -> Iterator[tuple[int, Fields | str]]:
        """Refuse the line with the stray quote alone: the lines that it swallowed stand for themselves."""
        waiting, self._waiting = self._waiting, []
        for at, line in enumerate(waiting, number - len(waiting) + 1):
            yield from self._record(at, self._row(line))

    def _row(self, record: str) -> list[str] | None:
        """The fields of a whole record; None when its quotes don't match."""
        try:
            return next(
                csv.reader([record], delimiter=self._delimiter, skipinitialspace=True, strict=True), []
            )
        except csv.Error:
            return None

    def _read_header(self, line: str) -> None:
        if not line.strip():
            return
        for delimiter in ",;\t":
            self._delimiter = delimiter
            names = [_NAMES.get(name.strip().lower(), -1) for name in self._row(line) or ()]
            self._columns = [
                names.index(field) if field in names else -1 for field in range(len(Fields._fields))
            ]
            if self._columns[0] >= 0:
                return
        self.headless = True

    def _record(self, number: int, row: list[str] | None) -> Iterator[tuple[int, Fields | str]]:
        if row is None:
            yield number, "bad_csv"
        elif any(row):
            width = len(row)
            yield number, Fields(*[row[at].strip() if 0 <= at < width else "" for at in self._columns])


_NAMES = {"message_id": 0, "messageid": 0, "campaign": 1, "account": 2, "sent_at": 3}
"""Header words, in lower case, and the place in Fields that they stand for."""


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
"""Numbers stay text: an id of digits keeps its zeros, a time its fraction, and none costs a conversion."""
_SPACE = re.compile(r"[ \t\n\r]*")
_UNSENT = frozenset({"rejected", "failed"})
"""The words with which the provider says that it won't send: such an id would never be found."""
_NO_TEXT = "\0"
"""Stands for a value that is neither text nor number: no check lets it pass."""


def json_fields(line: str) -> Fields | str:
    """The fields of one object, written as `line`; or the reason of its refusal."""
    try:
        value = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return "encoding" if undecodable(line) else "bad_json"
    return _fields_of(value)


def document_fields(document: str) -> Iterator[Fields | str | None]:
    """The fields of each object of a whole document; None, at its end, when it is no JSON from there on.

    Objects are decoded one by one: a document of a million never stands in memory as a million objects.
    """
    walk = _Walk(document)
    try:
        for value in walk.objects():
            yield _fields_of(value)
    except (ValueError, RecursionError):
        yield None


def _fields_of(value: object) -> Fields | str:
    if not isinstance(value, dict):
        return "bad_json"
    status = value.get("status")
    if isinstance(status, str) and status.lower() in _UNSENT:
        return "not_sent"
    message_id = value["message_id"] if "message_id" in value else value.get("messageId")
    return Fields(
        _text(message_id),
        _text(value.get("campaign")),
        _text(value.get("account")),
        _text(value.get("sent_at")),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else _NO_TEXT


class _Walk:
    """A document, read from its front."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._at = 0

    def objects(self) -> Iterator[object]:
        """Each value that should hold an id; raises ValueError or RecursionError where it breaks."""
        if self._takes("["):
            for _ in self._items("]"):
                value = self._value()
                messages = value.get("messages") if isinstance(value, dict) else None
                if isinstance(messages, list):
                    yield from messages
                else:
                    yield value
        else:
            yield from self._members()
        if self._next():
            raise ValueError

    def _members(self) -> Iterator[object]:
        """The objects of one answer (its `messages`), or the object itself."""
        members: dict[object, object] = {}
        answer = False
        self._expect("{")
        for _ in self._items("}"):
            key = self._value()
            self._expect(":")
            if key == "messages" and self._takes("["):
                answer = True
                for _ in self._items("]"):
                    yield self._value()
            else:
                members[key] = self._value()
        if not answer:
            yield members

    def _items(self, closing: str) -> Iterator[None]:
        """Stop before each item of a list or an object that was just opened."""
        if self._takes(closing):
            return
        while True:
            yield
            if self._takes(closing):
                return
            self._expect(",")

    def _value(self) -> object:
        self._next()
        value: object
        value, self._at = _DECODER.raw_decode(self._document, self._at)
        return value

    def _next(self) -> str:
        """The next character that is no white space, not taken yet; "" at the end."""
        space = _SPACE.match(self._document, self._at)
        if space is not None:
            self._at = space.end()
        return self._document[self._at : self._at + 1]

    def _takes(self, character: str) -> bool:
        found = self._next() == character
        self._at += found
        return found

    def _expect(self, character: str) -> None:
        if not self._takes(character):
            raise ValueError
