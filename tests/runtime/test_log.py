"""The log: one line per record, no values from exceptions, no waiting, no flood."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.runtime.errors import ConfigError, StoreFull, UsageError
from exporter.runtime.log import FORMATS, LEVELS, LogHandle, describe_exception, start_logging
from exporter.runtime.log.limiter import BURST_LINES, CLASSES, QUIET_SECONDS, LineLimiter
from exporter.runtime.log.lines import VALUE_CHARACTERS, format_json, format_logfmt, make_entry
from exporter.runtime.log.writer import QUEUE_LINES
from tests.kit.processes import kill_afterwards
from tests.kit.waiting import HANG_SECONDS, until

AT_SECONDS = 1_767_225_600.25
"""2026-01-01T00:00:00.250Z"""
CANARIES = ("380501234567", "sk_live_abcdef0123456789", "f3a85f64-5717")


def _make_record(
    text: str = "The store is open.",
    *,
    logger: str = "smsbat.store",
    level: int = logging.INFO,
    at_seconds: float = AT_SECONDS,
    **attributes: object,
) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": logger,
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "msg": text,
            "created": at_seconds,
            **attributes,
        }
    )


def _log(record: logging.LogRecord) -> None:
    logging.getLogger(record.name).handle(record)


@contextmanager
def _log_to(path: Path, level: str = "info", fmt: str = "json") -> Iterator[LogHandle]:
    with path.open("w") as stream:
        handle = start_logging(level, fmt, stream)
        try:
            yield handle
        finally:
            handle.close()


def _read_entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _look_up(table: dict[str, str], key: str) -> str:
    return table[key]


def _raise_with_canaries() -> None:
    try:
        try:
            _look_up({}, CANARIES[0])
        except KeyError as error:
            raise OSError(CANARIES[1], CANARIES[1], CANARIES[1]) from error
    except OSError:
        inner = [ValueError(f"id {CANARIES[2]}"), ExceptionGroup(CANARIES[0], [TypeError(CANARIES[1])])]
        raise ExceptionGroup(f"while sending to {CANARIES[0]}", inner) from None


def _assert_clean(text: str) -> None:
    assert [canary for canary in CANARIES if canary in text] == []


def test_logfmt_shows_time_level_logger_event_sentence_and_fields() -> None:
    """A record in logfmt looks like those of other Prometheus programs."""
    record = _make_record(
        event="store_opened", fields={"rows": 3, "path": "a b", "full": False, "limit": None}
    )
    assert format_logfmt(make_entry(record, 0)) == (
        "ts=2026-01-01T00:00:00.250Z level=info logger=smsbat.store event=store_opened "
        'msg="The store is open." rows=3 path="a b" full=false limit=""'
    )


def test_json_shows_the_same() -> None:
    """A record in JSON has the same keys, and values with their types."""
    record = _make_record(
        level=logging.WARNING, event="slow", fields={"seconds": 1.5, "odd": float("nan"), "msg": "x"}
    )
    assert json.loads(format_json(make_entry(record, 7))) == {
        "ts": "2026-01-01T00:00:00.250Z",
        "level": "warn",
        "logger": "smsbat.store",
        "event": "slow",
        "msg": "The store is open.",
        "seconds": 1.5,
        "odd": "nan",
        "msg_": "x",
        "suppressed": 7,
    }


@example(text="\x7f\x1b[2J\x9b\u2028\u202e\ud800\r\n", key="a b=\n", fmt="json")
@example(text="\x7f\x1b[2J\x9b\u2028\u202e\ud800\r\n", key="a b=\n", fmt="logfmt")
@given(text=st.text(), key=st.text(min_size=1), fmt=st.sampled_from(sorted(FORMATS)))
def test_a_record_is_one_printable_line_whatever_it_contains(text: str, key: str, fmt: str) -> None:
    """No value can start a new line, move a terminal's cursor, or break the encoding."""
    line = FORMATS[fmt](make_entry(_make_record(text, event=text, fields={key: text}), 0))
    assert line.isprintable()
    assert line.encode()


@given(st.text())
def test_json_decodes_to_what_was_logged(text: str) -> None:
    """Escaping loses nothing."""
    entry = json.loads(format_json(make_entry(_make_record(fields={"value": text}), 0)))
    assert entry["value"] == text


def test_a_long_value_is_cut() -> None:
    """One record can't fill the queue's memory."""
    line = format_logfmt(make_entry(_make_record("x" * 10 * VALUE_CHARACTERS), 0))
    assert len(line) < 2 * VALUE_CHARACTERS


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_value_of_an_exception_is_logged(tmp_path: Path, fmt: str) -> None:
    """An exception shows its class and place, also inside groups and causes, but no values."""
    path = tmp_path / "log"
    with _log_to(path, fmt=fmt):
        log = logging.getLogger("smsbat.tracker")
        try:
            _raise_with_canaries()
        except ExceptionGroup as error:
            log.exception("An item failed.", extra={"event": "item_failed", "fields": {"why": error}})
            log.exception("An item failed: no event.", stack_info=True)
            logging.getLogger("aiohttp.server").exception("Error handling request from %s", CANARIES[0])
    text = path.read_text()
    _assert_clean(text)
    assert len(text.splitlines()) == 3
    assert text.count("ExceptionGroup [ValueError, ExceptionGroup [TypeError]]") == 4
    assert "runtime/test_log.py" in text
    assert "_raise_with_canaries" in text
    assert "Error handling request from" in text


def test_an_exception_shows_causes_error_numbers_and_our_own_messages() -> None:
    """What is known to be harmless is shown: our message, the name of an error number, the cause."""
    cause = OSError(28, CANARIES[0], CANARIES[1])
    error = StoreFull("there is no room on the disk")
    error.__cause__ = cause
    assert describe_exception(error) == "StoreFull: there is no room on the disk; after OSError ENOSPC"


@pytest.mark.parametrize(
    ("hidden", "described"), [(False, "ValueError; after KeyError"), (True, "ValueError")]
)
def test_an_exception_shows_which_other_was_being_handled(*, hidden: bool, described: str) -> None:
    """An error raised while another was handled names that one too, unless it was raised `from None`."""
    error = ValueError(CANARIES[0])
    error.__context__ = KeyError(CANARIES[1])
    error.__suppress_context__ = hidden
    assert describe_exception(error) == described


async def test_asyncio_says_nothing_about_the_values_of_a_lost_task(tmp_path: Path) -> None:
    """Messages of asyncio contain the `repr` of exceptions and arguments: they are cut off."""

    async def fail() -> None:
        raise ValueError(CANARIES[0])

    def callback(argument: str) -> None:
        raise KeyError(argument)

    path = tmp_path / "log"
    with _log_to(path):
        loop = asyncio.get_running_loop()
        task = loop.create_task(fail())
        await asyncio.wait([task])
        del task
        loop.call_soon(callback, CANARIES[1])
        await asyncio.sleep(0)
        gc.collect()
    _assert_clean(path.read_text())
    messages = [(entry["logger"], entry["msg"]) for entry in _read_entries(path)]
    assert sorted(messages) == [
        ("asyncio", "Exception in callback"),
        ("asyncio", "Task exception was never retrieved"),
    ]


def test_a_flood_of_one_class_is_limited_to_one_line_a_second(tmp_path: Path) -> None:
    """Three seconds of 500 tracebacks a second leave a burst and one line a second; the rest is counted."""
    path = tmp_path / "log"
    with _log_to(path):
        for number in range(1_500):
            _log(
                _make_record(
                    "socket.accept() out of system resource\nsocket: <x>",
                    logger="asyncio",
                    level=logging.ERROR,
                    at_seconds=AT_SECONDS + number / 500,
                )
            )
    entries = _read_entries(path)
    shown = [entry for entry in entries if entry["msg"] == "socket.accept() out of system resource"]
    assert len(shown) <= BURST_LINES + 3
    left_out = sum(int(str(entry.get("suppressed", 0))) for entry in entries)
    assert len(shown) + left_out == 1_500
    assert entries[-1]["event"] == "log_suppressed"


def test_one_class_does_not_silence_another(tmp_path: Path) -> None:
    """Each event has a limit of its own."""
    path = tmp_path / "log"
    with _log_to(path):
        for _ in range(100):
            _log(_make_record(event="noise"))
        _log(_make_record(event="signal"))
    assert "signal" in [entry["event"] for entry in _read_entries(path)]


def test_debug_lines_of_ours_are_not_limited(tmp_path: Path) -> None:
    """With DEBUG there is a line for each message."""
    path = tmp_path / "log"
    with _log_to(path, level="debug"):
        for _ in range(100):
            _log(_make_record(level=logging.DEBUG, event="polled"))
    assert len(_read_entries(path)) == 100


def test_the_suppressed_lines_of_a_quiet_class_are_reported_with_any_next_line(tmp_path: Path) -> None:
    """Even when the class never logs again."""
    path = tmp_path / "log"
    with _log_to(path):
        for _ in range(BURST_LINES + 3):
            _log(_make_record(event="noise"))
        _log(_make_record(event="later", at_seconds=AT_SECONDS + QUIET_SECONDS))
    entries = _read_entries(path)
    assert [entry["event"] for entry in entries] == ["noise"] * BURST_LINES + ["log_suppressed", "later"]
    assert entries[-2]["what"] == "noise"
    assert entries[-2]["suppressed"] == 3


def test_a_clock_that_steps_back_does_not_silence_a_class() -> None:
    """After a step of a day back, a class still gets its line a second."""
    limiter = LineLimiter()
    line_class = ("smsbat", logging.INFO, "tick")
    admitted = [limiter.admit(line_class, AT_SECONDS) for _ in range(BURST_LINES)]
    assert None not in admitted
    assert limiter.admit(line_class, AT_SECONDS - 86_400) is None
    assert limiter.admit(line_class, AT_SECONDS - 86_399) == 1


def test_classes_are_forgotten_when_there_are_too_many(tmp_path: Path) -> None:
    """A library whose messages never repeat can't exhaust the memory, and every line is counted."""
    path = tmp_path / "log"
    with _log_to(path) as handle:
        for _ in range(BURST_LINES + 1):
            _log(_make_record(event="noise"))
        for number in range(CLASSES + 2):
            _log(_make_record(event=f"event_{number}"))
    assert handle.count_dropped() == 0
    events = [entry["event"] for entry in _read_entries(path)]
    assert events.count("log_suppressed") == 1
    assert events[-1] == f"event_{CLASSES + 1}"


def test_libraries_log_from_warnings_on(tmp_path: Path) -> None:
    """Access lines of aiohttp, on INFO, contain tokens: they are never shown, at any level of ours."""
    path = tmp_path / "log"
    with _log_to(path, level="debug"):
        logging.getLogger("aiohttp.access").info("POST /hooks/%s", CANARIES[1])
        logging.getLogger("asyncio").debug("Using selector: EpollSelector")
        logging.getLogger("smsbat.app").debug("hello")
    assert [entry["logger"] for entry in _read_entries(path)] == ["smsbat.app"]


@contextmanager
def _read_pipe(descriptor: int) -> Iterator[list[dict[str, object]]]:
    """Read a pipe to its end meanwhile; the list is complete when the context is left."""
    entries: list[dict[str, object]] = []

    def read() -> None:
        with os.fdopen(descriptor) as pipe:
            entries.extend(json.loads(line) for line in pipe)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield entries
    finally:
        reader.join()


def test_a_reader_that_stopped_never_blocks_logging_and_the_loss_is_counted() -> None:
    """With the pipe full, logging continues; what doesn't fit is counted, and reported once it is read."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    handle = start_logging("debug", "json", stream)

    def log() -> None:
        for _ in range(2 * QUEUE_LINES):
            _log(_make_record(level=logging.DEBUG, event="polled", fields={"padding": "x" * 100}))

    logging_thread = threading.Thread(target=log)
    logging_thread.start()
    logging_thread.join(HANG_SECONDS)
    blocked, dropped = logging_thread.is_alive(), handle.count_dropped()
    with _read_pipe(reading) as entries:
        logging_thread.join()

        def reported() -> list[int]:
            return [int(str(entry["dropped"])) for entry in entries if entry["event"] == "log_dropped"]

        # `close` itself waits for some seconds only.
        until(lambda: len(entries) - len(reported()) + dropped == 2 * QUEUE_LINES, "all lines are read")
        handle.close()
        stream.close()
    assert not blocked
    assert sum(reported()) == dropped > 0
    assert len(entries) - len(reported()) + dropped == 2 * QUEUE_LINES


def test_a_pipe_that_is_non_blocking_and_full_loses_nothing_once_read() -> None:
    """Another process may set our shared terminal non-blocking: lines wait instead of being split."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = os.fdopen(writing, "w")
    handle = start_logging("debug", "json", stream)
    for _ in range(1_000):
        _log(_make_record(level=logging.DEBUG, event="polled", fields={"padding": "x" * 200}))
    with _read_pipe(reading) as entries:
        until(lambda: len(entries) == 1_000, "all lines are read")
        handle.close()
        stream.close()
    assert handle.count_dropped() == 0
    assert [entry["event"] for entry in entries] == ["polled"] * 1_000


def test_a_full_disk_only_costs_lines() -> None:
    """Lines that can't be written are counted."""
    with Path("/dev/full").open("w") as stream:
        handle = start_logging("info", "logfmt", stream)
        for number in range(10):
            _log(_make_record(event=f"event_{number}"))
        handle.close()
    assert handle.count_dropped() == 10


TORN = """
import logging, resource, sys
from exporter.runtime.log import start_logging

with open(sys.argv[1], "w") as stream:
    handle = start_logging("info", "json", stream)
    log = logging.getLogger("smsbat.app")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
    log.info("The first line is longer than what fits.", extra={"event": "first"})
    while not handle.count_dropped():
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    log.info("There is space again.", extra={"event": "second"})
    handle.close()
"""


def test_a_line_cut_by_a_full_disk_does_not_damage_the_next(tmp_path: Path) -> None:
    """Once there is space, the next line begins on a line of its own, and the loss is reported."""
    path = tmp_path / "log"
    subprocess.run([sys.executable, "-c", TORN, str(path)], check=True, timeout=HANG_SECONDS)
    torn, *rest = path.read_text().splitlines()
    assert len(torn) == 100
    assert [json.loads(line)["event"] for line in rest] == ["second", "log_dropped"]


def test_close_restores_the_loggers_and_returns_although_nothing_is_read() -> None:
    """Closing takes no longer than its limit, and the loggers are as before."""
    root, ours = logging.getLogger(), logging.getLogger("smsbat")
    level_of_root = root.level
    root.setLevel(logging.CRITICAL)
    before = (root.level, ours.level, list(root.handlers))
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        handle = start_logging("debug", "logfmt", stream)
        for number in range(QUEUE_LINES):
            _log(_make_record(event=f"event_{number}", fields={"padding": "x" * 200}))
        handle.close()
        handle.close()
    after = (root.level, ours.level, list(root.handlers))
    root.setLevel(level_of_root)
    assert after == before


STUCK = """
import logging, sys
from exporter.runtime.log import start_logging

handle = start_logging("debug", "json", sys.stdout)
for _ in range(1_500):
    logging.getLogger("smsbat.app").debug("x" * 200)
handle.close()
"""


def test_a_reader_that_stopped_does_not_keep_the_process_alive() -> None:
    """The process ends although its output was never read."""
    with kill_afterwards(subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE)) as process:
        assert process.wait(HANG_SECONDS) == 0


def test_a_field_that_cannot_be_shown_costs_its_line_only(tmp_path: Path) -> None:
    """A logging call never raises."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(CANARIES[0])

    path = tmp_path / "log"
    with _log_to(path) as handle:
        log = logging.getLogger("smsbat.app")
        log.info("broken", extra={"event": "broken", "fields": {"value": Broken()}})
        log.info("whole", extra={"event": "whole"})
    assert handle.count_dropped() == 1
    assert [entry["event"] for entry in _read_entries(path)] == ["whole", "log_dropped"]


@pytest.mark.parametrize(("level", "fmt"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_a_usage_error(level: str, fmt: str, tmp_path: Path) -> None:
    """The hint lists the valid ones."""
    with (tmp_path / "log").open("w") as stream, pytest.raises(UsageError) as caught:
        start_logging(level, fmt, stream)
    assert caught.value.hint.startswith("one of: ")


@pytest.mark.parametrize("level", LEVELS)
def test_level_decides_what_is_shown(tmp_path: Path, level: str) -> None:
    """Each level shows itself and the more severe ones."""
    path = tmp_path / "log"
    with _log_to(path, level=level):
        for name, number in LEVELS.items():
            logging.getLogger("smsbat.app").log(number, "said", extra={"event": name})
    shown = list(LEVELS)[list(LEVELS).index(level) :]
    assert [entry["level"] for entry in _read_entries(path)] == shown


def test_our_own_errors_are_shown_on_one_line(tmp_path: Path) -> None:
    """A list of configuration problems stays one line."""
    path = tmp_path / "log"
    with _log_to(path, fmt="logfmt"):
        error = ConfigError("a: wrong\nb: wrong")
        logging.getLogger("smsbat.app").error("The configuration stays.", exc_info=error)
    assert path.read_text().count("\n") == 1


def test_a_stream_without_a_descriptor_is_refused() -> None:
    """A buffer in memory has no file descriptor to write whole lines to."""
    stream: TextIO = io.StringIO()
    with pytest.raises(OSError, match="fileno"):
        start_logging("info", "json", stream)
