"""Which strings may become a path of the provider's API, or a row of the store."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.domain import message_ids

GOOD = [
    "abc123def456",
    "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "A_b-9",
    "x",
    "0",
    "-",
    "12345678",
    "380501234",
    "38050123456789",
    "x" * message_ids.MAX_ID_LENGTH,
]
HOSTILE = {
    "": "empty",
    "..": "bad_characters",
    ".": "bad_characters",
    "a.b": "bad_characters",
    "%2e%2e": "bad_characters",
    "%2e%2e%2fadmin": "bad_characters",
    "..%2f": "bad_characters",
    "a?x=1": "bad_characters",
    "a#f": "bad_characters",
    "a/b": "bad_characters",
    "a\\b": "bad_characters",
    "//evil.example": "bad_characters",
    "@evil.example": "bad_characters",
    "a;b": "bad_characters",
    "a&b": "bad_characters",
    "a b": "bad_characters",
    " abc": "bad_characters",
    "abc ": "bad_characters",
    "abc\n": "bad_characters",
    "abc\r\nHost: evil": "bad_characters",
    "abc\x00": "bad_characters",
    "a\u0000b": "bad_characters",
    "\ufeffabc": "bad_characters",
    "абв": "bad_characters",
    "\uff41\uff42\uff43": "bad_characters",
    "\u0661\u0662\u0663": "bad_characters",
    "\ud800": "bad_characters",
    "x" * (message_ids.MAX_ID_LENGTH + 1): "too_long",
    "/" * (message_ids.MAX_ID_LENGTH + 1): "too_long",
    "+380501234567": "looks_like_phone",
    "+38 (050) 123-45-67": "looks_like_phone",
    "00380501234567": "looks_like_phone",
    "380501234567": "looks_like_phone",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_the_provider_calls_an_id_is_accepted(text: str) -> None:
    """Ids as in the provider's examples, and the extremes of the alphabet, are accepted."""
    assert message_ids.reject_reason(text) == ""


@pytest.mark.parametrize(("text", "reason"), HOSTILE.items())
def test_a_hostile_id_is_refused_with_its_reason(text: str, reason: str) -> None:
    """Nothing that means something in a URL, a header or a file name gets in, and no phone number."""
    assert message_ids.reject_reason(text) == reason


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{1,140}\n?"))
@example("abc\n")
def test_an_accepted_id_means_itself_in_a_url(text: str) -> None:
    """An accepted id needs no quoting, is one path segment and has a bounded length."""
    if message_ids.reject_reason(text) == "":
        assert quote(text, safe="") == text
        assert text.isascii()
        assert 1 <= len(text) <= message_ids.MAX_ID_LENGTH
        assert text not in {".", ".."}


@given(st.from_regex(r"\A(\+[0-9]{9,15}|00[0-9]{9,13}|380[0-9]{9})\Z"))
def test_a_phone_number_is_never_an_id(text: str) -> None:
    """A text with the shape of a phone number is rejected as one."""
    assert message_ids.reject_reason(text) == "looks_like_phone"
