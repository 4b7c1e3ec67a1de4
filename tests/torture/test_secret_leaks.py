"""A short version of the campaign with canaries; at length: `python -m tests.torture secret-leaks`."""

from __future__ import annotations

import base64

import pytest

from exporter.domain.message_ids import contains_phone
from tests.torture.secret_leaks import KEY_MARK, PHONE_MARK, found_in
from tests.torture.test_campaigns import campaign


def test_no_phone_number_and_no_key_comes_out() -> None:
    """Planted in every input and answer, none is in a log, an answer, a page, a report or the state."""
    assert campaign("secret-leaks", "--count", "60") == ""


@pytest.mark.parametrize(
    "content",
    [
        f"+{PHONE_MARK}1234".encode(),
        b"+380 (50) 917-12-34",
        KEY_MARK.encode(),
        base64.b64encode(f"@:{KEY_MARK}-1".encode()),
        base64.b64encode(f"us:{KEY_MARK}-1".encode()),
        base64.b64encode(f"user:{KEY_MARK}-1".encode()),
        int(f"{PHONE_MARK}1234").to_bytes(6, "big"),
    ],
)
def test_a_canary_is_found_however_it_is_written(content: bytes) -> None:
    """As text, with anything between its digits, in base64, and as a number in a database."""
    assert found_in(b"x" + content + b"y") == 1


@pytest.mark.parametrize("phone", ["380501234567", "+380501234567", "00380501234567", "+380 (50) 123-45-67"])
def test_a_phone_number_inside_of_a_name_is_seen(phone: str) -> None:
    """A campaign is a label: "promo +380..." was one until the canaries found it."""
    assert contains_phone(f"promo {phone} x")
    assert contains_phone(phone)
    assert not contains_phone("sale 2026-11-23 order 12345678 a-00-b")
