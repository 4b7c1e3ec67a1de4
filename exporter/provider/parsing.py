"""What the provider's bytes say: the body of an answer or a webhook, its compression, its `Retry-After`.

Pure: no connection and no clock here. Nothing that the provider sends gets past
these functions unless it is on a list of known words or has a checked shape, so
that no body can make a series, a row or a line of the log of its own.

A body that isn't one well-formed JSON document is `BAD_BODY`; a document that
doesn't say what became of the message asked about is `BAD_SCHEMA`. A cost that
can't be used spoils only the cost.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from email.utils import parsedate_tz
from typing import NoReturn

from exporter.domain import message_ids
from exporter.domain.events import WebhookEvent
from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Answer, Outcome
from exporter.domain.states import REPORTED, Status
from exporter.domain.timestamps import parse_timestamp

MAX_BODY_BYTES = 64 * 1024
"""Most bytes of one body that are ever held; as many again once it is inflated."""
MAX_COST_UNITS = 10**9
"""A message that costs more than this is a mistake, in any currency."""
MAX_PARTS = 255
MAX_ENTRIES = 16
"""Most entries of `fallbacks` and of `extendedStatuses` that are looked at."""
MIN_RETRY_AFTER_US = SECOND_US
MAX_RETRY_AFTER_US = 3600 * SECOND_US

OTHER = "other"
"""Stands for every word of an entry that isn't known."""
UNPRINTABLE = "unprintable"
"""Stands for a status word that hasn't the shape of a word."""
CHANNELS = frozenset({"viber", "sms", "rcs", "email", "flashcall", "push", "telegram", "whatsapp"})
STATUS_BY_WORD = {status.word: status for status in Status if status in REPORTED}
ENTRY_STATUSES = frozenset({*STATUS_BY_WORD, "not_used", "read"})

_WORD = re.compile(r"[a-z_]{1,32}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_DATE = re.compile(
    r"(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,? [A-Za-z0-9 -]{6,11} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[0-9]{4})",
    re.ASCII,
)
"""The three forms of a date that HTTP knows; the standard parser alone takes almost anything for one."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NANO = Decimal("1e-9")
_NANO_CONTEXT = Context(prec=30)
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class _Fraction(str):
    """A number with a point or an exponent, as it was written: only a cost is worth its exact value."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which the standard parser takes and JSON doesn't have."""
    raise ValueError(name)


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of `pairs`; of two equal keys nobody knows which one was meant."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates,
    parse_constant=_refuse_constant,
    parse_float=_Fraction,
)


def parse_answer(body: bytes, message_id: str) -> Answer | Outcome:
    """Read the answer to "what became of `message_id`?".

    `body` is decoded content of at most `MAX_BODY_BYTES`. Returns `BAD_BODY` or
    `BAD_SCHEMA` where it can't be believed; never raises.
    """
    try:
        document = _decoded(body)
    except (ValueError, RecursionError):
        return Outcome.BAD_BODY
    if type(document) is not dict or document.get("messageId") != message_id:
        return Outcome.BAD_SCHEMA
    word = document.get("deliverystatus")
    if type(word) is not str:
        return Outcome.BAD_SCHEMA
    word = word.strip().lower()
    status = STATUS_BY_WORD.get(word, Status.OTHER)
    cost_nanos, currency, cost_invalid = _cost(document)
    parts = document.get("partscount")
    return Answer(
        status,
        "" if status is not Status.OTHER else word if _WORD.fullmatch(word) else UNPRINTABLE,
        parts if type(parts) is int and 0 <= parts <= MAX_PARTS else 0,
        cost_nanos,
        currency,
        cost_invalid,
        _fallbacks(document.get("fallbacks")),
        _channels(document.get("extendedStatuses")),
    )


def parse_webhook(body: bytes) -> WebhookEvent | None:
    """Read a webhook; None for what isn't one well-formed JSON object about one message. Never raises."""
    try:
        document = _decoded(body)
    except (ValueError, RecursionError):
        return None
    if type(document) is not dict:
        return None
    message_id, word = document.get("messageId"), document.get("deliverystatus")
    if type(message_id) is not str or type(word) is not str or message_ids.reject_reason(message_id):
        return None
    told_at = document.get("timestamp")
    # A number stays what it is: seconds. No number has the shape of a date, so nothing is mistaken.
    occurred_at = parse_timestamp(str(told_at)) if isinstance(told_at, str | int) else None
    status = STATUS_BY_WORD.get(word.strip().lower(), Status.OTHER)
    return WebhookEvent(message_id, status, occurred_at or 0, _nanos(document.get("cost")))


def _decoded(body: bytes) -> object:
    """The one JSON document that `body` is; ValueError or RecursionError where it is none."""
    text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    document: object = _DECODER.decode(text)
    if "\\u" in text:
        # Only an escape can smuggle in half a surrogate pair; to write it out again finds it.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def _cost(document: dict[str, object]) -> tuple[int | None, str, bool]:
    """Cost in nanos, its currency ("" for the account's), and whether an amount had to be dropped."""
    billed = document.get("billAmount")
    billed_nanos = _nanos(billed)
    currency = document.get("billCurrency")
    if billed_nanos is not None and type(currency) is str and _CURRENCY.fullmatch(currency):
        return billed_nanos, currency, False
    cost = document.get("cost")
    cost_nanos = _nanos(cost)
    dropped = (
        (billed is not None and billed_nanos is None)
        or (cost is not None and cost_nanos is None)
        or (billed_nanos is not None and cost is None)
    )
    return cost_nanos, "", dropped


def _nanos(amount: object) -> int | None:
    """Billionths of a unit, rounded half to even; None for what is no plausible amount.

    Exact: the digits go from the body to the integer without passing a float.
    """
    # The exact types: True is an int too, and a quoted "0.05" a string that nobody promised.
    if type(amount) is int:
        return amount * NANOS_PER_UNIT if 0 <= amount <= MAX_COST_UNITS else None
    if type(amount) is not _Fraction:
        return None
    try:
        value = Decimal(amount)
    except InvalidOperation:  # an exponent beyond what even Decimal holds
        return None
    if not 0 <= value <= MAX_COST_UNITS:
        return None
    return int(value.quantize(_NANO, ROUND_HALF_EVEN, _NANO_CONTEXT).scaleb(9))


def _fallbacks(entries: object) -> tuple[tuple[str, str], ...]:
    """(type, status) of each fallback; an entry without a status says nothing and is left out."""
    if type(entries) is not list or not entries:
        return ()
    return _bounded(
        (entry.get("type"), entry.get("status")) for entry in entries[:MAX_ENTRIES] if type(entry) is dict
    )


def _channels(statuses: object) -> tuple[tuple[str, str], ...]:
    """(channel, status) of each extended status, likewise."""
    if type(statuses) is not dict or not statuses:
        return ()
    return _bounded(list(statuses.items())[:MAX_ENTRIES])


def _bounded(entries: Iterable[tuple[object, object]]) -> tuple[tuple[str, str], ...]:
    """Entries in known words only; a phone number in the place of a channel comes out as `other`."""
    return tuple(
        (_known(channel, CHANNELS), _known(status, ENTRY_STATUSES))
        for channel, status in entries
        if type(status) is str
    )


def _known(word: object, words: frozenset[str]) -> str:
    """`word` if it is one of `words` but for case and surrounding space, else `other`."""
    if type(word) is not str:
        return OTHER
    if word in words:
        return word
    folded = word.strip().lower()
    return folded if folded in words else OTHER


def inflate(body: bytes, encoding: str) -> bytes | Outcome:
    """Undo a `Content-Encoding`, making no more than `MAX_BODY_BYTES`.

    We ask for none and only a server that doesn't care sends one. Returns
    `TOO_LARGE` for a body that holds more, `BAD_BODY` for one that is cut off,
    broken or in an encoding that we don't know.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return Outcome.BAD_BODY
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        return Outcome.BAD_BODY
    if len(content) > MAX_BODY_BYTES:
        return Outcome.TOO_LARGE
    return content if inflater.eof and not inflater.unused_data else Outcome.BAD_BODY


def parse_retry_after(values: Sequence[str], now_wall_us: int) -> int | None:
    """Microseconds to stay away, between a second and an hour, or None if no header can be read.

    `values` are all `Retry-After` headers of one answer: seconds or HTTP dates,
    the latter held against `now_wall_us`. Where several differ the longest holds.
    """
    waits_us = [wait_us for value in values if (wait_us := _wait_us(value.strip(), now_wall_us)) is not None]
    if not waits_us:
        return None
    return min(max(*waits_us, MIN_RETRY_AFTER_US), MAX_RETRY_AFTER_US)


def _wait_us(value: str, now_wall_us: int) -> int | None:
    """The wait that one header asks for, not yet clamped."""
    if _SECONDS.fullmatch(value):
        # A number of a thousand digits is an hour too, and not worth reading.
        return int(value) * SECOND_US if len(value) < len(str(MAX_RETRY_AFTER_US)) else MAX_RETRY_AFTER_US
    at = parse_http_date(value)
    return None if at is None else at - now_wall_us


def parse_http_date(value: str) -> int | None:
    """The instant of an HTTP date in microseconds, or None; two of its three forms name no zone."""
    fields = parsedate_tz(value) if _DATE.fullmatch(value) else None
    if fields is None:
        return None
    try:
        return int(datetime(*fields[:6], tzinfo=UTC).timestamp()) * SECOND_US
    except ValueError:  # the 31st of February, or a year that no calendar has
        return None
