"""Parses what the provider sends: the body of an answer or a webhook, its compression, its `Retry-After`.

Pure: no connection and no clock. Nothing that the provider sends gets past these
functions unless it is a known word or has a checked shape, so that no body can
create a series, a row or a log line of its own.

A body that isn't one well-formed JSON document is `BAD_BODY`; a document without
the status of the requested message is `BAD_SCHEMA`. An invalid cost makes only
the cost unusable.
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
from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Answer, Outcome, Status
from exporter.domain.timestamps import parse_timestamp

MAX_BODY_BYTES = 64 * 1024
"""The most bytes of one body that are held; as many again once it is inflated."""
MAX_COST_UNITS = 10**9
"""A message that costs more than this is a mistake, in any currency."""
MAX_PARTS = 255
MAX_ENTRIES = 16
"""The most entries of `fallbacks` and of `extendedStatuses` that are read."""
MIN_RETRY_AFTER_US = SECOND_US
MAX_RETRY_AFTER_US = 3600 * SECOND_US

OTHER = "other"
"""Replaces every unknown word of an entry."""
UNPRINTABLE = "unprintable"
"""Replaces a status that doesn't look like a word."""
CHANNELS = frozenset({"viber", "sms", "rcs", "email", "flashcall", "push", "telegram", "whatsapp"})
STATUS_BY_WORD = {
    status.word: status
    for status in (
        Status.SCHEDULED,
        Status.PROCESSING,
        Status.DELIVERED,
        Status.UNDELIVERABLE,
        Status.PERMANENTERROR,
    )
}
ENTRY_STATUSES = frozenset({*STATUS_BY_WORD, "not_used", "read"})

_WORD = re.compile(r"[a-z_]{1,32}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_DATE = re.compile(
    r"(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,? [A-Za-z0-9 -]{6,11} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[0-9]{4})",
    re.ASCII,
)
"""The three forms of a date in HTTP; the standard parser alone accepts almost anything."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NANO = Decimal("1e-9")
_NANO_CONTEXT = Context(prec=30)
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class _Fraction(str):
    """A number with a point or an exponent, as it was written: only a cost needs its exact value."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which the standard parser accepts and JSON doesn't have."""
    raise ValueError(name)


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of `pairs`; with two equal keys it is unknown which one was meant."""
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
    """Parse the answer about `message_id`.

    `body` is decoded content of at most `MAX_BODY_BYTES`. Returns `BAD_BODY` or
    `BAD_SCHEMA` for a body that can't be used; never raises.
    """
    try:
        document = _decode(body)
    except (ValueError, RecursionError):
        return Outcome.BAD_BODY
    if type(document) is not dict or document.get("messageId") != message_id:
        return Outcome.BAD_SCHEMA
    word = document.get("deliverystatus")
    if type(word) is not str:
        return Outcome.BAD_SCHEMA
    word = word.strip().lower()
    status = STATUS_BY_WORD.get(word, Status.OTHER)
    cost_nanos, currency, cost_invalid = _parse_cost(document)
    parts = document.get("partscount")
    return Answer(
        status,
        "" if status is not Status.OTHER else word if _WORD.fullmatch(word) else UNPRINTABLE,
        parts if type(parts) is int and 0 <= parts <= MAX_PARTS else 0,
        cost_nanos,
        currency,
        cost_invalid,
        _parse_fallbacks(document.get("fallbacks")),
        _parse_channels(document.get("extendedStatuses")),
    )


def parse_webhook(body: bytes) -> WebhookEvent | None:
    """Parse a webhook; None for what isn't one well-formed JSON object about one message. Never raises."""
    try:
        document = _decode(body)
    except (ValueError, RecursionError):
        return None
    if type(document) is not dict:
        return None
    message_id, word = document.get("messageId"), document.get("deliverystatus")
    if type(message_id) is not str or type(word) is not str or message_ids.reject_reason(message_id):
        return None
    timestamp = document.get("timestamp")
    # A number is in seconds; it can't be mistaken for a date.
    occurred_at = parse_timestamp(str(timestamp)) if isinstance(timestamp, str | int) else None
    status = STATUS_BY_WORD.get(word.strip().lower(), Status.OTHER)
    return WebhookEvent(message_id, status, occurred_at or 0, _parse_nanos(document.get("cost")))


def _decode(body: bytes) -> object:
    """Decode the one JSON document in `body`; ValueError or RecursionError if there is none."""
    text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    document: object = _DECODER.decode(text)
    if "\\u" in text:
        # Only an escape can hold half a surrogate pair; encoding the document again finds it.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def _parse_cost(document: dict[str, object]) -> tuple[int | None, str, bool]:
    """Return the cost in nanos, its currency ("" for the account's), and whether an amount was invalid."""
    billed = document.get("billAmount")
    billed_nanos = _parse_nanos(billed)
    currency = document.get("billCurrency")
    if billed_nanos is not None and type(currency) is str and _CURRENCY.fullmatch(currency):
        return billed_nanos, currency, False
    cost = document.get("cost")
    cost_nanos = _parse_nanos(cost)
    invalid = (
        (billed is not None and billed_nanos is None)
        or (cost is not None and cost_nanos is None)
        or (billed_nanos is not None and cost is None)
    )
    return cost_nanos, "", invalid


def _parse_nanos(amount: object) -> int | None:
    """Return billionths of a unit, rounded half to even; None for what is no plausible amount.

    Exact: the digits are never converted to a float.
    """
    # The exact types: True is an int too, and a quoted "0.05" is not documented.
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


def _parse_fallbacks(entries: object) -> tuple[tuple[str, str], ...]:
    """Return (type, status) of each fallback; an entry without a status is left out."""
    if type(entries) is not list or not entries:
        return ()
    return _keep_known_words(
        (entry.get("type"), entry.get("status")) for entry in entries[:MAX_ENTRIES] if type(entry) is dict
    )


def _parse_channels(statuses: object) -> tuple[tuple[str, str], ...]:
    """Return (channel, status) of each extended status, likewise."""
    if type(statuses) is not dict or not statuses:
        return ()
    return _keep_known_words(list(statuses.items())[:MAX_ENTRIES])


def _keep_known_words(entries: Iterable[tuple[object, object]]) -> tuple[tuple[str, str], ...]:
    """Keep known words only; a phone number in place of a channel becomes `other`."""
    return tuple(
        (_find_known_word(channel, CHANNELS), _find_known_word(status, ENTRY_STATUSES))
        for channel, status in entries
        if type(status) is str
    )


def _find_known_word(word: object, words: frozenset[str]) -> str:
    """Return `word` if it is one of `words`, apart from case and surrounding space, else `other`."""
    if type(word) is not str:
        return OTHER
    if word in words:
        return word
    folded = word.strip().lower()
    return folded if folded in words else OTHER


def inflate(body: bytes, encoding: str) -> bytes | Outcome:
    """Undo a `Content-Encoding`, up to `MAX_BODY_BYTES`.

    We ask for none, so only a careless server sends one. Returns
    `TOO_LARGE` for a body that holds more, `BAD_BODY` for one that is cut off,
    broken or in an unknown encoding.
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
    """Return the microseconds to wait, between a second and an hour, or None if no header can be read.

    `values` are all `Retry-After` headers of one answer: seconds, or HTTP dates
    that are compared with `now_wall_us`. The longest wait counts.
    """
    waits_us = [
        wait_us for value in values if (wait_us := _parse_wait_us(value.strip(), now_wall_us)) is not None
    ]
    if not waits_us:
        return None
    return min(max(*waits_us, MIN_RETRY_AFTER_US), MAX_RETRY_AFTER_US)


def _parse_wait_us(value: str, now_wall_us: int) -> int | None:
    """Return the wait that one header asks for, not yet clamped."""
    if _SECONDS.fullmatch(value):
        # A number of a thousand digits means an hour too, and converting it is slow.
        return int(value) * SECOND_US if len(value) < len(str(MAX_RETRY_AFTER_US)) else MAX_RETRY_AFTER_US
    at = parse_http_date(value)
    return None if at is None else at - now_wall_us


def parse_http_date(value: str) -> int | None:
    """Return the time of an HTTP date in microseconds, or None; two of its three forms have no zone."""
    fields = parsedate_tz(value) if _DATE.fullmatch(value) else None
    if fields is None:
        return None
    try:
        return int(datetime(*fields[:6], tzinfo=UTC).timestamp()) * SECOND_US
    except ValueError:  # the 31st of February, or a year outside the calendar
        return None
