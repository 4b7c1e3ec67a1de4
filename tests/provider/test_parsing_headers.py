"""How a body is unpacked and how long a provider may ask to be left alone: what its headers say."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US, Outcome
from exporter.provider import parsing

CONTENT = b'{"messageId": "abc123def456", "deliverystatus": "delivered"}'
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * SECOND_US


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP ", "deflate"])
def test_compressed_content_comes_out_as_it_went_in(encoding: str) -> None:
    """A server that compresses although asked not to is understood."""
    body = zlib.compress(CONTENT) if encoding == "deflate" else gzip.compress(CONTENT, mtime=0)
    assert parsing.inflate(body, encoding) == CONTENT


def test_content_without_an_encoding_is_taken_as_it_is() -> None:
    """`identity` is no encoding."""
    assert parsing.inflate(b"{}", "") == parsing.inflate(b"{}", "Identity") == b"{}"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"{}", mtime=0)[:-1], "gzip"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip"),
        (b"{}", "gzip"),
        (b"", "gzip"),
        (b"{}", "br"),
        (b"{}", "gzip, gzip"),
    ],
)
def test_broken_or_unknown_compression_is_a_bad_body(body: bytes, encoding: str) -> None:
    """Cut off, trailed by something, not compressed at all, or in a way that we don't know."""
    assert parsing.inflate(body, encoding) is Outcome.BAD_BODY


def test_content_may_be_as_large_as_the_limit_and_no_larger() -> None:
    """The limit itself still passes, a byte more doesn't."""
    content = b"x" * parsing.MAX_BODY_BYTES
    assert parsing.inflate(gzip.compress(content, mtime=0), "gzip") == content
    assert parsing.inflate(gzip.compress(content + b"x", mtime=0), "gzip") is Outcome.TOO_LARGE


def test_a_bomb_takes_no_more_memory_than_the_limit_allows() -> None:
    """A body within the limit that holds 60 MB costs a few hundred kilobytes to refuse."""
    bomb = zlib.compress(bytes(60_000_000), 9)
    assert len(bomb) < parsing.MAX_BODY_BYTES
    tracemalloc.start()
    try:
        assert parsing.inflate(bomb, "deflate") is Outcome.TOO_LARGE
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * parsing.MAX_BODY_BYTES


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
    assert parsing.parse_retry_after(values, NOON) == expected


@given(st.lists(st.text(max_size=40) | st.from_regex(parsing._DATE), max_size=3), st.integers(0, 2 * NOON))  # noqa: SLF001 - draws what only just passes the check
def test_no_retry_after_raises_or_leaves_its_bounds(values: list[str], now_wall_us: int) -> None:
    """Whatever the headers say, the wait is within its bounds, or there is none."""
    wait_us = parsing.parse_retry_after(values, now_wall_us)
    assert wait_us is None or parsing.MIN_RETRY_AFTER_US <= wait_us <= parsing.MAX_RETRY_AFTER_US


@given(st.integers(0, 4 * 10**9))
def test_an_http_date_is_read_back(seconds: int) -> None:
    """The date that a server writes for a time is read as that time."""
    written = format_datetime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)
    assert parsing.parse_http_date(written) == seconds * SECOND_US


@given(st.binary(max_size=200))
def test_no_noise_is_compressed_content(noise: bytes) -> None:
    """Random bytes can't be unpacked, and nothing raises."""
    assert parsing.inflate(noise, "gzip") is Outcome.BAD_BODY
