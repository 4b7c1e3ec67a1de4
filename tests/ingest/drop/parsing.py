"""Parses whole files, for the tests of formats."""

from __future__ import annotations

from exporter.domain.model import SECOND_US, NewMessage
from exporter.ingest.formats.fields import RecordReader
from exporter.ingest.formats.formats import Batch, Reject, make_parser

NOW = 1_795_000_000 * SECOND_US
RECORDS = RecordReader("default", "main", frozenset({"main", "second"}), NOW)
IDS = ["abc123def456", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "A_b-9", "x" * 128]


def parse(
    suffix: str, content: str | bytes, piece_bytes: int = 2**20
) -> tuple[list[NewMessage], list[Reject], str]:
    """The messages, refusals and fault of a whole file, fed in pieces."""
    data = content.encode() if isinstance(content, str) else content
    parser = make_parser(suffix, RECORDS)
    batches: list[Batch] = []
    for start in range(0, len(data), piece_bytes):
        batches += parser.feed(data[start : start + piece_bytes])
    batches += parser.feed(b"", final=True)
    offsets = [batch.offset for batch in batches]
    assert offsets == sorted(set(offsets))
    return (
        [message for batch in batches for message in batch.messages],
        [reject for batch in batches for reject in batch.rejects],
        parser.fault,
    )


def parse_ids(suffix: str, content: str | bytes, piece_bytes: int = 2**20) -> list[str]:
    """The ids of a file in which nothing is wrong."""
    messages, rejects, fault = parse(suffix, content, piece_bytes)
    assert (rejects, fault) == ([], "")
    return [message.message_id for message in messages]


def parse_reasons(suffix: str, content: str | bytes) -> dict[int, str]:
    """The refusals of a file, by record."""
    return {reject.record: reject.reason for reject in parse(suffix, content)[1]}
