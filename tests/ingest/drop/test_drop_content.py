"""Dropped files with something wrong in them, and what reports and logs say of them."""

from __future__ import annotations

import hashlib
import logging
import os
import random

import pytest

from exporter.domain.model import SECOND_US
from exporter.ingest.drop.worker import MAX_FILE_BYTES
from tests.ingest.drop.rig import Rig, make_lines

PHONE = "+380501234567"


async def test_good_lines_of_a_bad_file_count_and_bad_ones_are_reported_by_number(rig: Rig) -> None:
    """The report has line and reason, and nothing of the line's content."""
    rig.drop_file("a.txt", f"aaa\n{PHONE}\nbbb\nx/y\nccc\n")
    summary = await rig.settle(passes=1)
    assert (summary.accepted, summary.rejected, summary.files) == (3, 2, {"done": 1})
    assert rig.list_names("done") == {"a.txt"}
    assert (rig.path / "failed" / "a.txt.reason").read_text() == (
        "used: 3\n"
        "refused: 1 bad_characters (an id may have only letters A-Z a-z, digits, - and _)\n"
        "refused: 1 looks_like_phone (a phone number is no message_id)\n"
        "line 2: looks_like_phone\nline 4: bad_characters\n"
    )
    assert rig.counts.reasons == {"looks_like_phone": 1, "bad_characters": 1}
    assert rig.counts.line_results["rejected"] == 2


async def test_a_file_of_mostly_bad_lines_goes_to_failed_and_its_good_lines_count(rig: Rig) -> None:
    """More than half is the limit."""
    rig.drop_file("half.txt", "aaa\n!\n")
    rig.drop_file("more.txt", "bbb\n!\n!\n")
    await rig.settle()
    assert rig.list_ids() == {"aaa", "bbb"}
    assert rig.list_names("failed") == {"half.txt.reason", "more.txt", "more.txt.reason"}
    assert rig.counts.files == {"done": 1, "failed": 1}


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.txt", b"aaa\n\0\nbbb\n", "binary"),
        ("a.txt", random.Random(1).randbytes(50_000) + b"\n", "binary"),
        ("a.txt", "aaa\n".encode("utf-16-le"), "encoding"),
        ("a.csv", b"aaa\nbbb\n", "no_header"),
        ("a.json", b"[{}, \n", "bad_json"),
    ],
)
async def test_an_unusable_file_goes_to_failed_with_its_fault(
    rig: Rig, name: str, content: bytes, fault: str
) -> None:
    """The first line of its report says why."""
    rig.drop_file(name, content)
    await rig.settle()
    assert (rig.list_ids(), rig.list_names(), rig.counts.files) == (set(), set(), {"failed": 1})
    assert rig.list_names("failed") == {name, f"{name}.reason"}
    assert (rig.path / "failed" / f"{name}.reason").read_text().startswith(f"file: {fault} (")


async def test_a_file_over_the_cap_is_refused_unread(rig: Rig) -> None:
    """The most is a gibibyte."""
    target = rig.drop_file("a.txt", "aaa\n")
    os.truncate(target, MAX_FILE_BYTES + 1)
    await rig.settle()
    assert (rig.list_ids(), rig.counts.files) == (set(), {"too_large": 1})
    report = (rig.path / "failed" / "a.txt.reason").read_text()
    assert report == "file: too_large (it may have 1 GiB, or 64 MiB in a .json file)\nused: 0\n"


async def test_the_report_of_a_file_of_bad_lines_is_bounded(rig: Rig) -> None:
    """It counts them all and lists ten thousand."""
    rig.drop_file("a.txt", "!\n" * 25_000)
    await rig.settle()
    report = (rig.path / "failed" / "a.txt.reason").read_text().splitlines()
    assert report[0] == "used: 0"
    assert report[1].startswith("refused: 25000 bad_characters (")
    assert (len(report), report[-1]) == (10_003, "and 15000 more lines")


async def test_nothing_of_a_file_or_its_name_gets_into_the_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Phone numbers are in everything and get into no log or report; names are hashed."""
    caplog.set_level(logging.DEBUG, "smsbat.drop")
    name = f"{PHONE}.csv"
    rig.drop_file(name, f"message_id,to,campaign\naaa,{PHONE},\n{PHONE},,\nbbb,,{PHONE}\n,{PHONE}\n")
    rig.drop_file(f"{PHONE}.doc", PHONE)
    rig.drop_file(f"{PHONE}/a.txt", PHONE)
    (rig.path / f"{PHONE}.txt").symlink_to(PHONE)
    await rig.settle()
    logged = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    reports = "".join(path.read_text() for path in rig.path.glob("**/*.reason"))
    assert hashlib.sha256(name.encode()).hexdigest()[:12] in logged
    assert PHONE[1:] not in logged + reports + repr(rig.tracker.messages)


async def test_there_is_one_warning_of_a_directory_that_anyone_may_write_to(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless the sticky bit keeps others' files safe."""
    rig.path.chmod(0o1777)
    await rig.settle()
    assert "drop_exposed" not in {vars(record)["event"] for record in caplog.records}
    rig.path.chmod(0o777)
    await rig.settle()
    assert [vars(record)["event"] for record in caplog.records].count("drop_exposed") == 1


async def test_the_progress_of_a_large_file_is_logged_every_ten_seconds(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """How much of it is read, how fast, and how long the rest takes; then that it has ended."""
    caplog.set_level(logging.INFO, "smsbat.drop")

    def seven_seconds() -> None:
        rig.clock.at += 7 * SECOND_US

    rig.tracker.after_commit = seven_seconds
    rig.drop_file("large.txt", make_lines(300_000))
    rig.drop_file("small.txt", "one-id\n")
    summary = await rig.settle()
    while summary.unfinished:
        summary = await rig.scan_after(1)
    logged = [vars(record) for record in caplog.records]
    progress = [line["fields"] for line in logged if line["event"] == "drop_file_progress"]
    # Thirty transactions of seven seconds: a line at every second one.
    assert len(progress) == pytest.approx(15, abs=2)
    assert [line["event"] for line in logged] == ["drop_file_progress"] * len(progress) + ["drop_file_ended"]
    read = [line["read_percent"] for line in progress]
    assert read == sorted(read)
    assert (read[0] < 60, read[-1]) == (True, 100)
    assert progress[-1]["messages_per_second"] == pytest.approx(10_000 / 7, rel=0.2)
    assert progress[-1]["left_seconds"] == 0


async def test_the_report_of_a_json_file_counts_records(rig: Rig) -> None:
    """A list of objects may be all in one line: its records are numbered, not its lines."""
    rig.drop_file("a.json", '[{"message_id": "aaa"}, {"message_id": ""}]')
    await rig.settle()
    assert (rig.path / "failed" / "a.json.reason").read_text() == (
        "used: 1\nrefused: 1 empty (there is no message_id)\nrecord 2: empty\n"
    )


async def test_the_log_says_why_a_directory_is_unusable(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """With the directory and the system's own reason, once; then that it is usable again."""
    caplog.set_level(logging.INFO, "smsbat.drop")
    rig.path.rmdir()
    await rig.settle()
    rig.path.mkdir()
    await rig.settle()
    (rig.path / "done").write_text("")
    rig.drop_file("a.txt", "aaa\n")
    await rig.settle()
    assert [record.getMessage() for record in caplog.records] == [
        f"Can't read {rig.path}: No such file or directory (ENOENT)",
        "The drop directory is usable again",
        f"Can't move files that were read within {rig.path}: Not a directory (ENOTDIR)",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("aaa\n", "Read a dropped file"),
        ("aaa\n!\n", "Some records of a dropped file can't be used"),
        ("!\n", "Most records of a dropped file can't be used"),
        ("aaa\0\n", "Could not use a dropped file: it is not text, it has NUL bytes"),
    ],
)
async def test_the_log_says_what_happened_to_a_file(
    rig: Rig, caplog: pytest.LogCaptureFixture, content: str, sentence: str
) -> None:
    """In one sentence, with the reason where nothing of it can be used."""
    caplog.set_level(logging.DEBUG, "smsbat.drop")
    rig.drop_file("a.txt", content)
    await rig.settle()
    assert [record.getMessage() for record in caplog.records] == [sentence]
