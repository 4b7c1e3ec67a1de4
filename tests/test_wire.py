"""What is believed of the bytes that the provider sends, and what is not."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import wire
from exporter.model import SECOND_US, Answer, Outcome, Status

ID = "abc123def456"
FULL = {
    "messagelistId": 123456,
    "messageId": ID,
    "deliverystatus": "delivered",
    "partscount": 2,
    "cost": 0.07,
    "fallbacks": [{"type": "sms", "status": "not_used"}],
    "extendedStatuses": {"viber": "delivered", "sms": "not_used"},
    "rate": 0.05,
    "rateAmount": 0.05,
    "rateCurrency": "USD",
    "billAmount": 0.05,
    "billCurrency": "USD",
}
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * SECOND_US
PHONE = "380501234567"


def read(text: str | bytes, message_id: str = ID) -> Answer | Outcome:
    """Parse a body given as text."""
    return wire.parse_answer(text.encode() if isinstance(text, str) else text, message_id)


def answer_with(literals: str) -> Answer:
    """Parse a delivered answer with more members, written as in JSON; it must be believed."""
    answer = read(f'{{"messageId": "{ID}", "deliverystatus": "delivered", {literals}}}')
    assert isinstance(answer, Answer)
    return answer


def test_the_full_answer_of_the_documentation_is_understood() -> None:
    """Every member that we use arrives; the others are dropped."""
    assert read(json.dumps(FULL)) == Answer(
        status=Status.DELIVERED,
        parts=2,
        cost_nanos=50_000_000,
        currency="USD",
        fallbacks=(("sms", "not_used"),),
        channels=(("viber", "delivered"), ("sms", "not_used")),
    )


def test_the_shortest_answer_is_understood() -> None:
    """An id and a status are enough; a byte order mark in front of them does no harm."""
    body = f'{{"messageId": "{ID}", "deliverystatus": "scheduled"}}'.encode()
    assert read(body) == read(b"\xef\xbb\xbf" + body) == Answer(Status.SCHEDULED)


@pytest.mark.parametrize("status", wire.STATUS_BY_WORD.values())
def test_each_documented_word_is_its_status_in_any_case(status: Status) -> None:
    """Neither capitals nor space around a word make it another word."""
    for word in (status.word, status.word.upper(), f" {status.word.title()}\t"):
        assert read(json.dumps({"messageId": ID, "deliverystatus": word})) == Answer(status)


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("read", "read"),
        ("Handed_Over", "handed_over"),
        ("expired", "expired"),
        ("new", "new"),
        ("x" * 32, "x" * 32),
        ("x" * 33, wire.UNPRINTABLE),
        ("", wire.UNPRINTABLE),
        ("two words", wire.UNPRINTABLE),
        (PHONE, wire.UNPRINTABLE),
        ("доставлено", wire.UNPRINTABLE),
        ("a\nb", wire.UNPRINTABLE),
        ('x"}', wire.UNPRINTABLE),
    ],
)
def test_an_unknown_word_is_kept_only_in_the_shape_of_a_word(word: str, kept: str) -> None:
    """A status that we don't know is OTHER, also when the word is one of our own."""
    assert read(json.dumps({"messageId": ID, "deliverystatus": word})) == Answer(Status.OTHER, kept)


NO_DOCUMENTS: dict[str, bytes] = {
    "empty": b"",
    "space": b" \n",
    "html": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "cut off": json.dumps(FULL).encode()[:-1],
    "two documents": json.dumps(FULL).encode() * 2,
    "windows-1251": json.dumps({**FULL, "text": "привіт"}, ensure_ascii=False).encode("cp1251"),
    "utf-16": json.dumps(FULL).encode("utf-16"),
    "utf-32": json.dumps(FULL).encode("utf-32-be"),
    "NaN": json.dumps({**FULL, "cost": float("nan")}).encode(),
    "Infinity": json.dumps({**FULL, "cost": float("inf")}).encode(),
    "-Infinity": json.dumps({**FULL, "rate": float("-inf")}).encode(),
    "100,000 digits": f'{{"messageId": "{ID}", "deliverystatus": "x", "cost": {"1" * 10**5}}}'.encode(),
    "100,000 brackets": b"[" * 10**5 + b"]" * 10**5,
    "100,000 objects deep": b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
    "duplicate key": f'{{"messageId": "{ID}", "deliverystatus": "x", "deliverystatus": "y"}}'.encode(),
    "duplicate key inside": (
        f'{{"messageId": "{ID}", "deliverystatus": "delivered", "extendedStatuses": {{"a": "b", "a": "c"}}}}'
    ).encode(),
    "lone surrogate": f'{{"messageId": "{ID}", "deliverystatus": "delivered", "text": "\\ud800"}}'.encode(),
    "lone surrogate in a key": f'{{"messageId": "{ID}", "deliverystatus": "x", "\\uDFff": 1}}'.encode(),
    "encoded surrogate": f'{{"messageId": "{ID}", "deliverystatus": "'.encode() + b'\xed\xa0\x80"}',
    "control character": f'{{"messageId": "{ID}", "deliverystatus": "deli\nvered"}}'.encode(),
    "comment": b'{"messageId": "abc123def456", /* really */ "deliverystatus": "delivered"}',
}


@pytest.mark.parametrize("body", NO_DOCUMENTS.values(), ids=NO_DOCUMENTS)
def test_what_is_no_json_document_is_a_bad_body(body: bytes) -> None:
    """None of the ways to break, disguise or bloat a document gets through, or raises."""
    assert read(body) is Outcome.BAD_BODY


def test_escapes_that_stand_for_real_characters_are_fine() -> None:
    """Escaped Cyrillic and a whole surrogate pair are text like any other."""
    body = json.dumps({**FULL, "text": "привіт 🎉", "escaped": "\\ud800"})
    assert "\\ud83c" in body
    assert isinstance(read(body), Answer)


NO_ANSWERS: dict[str, object] = {
    "null": None,
    "a list": [FULL],
    "a word": "delivered",
    "a number": 1,
    "an error": {"error": {"code": "INVALID_RECIPIENT", "message": "..."}},
    "no status": {"messageId": ID},
    "status null": {"messageId": ID, "deliverystatus": None},
    "status a number": {"messageId": ID, "deliverystatus": 3},
    "status a fraction": {"messageId": ID, "deliverystatus": 3.5},
    "status a list": {"messageId": ID, "deliverystatus": ["delivered"]},
    "no id": {"deliverystatus": "delivered"},
    "another id": {**FULL, "messageId": "abc123def457"},
    "an id in other capitals": {**FULL, "messageId": ID.upper()},
    "an id with more": {**FULL, "messageId": f"{ID} "},
    "an id in a list": {**FULL, "messageId": [ID]},
}


@pytest.mark.parametrize("document", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_document_about_something_else_is_a_bad_schema(document: object) -> None:
    """What doesn't say what became of the very message asked about is never counted."""
    assert read(json.dumps(document)) is Outcome.BAD_SCHEMA


@pytest.mark.parametrize(
    ("literals", "cost_nanos", "currency", "invalid"),
    [
        ('"partscount": 1', None, "", False),
        ('"cost": null, "billAmount": null, "billCurrency": null', None, "", False),
        ('"cost": 0.05', 50_000_000, "", False),
        ('"cost": 0', 0, "", False),
        ('"cost": 0.00', 0, "", False),
        ('"cost": -0.0', 0, "", False),
        ('"cost": 5e-2', 50_000_000, "", False),
        ('"cost": 1000000000', 10**18, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "EUR"', 200_000_000, "EUR", False),
        ('"cost": "free", "billAmount": 0.2, "billCurrency": "EUR"', 200_000_000, "EUR", False),
        # Half a bill is no bill: the cost in the account's currency is.
        ('"cost": 0.1, "billAmount": 0.2', 100_000_000, "", False),
        ('"cost": 0.1, "billCurrency": "EUR"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "eur"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "EURO"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": 978', 100_000_000, "", False),
        (f'"cost": 0.1, "billAmount": 0.2, "billCurrency": "{PHONE}"', 100_000_000, "", False),
        # An amount that is dropped is told, whether or not there is another one.
        ('"cost": 0.1, "billAmount": -0.2, "billCurrency": "EUR"', 100_000_000, "", True),
        ('"billAmount": 0.2', None, "", True),
        ('"billAmount": 0.2, "billCurrency": "?"', None, "", True),
        ('"cost": -0.01', None, "", True),
        ('"cost": -1', None, "", True),
        ('"cost": "0.05"', None, "", True),
        ('"cost": true', None, "", True),
        ('"cost": []', None, "", True),
        ('"cost": 1e400', None, "", True),
        ('"cost": 1e99999999999999999999', None, "", True),
        ('"cost": 1000000000.000000001', None, "", True),
        ('"cost": 1000000001', None, "", True),
        (f'"cost": {"9" * 4000}', None, "", True),
    ],
)
def test_the_cost_is_the_bill_else_the_cost_else_nothing(
    literals: str, cost_nanos: int | None, currency: str, *, invalid: bool
) -> None:
    """A bill counts if amount and currency can be used; what can't is dropped, told, and spoils no status."""
    answer = answer_with(literals)
    assert (answer.cost_nanos, answer.currency, answer.cost_invalid) == (cost_nanos, currency, invalid)
    assert answer.status is Status.DELIVERED


@given(
    st.integers(0, 10**9 - 1),
    st.text("0123456789", min_size=1, max_size=60),
    st.sampled_from(["", "e0", "E-3"]),
)
def test_costs_are_exact_to_a_billionth(units: int, digits: str, exponent: str) -> None:
    """Any number of digits comes to the nearest billionth, halves to the even one, as fractions say."""
    literal = f"{units}.{digits}{exponent}"
    assert answer_with(f'"cost": {literal}').cost_nanos == round(Fraction(literal) * 10**9)


@pytest.mark.parametrize(
    ("literal", "parts"),
    [
        ("0", 0),
        ("1", 1),
        ("255", 255),
        ("256", 0),
        ("-1", 0),
        ("1.0", 0),
        ("true", 0),
        ('"2"', 0),
        ("null", 0),
    ],
)
def test_parts_are_a_small_whole_number_or_none(literal: str, parts: int) -> None:
    """An implausible number of parts counts as no parts."""
    assert answer_with(f'"partscount": {literal}').parts == parts


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], ()),
        ({"type": "sms", "status": "delivered"}, ()),
        ("sms", ()),
        ([{"type": "SMS", "status": "Delivered "}], (("sms", "delivered"),)),
        ([{"type": PHONE, "status": PHONE}], (("other", "other"),)),
        ([{"status": "read"}], (("other", "read"),)),
        ([{"type": 7, "status": "not_used"}], (("other", "not_used"),)),
        # Without a status nothing says that the fallback was used.
        ([{"type": "sms"}, {"type": "sms", "status": 1}, "sms", None, ["sms", "delivered"]], ()),
    ],
)
def test_fallbacks_come_out_in_known_words(entries: object, expected: tuple[tuple[str, str], ...]) -> None:
    """Whatever stands in `fallbacks`, the result has known words and `other`, or nothing."""
    assert answer_with(f'"fallbacks": {json.dumps(entries)}').fallbacks == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({}, ()),
        ([["sms", "delivered"]], ()),
        ({"Viber": "READ", "sms": "not_used"}, (("viber", "read"), ("sms", "not_used"))),
        ({PHONE: "delivered", "fax": PHONE}, (("other", "delivered"), ("other", "other"))),
        ({"sms": None, "rcs": {"status": "delivered"}}, ()),
    ],
)
def test_channels_come_out_in_known_words(statuses: object, expected: tuple[tuple[str, str], ...]) -> None:
    """Whatever stands in `extendedStatuses`, the result has known words and `other`, or nothing."""
    assert answer_with(f'"extendedStatuses": {json.dumps(statuses)}').channels == expected


def test_no_more_entries_are_kept_than_channels_can_exist() -> None:
    """An answer with hundreds of entries gives `MAX_ENTRIES`, and no more."""
    fallbacks = json.dumps([{"type": "sms", "status": "delivered"}] * 500)
    channels = json.dumps({f"channel {number}": "delivered" for number in range(500)})
    answer = answer_with(f'"fallbacks": {fallbacks}, "extendedStatuses": {channels}')
    assert (len(answer.fallbacks), len(answer.channels)) == (wire.MAX_ENTRIES, wire.MAX_ENTRIES)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ID, "sms", "delivered"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MUTATIONS = st.dictionaries(st.sampled_from(sorted(FULL)) | st.text(), JSON_VALUES, max_size=6)


def assert_bounded(answer: Answer) -> None:
    """Nothing of an answer is free to take any value."""
    assert re.fullmatch("[a-z_]{0,32}", answer.unknown_word)
    assert bool(answer.unknown_word) == (answer.status is Status.OTHER)
    assert 0 <= answer.parts <= wire.MAX_PARTS
    assert answer.cost_nanos is None or 0 <= answer.cost_nanos <= wire.MAX_COST_UNITS * 10**9
    assert re.fullmatch("|[A-Z]{3}", answer.currency)
    for pairs in (answer.fallbacks, answer.channels):
        assert len(pairs) <= wire.MAX_ENTRIES
        for channel, status in pairs:
            assert channel in wire.CHANNELS | {wire.OTHER}
            assert status in wire.ENTRY_STATUSES | {wire.OTHER}


@given(MUTATIONS, st.sets(st.sampled_from(sorted(FULL)), max_size=3))
def test_no_mutation_of_an_answer_gets_past_the_schema(
    mutation: dict[str, object], lost: Iterable[str]
) -> None:
    """With any members changed, added or lost the result is bounded, and an answer only about this id."""
    document = {key: value for key, value in {**FULL, **mutation}.items() if key not in lost}
    result = read(json.dumps(document))
    if isinstance(result, Answer):
        assert document["messageId"] == ID
        assert isinstance(document["deliverystatus"], str)
        assert_bounded(result)
    else:
        assert result in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}


@given(st.binary(max_size=4), st.integers(0, 400), st.integers(0, 400))
def test_no_damage_to_the_bytes_raises(noise: bytes, start: int, length: int) -> None:
    """With any bytes replaced by others the result is an answer in bounds, or a reason."""
    body = json.dumps(FULL).encode()
    result = read(body[:start] + noise + body[start + length :])
    if isinstance(result, Answer):
        assert_bounded(result)
    else:
        assert result in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}


@given(st.binary(max_size=200))
def test_no_noise_is_an_answer(noise: bytes) -> None:
    """Random bytes are refused, plain or as compressed content."""
    assert read(noise) in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}
    assert wire.inflate(noise, "gzip") is Outcome.BAD_BODY


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP ", "deflate"])
def test_compressed_content_comes_out_as_it_went_in(encoding: str) -> None:
    """A server that compresses although asked not to is understood."""
    content = json.dumps(FULL).encode()
    body = zlib.compress(content) if encoding == "deflate" else gzip.compress(content)
    assert wire.inflate(body, encoding) == content


def test_content_without_an_encoding_is_taken_as_it_is() -> None:
    """`identity` is no encoding."""
    assert wire.inflate(b"{}", "") == wire.inflate(b"{}", "Identity") == b"{}"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"{}")[:-1], "gzip"),
        (gzip.compress(b"{}") + b"more", "gzip"),
        (b"{}", "gzip"),
        (b"", "gzip"),
        (b"{}", "br"),
        (b"{}", "gzip, gzip"),
    ],
)
def test_broken_or_unknown_compression_is_a_bad_body(body: bytes, encoding: str) -> None:
    """Cut off, trailed by something, not compressed at all, or in a way that we don't know."""
    assert wire.inflate(body, encoding) is Outcome.BAD_BODY


def test_content_may_be_as_large_as_the_limit_and_no_larger() -> None:
    """The limit itself still passes, a byte more doesn't."""
    content = b"x" * wire.MAX_BODY_BYTES
    assert wire.inflate(gzip.compress(content), "gzip") == content
    assert wire.inflate(gzip.compress(content + b"x"), "gzip") is Outcome.TOO_LARGE


def test_a_bomb_takes_no_more_memory_than_the_limit_allows() -> None:
    """A body within the limit that holds 60 MB costs a few hundred kilobytes to refuse."""
    bomb = zlib.compress(bytes(60_000_000), 9)
    assert len(bomb) < wire.MAX_BODY_BYTES
    tracemalloc.start()
    try:
        assert wire.inflate(bomb, "deflate") is Outcome.TOO_LARGE
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * wire.MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["5"], 5),
        ([" 5 "], 5),
        (["0"], 1),
        (["3600"], 3600),
        (["3601"], 3600),
        (["1000000000"], 3600),
        (["9" * 8000], 3600),
        (["1e9"], None),
        (["-5"], None),
        (["+5"], None),
        (["5.5"], None),
        (["\u0665"], None),
        (["abc"], None),
        ([""], None),
        (["5, 7"], None),
        (["Mon, 23 Nov 2026 12:00:30 GMT"], 30),
        (["Monday, 23-Nov-26 12:00:30 GMT"], 30),
        (["Mon Nov 23 12:00:30 2026"], 30),
        (["Mon, 23 Nov 2026 11:00:00 GMT"], 1),
        (["Sun, 06 Nov 1994 08:49:37 GMT"], 1),
        (["Wed, 23 Dec 2099 12:00:00 GMT"], 3600),
        (["Mon, 23 Nov 2026 12:00:30 +0200"], None),
        (["Mon, 31 Feb 2026 12:00:30 GMT"], None),
        (["Mon, 23 Nov 2026"], None),
        (["12:00:30"], None),
        (["5", "5"], 5),
        (["5", "7"], 7),
        (["abc", "7"], 7),
        (["7", "-1"], 7),
        (["Mon, 23 Nov 2026 12:00:30 GMT", "7"], 30),
        (["abc", "def"], None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_an_hour(values: list[str], seconds: int | None) -> None:
    """From a second to an hour; of several headers the longest wait; nothing where none can be read."""
    expected = None if seconds is None else seconds * SECOND_US
    assert wire.parse_retry_after(values, NOON) == expected


@given(st.lists(st.text(max_size=40) | st.from_regex(wire._DATE), max_size=3), st.integers(0, 2 * NOON))  # noqa: SLF001 - draws what only just passes the check
def test_no_retry_after_raises_or_leaves_its_bounds(values: list[str], now_wall_us: int) -> None:
    """Whatever the headers say, the wait is within its bounds, or there is none."""
    wait_us = wire.parse_retry_after(values, now_wall_us)
    assert wait_us is None or wire.MIN_RETRY_AFTER_US <= wait_us <= wire.MAX_RETRY_AFTER_US


@given(st.integers(0, 4 * 10**9))
def test_an_http_date_is_read_back(seconds: int) -> None:
    """The date that a server writes for an instant is that instant."""
    written = format_datetime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)
    assert wire.parse_http_date(written) == seconds * SECOND_US
