"""The drop formats: which ids come out of which bytes, and what is refused for which reason."""

from __future__ import annotations

import codecs
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.message_ids import reject_reason
from exporter.domain.model import SECOND_US, NewMessage
from exporter.ingest.formats.decoding import HEAD_BYTES
from exporter.ingest.formats.fields import REASONS
from exporter.ingest.formats.formats import BATCH_MESSAGES, FAULTS, SUFFIXES, Reject, make_parser
from tests.ingest.drop.parsing import IDS, NOW, RECORDS, parse, parse_ids, parse_reasons

PHONE = "380501234567"

CORPUS = {
    ".txt": "# a comment\n\n" + "".join(f"{text}\n" for text in IDS),
    ".csv": 'note,message_id\n"two\nlines, a comma",' + "\n,".join(IDS) + "\n",
    ".jsonl": "".join(json.dumps({"message_id": text, "note": "Привіт"}) + "\n" for text in IDS),
    ".json": json.dumps(
        [{"messageId": text, "note": "Привіт"} for text in IDS], indent=1, ensure_ascii=False
    ),
}


@pytest.mark.parametrize("suffix", CORPUS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 2**20])
def test_line_ends_and_byte_order_marks_change_no_id(
    suffix: str, end: str, mark: bytes, encoding: str, piece_bytes: int
) -> None:
    """The same corpus gives the same ids, whatever wrote it and however it is cut."""
    for front in ("", "\n" * HEAD_BYTES):
        content = mark + (front + CORPUS[suffix]).replace("\n", end).encode(encoding)
        assert parse_ids(suffix, content, piece_bytes) == IDS


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("suffix", CORPUS)
def test_wide_text_without_a_mark_is_a_fault_of_encoding(suffix: str, encoding: str) -> None:
    """Nothing is guessed: the whole file is refused, and nothing of it counts."""
    content = CORPUS[suffix].replace("Привіт", "hello").encode(encoding)
    assert parse(suffix, content) == ([], [], "encoding")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"abc\0def\nabc\n", random.Random(1).randbytes(100_000), bytes(9000)])
def test_a_nul_near_the_front_makes_a_file_binary(suffix: str, content: bytes) -> None:
    """Nothing counts of a file that is no text, however many of its lines are good."""
    assert parse(suffix, content) == ([], [], "binary")


def test_a_nul_further_back_costs_only_its_line() -> None:
    """One torn line in a long list doesn't cost the others."""
    content = "".join(f"id{number:06}\n" for number in range(2000)) + "a\0b\nlast\n"
    messages, rejects, fault = parse(".txt", content)
    assert (len(messages), rejects, fault) == (2001, [Reject(2001, "bad_characters")], "")


PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\0", b'"', b",", b"{", b"}", b"[", b"]", b":", b"\xff", b"\xef\xbb\xbf"),
    *(b"message_id", b"messages", b'{"messageId":"abc"}', b"abc", b"380501234567", b"message_id,account\n"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_any_bytes_are_taken_without_an_error_and_however_they_are_cut(
    suffix: str, data: st.DataObject
) -> None:
    """Every record is a message or a refusal with a known reason, the same for all cuts."""
    pieces = st.sampled_from(PIECES)
    content = b"".join(data.draw(st.lists(st.one_of(pieces, st.binary(max_size=4)), max_size=30)))
    # Nothing is read before the head is whole: behind one of blank lines the cuts do cut.
    content = data.draw(st.sampled_from([b"", b"\n" * HEAD_BYTES])) + content
    messages, rejects, fault = whole = parse(suffix, content)
    assert parse(suffix, content, data.draw(st.integers(1, 9))) == whole
    assert fault in ("", *FAULTS)
    assert {reject.reason for reject in rejects} <= set(REASONS)
    assert not any(reject_reason(message.message_id) for message in messages)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=140)))
def test_a_plain_list_holds_exactly_the_ids_that_the_rule_allows(lines: list[str]) -> None:
    """Line by line the parser and `message_ids.reject_reason` agree."""
    stripped = [
        line.removeprefix("\ufeff" if number == 0 else "").strip() for number, line in enumerate(lines)
    ]
    texts = [text for text in stripped if text and not text.startswith("#")]
    messages, rejects, _ = parse(".txt", "".join(f"{line}\n" for line in lines))
    assert [message.message_id for message in messages] == [text for text in texts if not reject_reason(text)]
    assert [reject.reason for reject in rejects] == [
        reject_reason(text) for text in texts if reject_reason(text)
    ]


def test_all_known_fields_are_read_and_no_others() -> None:
    """Each format brings campaign, account and time; an empty field is one not given."""
    at = 1_790_000_000 * SECOND_US
    expected = [NewMessage("aaa", "spring", "second", at), NewMessage("bbb", "default", "main", None)]
    full = {"message_id": "aaa", "campaign": "spring", "account": "second", "sent_at": 1_790_000_000}
    bare = {"messageId": "bbb", "to": "+380501234567", "campaign": None, "sent_at": ""}
    lines = f"{json.dumps(full)}\n{json.dumps(bare)}\n"
    table = "to,account,message_id,sent_at,campaign\n+380501234567,second,aaa,1790000000,spring\n,,bbb\n"
    assert parse(".csv", table) == (expected, [], "")
    assert parse(".jsonl", lines) == (expected, [], "")
    assert parse(".json", json.dumps([full, bare])) == (expected, [], "")
    assert parse(".json", json.dumps(full)) == (expected[:1], [], "")


def test_the_providers_answers_are_understood_as_they_are() -> None:
    """Accepted messages count; the others were never sent."""
    answer = {
        "messagelistId": 123456,
        "messages": [
            {"messageId": "aaa", "status": "accepted", "parts": 1, "to": "+380501234567"},
            {"messageId": "bbb", "status": "rejected", "to": "+380501234568"},
            {"status": "Failed", "to": "+380501234569"},
        ],
    }
    cascade = [{"messageId": "ccc", "trackinId": "tx-001"}]
    unsent = [Reject(2, "not_sent"), Reject(3, "not_sent")]
    assert parse(".json", json.dumps(answer)) == ([NewMessage("aaa", "default", "main")], unsent, "")
    assert parse_ids(".json", json.dumps(cascade)) == ["ccc"]
    messages, rejects, _ = parse(".json", json.dumps([answer, cascade[0], {"messages": []}]))
    assert [message.message_id for message in messages] == ["aaa", "ccc"]
    assert rejects == unsent


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"message_id": ""}, "empty"),
        ({}, "empty"),
        ({"message_id": PHONE}, "looks_like_phone"),
        ({"message_id": int(PHONE)}, "looks_like_phone"),
        ({"message_id": "+38 (050) 123-45"}, "looks_like_phone"),
        ({"message_id": "a/../b"}, "bad_characters"),
        ({"message_id": "\ud800"}, "encoding"),
        ({"message_id": ["aaa"]}, "bad_characters"),
        ({"message_id": "x" * 129}, "too_long"),
        ({"message_id": "aaa", "campaign": "x" * 65}, "bad_campaign"),
        ({"message_id": "aaa", "campaign": "a\tb"}, "bad_campaign"),
        ({"message_id": "aaa", "campaign": PHONE}, "bad_campaign"),
        ({"message_id": "aaa", "campaign": {}}, "bad_campaign"),
        ({"message_id": "aaa", "account": "nobody"}, "unknown_account"),
        ({"message_id": "aaa", "sent_at": "yesterday"}, "bad_sent_at"),
        ({"message_id": "aaa", "sent_at": True}, "bad_sent_at"),
        ({"message_id": "aaa", "sent_at": 946_684_799}, "bad_sent_at"),
        ({"message_id": "aaa", "sent_at": NOW // SECOND_US + 86_401}, "bad_sent_at"),
        ({"message_id": "aaa", "sent_at": (NOW // SECOND_US) * 1000}, "bad_sent_at"),
        ({"message_id": "aaa", "status": "rejected"}, "not_sent"),
        (["aaa"], "bad_json"),
    ],
)
def test_each_refusal_has_its_reason(fields: object, reason: str) -> None:
    """A record is refused for the first thing that is wrong with it, in every JSON format alike."""
    assert parse_reasons(".jsonl", json.dumps(fields) + "\n") == {1: reason}
    assert parse_reasons(".json", json.dumps([fields])) == {1: reason}


def test_lines_that_are_no_json_or_no_text_are_refused_alone() -> None:
    """The lines around them count."""
    good = b'{"message_id": "aaa"}\n'
    bad = [b"{\n", b"[" * 4000 + b"\n", b'{"a": "\xff}\n', b'{"message_id": "a"} x\n']
    assert parse_reasons(".jsonl", good.join(bad)) == {
        1: "bad_json",
        3: "bad_json",
        5: "encoding",
        7: "bad_json",
    }
    assert parse_reasons(".txt", b"aaa\n\xcf\xf0\xe8\n") == {2: "encoding"}
    assert parse_ids(".csv", b"message_id,note\naaa,\xcf\xf0\xe8\n") == ["aaa"]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
@pytest.mark.parametrize("piece_bytes", [100, 2**20])
def test_a_line_over_the_cap_is_refused_whole(suffix: str, piece_bytes: int) -> None:
    """4 KiB are the most; neither front nor rest of a longer line becomes an id."""
    head = "message_id,note\n" if suffix == ".csv" else ""
    good = json.dumps({"message_id": "aaa"}) if suffix == ".jsonl" else "aaa"
    messages, rejects, _ = parse(suffix, f"{head}{good}\n{'é' * 100_000}\n{good}\n", piece_bytes)
    assert [message.message_id for message in messages] == ["aaa", "aaa"]
    assert [reject.reason for reject in rejects] == ["too_long"]


@pytest.mark.parametrize(
    "broken", ['[{"messageId":"aaa"},{"messageId":"bb', '[{"messageId":"aaa"}] x', "", "7", "[" * 10**5]
)
def test_a_document_is_used_up_to_where_it_breaks(broken: str) -> None:
    """What was whole counts; the rest is one fault of the file."""
    messages, rejects, fault = parse(".json", broken)
    assert [message.message_id for message in messages] == ["aaa"] * broken.count("aaa")
    assert (rejects, fault) == ([], "bad_json")


def test_a_document_over_the_cap_is_refused() -> None:
    """What must be held in memory whole is bounded."""
    parser = make_parser(".json", RECORDS)
    for _ in range(65):
        assert list(parser.feed(b" " * 2**20)) == []
    assert parser.fault == "too_large"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".json"])
def test_batches_are_of_the_size_of_a_transaction(suffix: str) -> None:
    """Full ones until the last, each with the number of the last record it covers."""
    texts = [f"id{number:06}" for number in range(25_000)]
    content = {
        ".txt": "\n".join(texts),
        ".csv": "message_id\n" + "\n".join(texts),
        ".jsonl": "\n".join(f'{{"message_id":"{text}"}}' for text in texts),
        ".json": json.dumps([{"message_id": text} for text in texts]),
    }[suffix]
    parser = make_parser(suffix, RECORDS)
    batches = [*parser.feed(content.encode()), *parser.feed(b"", final=True)]
    header = suffix == ".csv"
    assert [len(batch.messages) for batch in batches] == [BATCH_MESSAGES, BATCH_MESSAGES, 5000]
    assert [batch.offset - header for batch in batches] == [10_000, 20_000, 25_000]
