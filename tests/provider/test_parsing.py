"""What is accepted of the bytes that the provider sends, and what is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import Answer, Outcome, Status
from exporter.provider import parsing

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
PHONE = "380501234567"


def parse(text: str | bytes, message_id: str = ID) -> Answer | Outcome:
    """Parse a body given as text."""
    return parsing.parse_answer(text.encode() if isinstance(text, str) else text, message_id)


def parse_answer_with(literals: str) -> Answer:
    """Parse a delivered answer with more members, written as in JSON; it must be believed."""
    answer = parse(f'{{"messageId": "{ID}", "deliverystatus": "delivered", {literals}}}')
    assert isinstance(answer, Answer)
    return answer


def test_the_full_answer_of_the_documentation_is_understood() -> None:
    """Every member that we use arrives; the others are dropped."""
    assert parse(json.dumps(FULL)) == Answer(
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
    assert parse(body) == parse(b"\xef\xbb\xbf" + body) == Answer(Status.SCHEDULED)


@pytest.mark.parametrize("status", parsing.STATUS_BY_WORD.values())
def test_each_documented_word_is_its_status_in_any_case(status: Status) -> None:
    """Neither capitals nor space around a word make it another word."""
    for word in (status.word, status.word.upper(), f" {status.word.title()}\t"):
        assert parse(json.dumps({"messageId": ID, "deliverystatus": word})) == Answer(status)


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("read", "read"),
        ("Handed_Over", "handed_over"),
        ("expired", "expired"),
        ("new", "new"),
        ("x" * 32, "x" * 32),
        ("x" * 33, parsing.UNPRINTABLE),
        ("", parsing.UNPRINTABLE),
        ("two words", parsing.UNPRINTABLE),
        (PHONE, parsing.UNPRINTABLE),
        ("доставлено", parsing.UNPRINTABLE),
        ("a\nb", parsing.UNPRINTABLE),
        ('x"}', parsing.UNPRINTABLE),
    ],
)
def test_an_unknown_word_is_kept_only_in_the_shape_of_a_word(word: str, kept: str) -> None:
    """A status that we don't know is OTHER, also when the word is one of our own."""
    assert parse(json.dumps({"messageId": ID, "deliverystatus": word})) == Answer(Status.OTHER, kept)


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
    assert parse(body) is Outcome.BAD_BODY


def test_escapes_that_stand_for_real_characters_are_fine() -> None:
    """Escaped Cyrillic and a whole surrogate pair are text like any other."""
    body = json.dumps({**FULL, "text": "привіт 🎉", "escaped": "\\ud800"})
    assert "\\ud83c" in body
    assert isinstance(parse(body), Answer)


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
    """A document without a status of the requested message is never counted."""
    assert parse(json.dumps(document)) is Outcome.BAD_SCHEMA


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
    assert parse_answer_with(f'"partscount": {literal}').parts == parts


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
    """Whatever is in `fallbacks`, the result has known words and `other`, or is empty."""
    assert parse_answer_with(f'"fallbacks": {json.dumps(entries)}').fallbacks == expected


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
    """Whatever is in `extendedStatuses`, the result has known words and `other`, or is empty."""
    assert parse_answer_with(f'"extendedStatuses": {json.dumps(statuses)}').channels == expected


def test_no_more_entries_are_kept_than_channels_can_exist() -> None:
    """An answer with hundreds of entries gives `MAX_ENTRIES`, and no more."""
    fallbacks = json.dumps([{"type": "sms", "status": "delivered"}] * 500)
    channels = json.dumps({f"channel {number}": "delivered" for number in range(500)})
    answer = parse_answer_with(f'"fallbacks": {fallbacks}, "extendedStatuses": {channels}')
    assert (len(answer.fallbacks), len(answer.channels)) == (parsing.MAX_ENTRIES, parsing.MAX_ENTRIES)


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
    assert 0 <= answer.parts <= parsing.MAX_PARTS
    assert answer.cost_nanos is None or 0 <= answer.cost_nanos <= parsing.MAX_COST_UNITS * 10**9
    assert re.fullmatch("|[A-Z]{3}", answer.currency)
    for pairs in (answer.fallbacks, answer.channels):
        assert len(pairs) <= parsing.MAX_ENTRIES
        for channel, status in pairs:
            assert channel in parsing.CHANNELS | {parsing.OTHER}
            assert status in parsing.ENTRY_STATUSES | {parsing.OTHER}


@given(MUTATIONS, st.sets(st.sampled_from(sorted(FULL)), max_size=3))
def test_no_mutation_of_an_answer_gets_past_the_schema(
    mutation: dict[str, object], lost: Iterable[str]
) -> None:
    """With any members changed, added or lost the result is bounded, and an answer only about this id."""
    document = {key: value for key, value in {**FULL, **mutation}.items() if key not in lost}
    result = parse(json.dumps(document))
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
    result = parse(body[:start] + noise + body[start + length :])
    if isinstance(result, Answer):
        assert_bounded(result)
    else:
        assert result in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}


@given(st.binary(max_size=200))
def test_no_noise_is_an_answer(noise: bytes) -> None:
    """Random bytes are refused."""
    assert parse(noise) in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}
