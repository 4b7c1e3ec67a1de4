"""The body of a webhook: what it says, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import message_ids
from exporter.domain.events import WebhookEvent
from exporter.domain.model import SECOND_US, Status
from exporter.provider.parsing import parse_webhook

AT = int(datetime(2025, 1, 23, 10, 30, tzinfo=UTC).timestamp()) * SECOND_US
DOCUMENTED = {
    "messageId": "abc123def456",
    "deliverystatus": "delivered",
    "timestamp": "2025-01-23T10:30:00Z",
    "cost": 0.05,
}


def parse(**changes: object) -> WebhookEvent | None:
    """The documented webhook with other values; None as a value removes a key."""
    document = {key: value for key, value in (DOCUMENTED | changes).items() if value is not None}
    return parse_webhook(json.dumps(document).encode())


def test_the_documented_webhook_is_understood() -> None:
    """The provider's own example, with all its fields."""
    assert parse() == WebhookEvent("abc123def456", Status.DELIVERED, AT, 50_000_000)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("undeliverable", Status.UNDELIVERABLE),
        (" Delivered ", Status.DELIVERED),
        ("processing", Status.PROCESSING),
        ("read", Status.OTHER),
        ("", Status.OTHER),
    ],
)
def test_status_words(word: str, status: Status) -> None:
    """Known words in any case; any other word is no final status."""
    found = parse(deliverystatus=word)
    assert found is not None
    assert found.status is status


@pytest.mark.parametrize(
    ("timestamp", "occurred_at"),
    [
        ("2025-01-23T12:30:00+02:00", AT),
        ("2025-01-23T10:30:00.250Z", AT + 250_000),
        (AT // SECOND_US, AT),
        (str(AT // SECOND_US), AT),
        ("2025-01-23T10:30:00", 0),
        ("yesterday", 0),
        (True, 0),
        ([], 0),
        (None, 0),
    ],
)
def test_times(timestamp: object, occurred_at: int) -> None:
    """RFC 3339 or Unix seconds; anything else is no time, and no reason to refuse the event."""
    found = parse(timestamp=timestamp)
    assert found is not None
    assert found.occurred_at == occurred_at


@pytest.mark.parametrize("cost", [-1, "0.05", 1e300, True, {}, None])
def test_impossible_costs_are_left_out(cost: object) -> None:
    """The rest of the event counts."""
    found = parse(cost=cost)
    assert found is not None
    assert found.cost_nanos is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"delivered"',
        b"null",
        b'{"messageId": "abc", "messageId": "abc", "deliverystatus": "delivered"}',
        b'{"messageId": "abc", "deliverystatus": "delivered", "cost": NaN}',
        b'{"messageId": "abc", "deliverystatus": "\\ud800"}',
        b'{"messageId": "abc", "deliverystatus": "delivered"} x',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"messageId": ' + b"9" * 100_000 + b"}",
    ],
)
def test_bodies_without_valid_json_are_refused(body: bytes) -> None:
    """A body must be one well-formed object."""
    assert parse_webhook(body) is None


@pytest.mark.parametrize(
    "message_id", ["", "a/b", "..", "380501234567", "+380501234567", "a" * 129, 7, None, []]
)
def test_impossible_ids_are_refused(message_id: object) -> None:
    """Above all a phone number."""
    assert parse(messageId=message_id) is None


@pytest.mark.parametrize("word", [None, 3, [], {"a": 1}])
def test_bodies_without_a_status_are_refused(word: object) -> None:
    """A status must be text."""
    assert parse(deliverystatus=word) is None


VALUES = (
    st.none() | st.booleans() | st.text(max_size=20) | st.integers() | st.sampled_from(sorted(DOCUMENTED))
)
DOCUMENTS = st.dictionaries(st.sampled_from(sorted(DOCUMENTED)) | st.text(max_size=5), VALUES, max_size=6)


@given(st.binary(max_size=300) | DOCUMENTS.map(lambda value: json.dumps(value).encode()))
def test_any_body(body: bytes) -> None:
    """Parsing any body ends, and what comes out of it is bounded."""
    found = parse_webhook(body)
    if found is not None:
        assert message_ids.reject_reason(found.message_id) == ""
        assert found.cost_nanos is None or found.cost_nanos >= 0
