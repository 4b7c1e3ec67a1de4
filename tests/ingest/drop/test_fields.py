"""CSV records and times: what is read out of quotes, columns and digits."""

from __future__ import annotations

import csv
import io
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.timestamps import parse_timestamp
from exporter.ingest.formats.formats import BATCH_MESSAGES, make_parser
from tests.ingest.drop.parsing import RECORDS, parse, parse_ids, parse_reasons


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=40),
            st.text(string.ascii_letters, min_size=1, max_size=20),
            st.text(st.sampled_from('",;\n x'), max_size=10),
        ),
        max_size=20,
    ),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    """Quotes, delimiters and line ends within other columns don't disturb the ids."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["text", "message_id", "more"])
    writer.writerows(rows)
    assert parse_ids(".csv", file.getvalue()) == [row[1] for row in rows]


def test_a_stray_quote_costs_only_its_own_line() -> None:
    """The lines after it are records of their own."""
    head = "message_id,note\n"
    assert parse_reasons(".csv", head + 'aaa,"open\nbbb,\nccc,\n') == {2: "bad_csv"}
    assert parse_reasons(".csv", head + 'aaa,"open\n' + "bbb,note\n" * 1000 + 'ccc,"closed"\n') == {
        2: "bad_csv"
    }
    assert parse_reasons(".csv", head + 'aaa,"open\nbbb,"x"y\nccc,\n') == {2: "bad_csv", 3: "bad_csv"}
    assert parse_ids(".csv", head + 'aaa,5" screen\nbbb,\n') == ["aaa", "bbb"]
    assert parse_ids(".csv", head + 'aaa,5" screen\nbbb,"q"\nccc,"two\nlines"\n') == ["aaa", "bbb", "ccc"]


def test_a_stray_quote_does_not_hold_up_the_lines_after_it() -> None:
    """What waits for a closing quote is bounded by the cap on a line."""
    parser = make_parser(".csv", RECORDS)
    batches = list(parser.feed(('message_id,note\naaa,"open\n' + "bbb,\n" * 25_000).encode()))
    assert [len(batch.messages) for batch in batches] == [BATCH_MESSAGES, BATCH_MESSAGES]


def test_a_csv_needs_a_column_of_ids() -> None:
    """Without `message_id` in its first line ids may be phone numbers as well."""
    assert parse(".csv", "aaa\nbbb\n") == ([], [], "no_header")
    assert parse_ids(".csv", "\n Message_ID ; campaign\naaa;x\n") == ["aaa"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-23T10:30:00Z", 1_769_164_200_000_000),
        ("2026-01-23t10:30:00.5z", 1_769_164_200_500_000),
        ("2026-01-23 12:30:00.123456789+02:00", 1_769_164_200_123_456),
        ("1769164200", 1_769_164_200_000_000),
        ("1769164200.1234567", 1_769_164_200_123_456),
        ("2026-01-23T10:30:00", None),
        ("2026-01-23", None),
        ("2026-02-30T10:30:00Z", None),
        ("2026-01-23T10:30:00+99:00", None),
        ("1.7e9", None),
        ("-5", None),
        ("NaN", None),
        ("١٧٦٩", None),
    ],
)
def test_times_are_rfc_3339_or_unix_seconds(text: str, expected: int | None) -> None:
    """Exact to the microsecond; a local time without an offset is refused."""
    assert parse_timestamp(text) == expected
