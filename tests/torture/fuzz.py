"""Damaged inputs for everything that reads what others wrote: no crash, no hang, no growth, no nonsense out.

An input is made from a seed and its number, so a finding that names both can be made again.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from exporter.config import load
from exporter.domain import message_ids
from exporter.domain.model import Answer, Outcome
from exporter.ingest.formats.fields import REASONS
from exporter.ingest.formats.formats import FAULTS, make_parser
from exporter.provider import parsing
from exporter.runtime.errors import ConfigError
from tests.config.test_fuzz import SEEDS as CONFIGURATIONS
from tests.ingest.drop.parsing import NOW, RECORDS
from tests.ingest.drop.test_formats import CORPUS as DROPPED
from tests.provider.test_outcomes import NO_ANSWERS
from tests.torture.garbage import damaged
from tests.torture.report import Report

SHARE_INPUTS = 100_000
HANG_SECONDS = 1.0
WARM_UP = 0.2
"""After this part of a share its caches are full, and memory may not grow any more."""
GROWTH_KIB = 32 * 1024
MAX_FINDINGS = 5
"""Of a share."""
CONFIGURATION_RATIO = 10
"""So many times fewer configurations than other inputs: reading one takes ten times as long and more."""
_ID = "abc123def456"
_DATES = (b"Fri, 31 Dec 2027 23:59:59 GMT", b"Friday, 31-Dec-27 23:59:59 GMT", b"Fri Dec 31 23:59:59 2027")


class Target(NamedTuple):
    """One reader."""

    name: str
    corpus: Sequence[bytes]
    check: Callable[[bytes, random.Random, Path], None]
    """Reads an input and asserts what must hold of the result."""


def _dropped(suffix: str, data: bytes, rng: random.Random, _: Path) -> None:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
    whole = _read(suffix, [data])
    assert whole == _read(suffix, [data[a:b] for a, b in pairwise([0, *cuts, len(data)])]), "cuts show"
    messages, reasons, fault = whole
    assert not any(message_ids.reject_reason(message_id) for message_id in messages)
    assert set(reasons) <= set(REASONS)
    assert fault in {"", *FAULTS}


def _read(suffix: str, pieces: Sequence[bytes]) -> tuple[list[str], list[str], str]:
    parser = make_parser(suffix, RECORDS)
    batches = [batch for piece in pieces for batch in parser.feed(piece)]
    batches += parser.feed(b"", final=True)
    messages = [message.message_id for batch in batches for message in batch.messages]
    return messages, [reject.reason for batch in batches for reject in batch.rejects], parser.fault


def _answer(data: bytes, _: random.Random, __: Path) -> None:
    found = parsing.parse_answer(data, _ID)
    if not isinstance(found, Answer):
        assert found in {Outcome.BAD_BODY, Outcome.BAD_SCHEMA}
        return
    assert len(found.unknown_word) <= 32
    assert not found.unknown_word or found.unknown_word.replace("_", "a").isalpha()
    assert len(found.currency) in {0, 3}
    assert 0 <= (found.cost_nanos or 0) <= parsing.MAX_COST_UNITS * 10**9
    words = {*parsing.CHANNELS, *parsing.ENTRY_STATUSES, parsing.OTHER}
    assert {word for entry in (*found.fallbacks, *found.channels) for word in entry} <= words


def _news(data: bytes, _: random.Random, __: Path) -> None:
    found = parsing.parse_webhook(data)
    assert found is None or not message_ids.reject_reason(found.message_id)


def _compressed(data: bytes, rng: random.Random, _: Path) -> None:
    found = parsing.inflate(data, rng.choice(("gzip", "deflate", "x-gzip", "br", "")))
    assert isinstance(found, Outcome) or len(found) <= max(parsing.MAX_BODY_BYTES, len(data))


def _retry_after(data: bytes, rng: random.Random, _: Path) -> None:
    text = data.decode("latin-1")
    wait_us = parsing.parse_retry_after([text] * rng.randrange(3), NOW)
    assert wait_us is None or parsing.MIN_RETRY_AFTER_US <= wait_us <= parsing.MAX_RETRY_AFTER_US
    parsing.parse_http_date(text)


def _id(data: bytes, _: random.Random, __: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    refused = message_ids.reject_reason(text)
    if not refused:
        assert text.isascii()
        assert text.replace("-", "").replace("_", "").isalnum() or set(text) <= {"-", "_"}
        assert 0 < len(text) <= message_ids.MAX_ID_LENGTH
    assert not message_ids.looks_like_phone(text) or (refused and message_ids.contains_phone(text))


def _configuration(data: bytes, _: random.Random, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(data)
    path.chmod(0o600)
    message = ""
    try:
        load(path, {"A": "5s"})
    except ConfigError as error:
        message = error.message
    assert "\x1b" not in message
    assert len(message) < 100_000


_ANSWERED = [
    json.dumps(
        {
            "messageId": _ID,
            "deliverystatus": "delivered",
            "cost": 0.0512,
            "partscount": 2,
            "billAmount": 1.5,
            "billCurrency": "EUR",
            "fallbacks": [{"type": "sms", "status": "delivered"}],
            "extendedStatuses": {"viber": "read"},
            "timestamp": "2026-11-23T10:00:00Z",
        }
    ).encode(),
    *(body for body, _ in NO_ANSWERS.values() if body),
]
_IDS = [
    _ID.encode(),
    b"3fa85f64-5717-4562-b3fc-2c963f66afa6",
    b"+38 (050) 123-45-67",
    b"x" * 128,
    b"00380501",
]
TARGETS = (
    *(
        Target(f"drop{suffix}", [text.encode(), text.encode("utf-16")], partial(_dropped, suffix))
        for suffix, text in DROPPED.items()
    ),
    Target("answer", _ANSWERED, _answer),
    Target("webhook", _ANSWERED, _news),
    Target("compressed", [zlib.compress(_ANSWERED[0]), zlib.compress(bytes(10**6))], _compressed),
    Target("retry-after", [b"120", b"3600", b" 1 ", *_DATES], _retry_after),
    Target("id", _IDS, _id),
    Target("configuration", CONFIGURATIONS, _configuration),
)


class HangError(Exception):
    """An input takes longer than anything may."""


def _hangs(_: int, __: FrameType | None) -> NoReturn:
    raise HangError


@contextmanager
def _watched() -> Iterator[None]:
    """Interrupt whatever takes too much of the processor's time."""
    signal.signal(signal.SIGVTALRM, _hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def share(target: Target, folder: Path, count: int, seed: int) -> Report:
    """Read `count` inputs."""
    report = Report()
    began_at, warm_kib = time.process_time(), 0
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        data = damaged(rng, target.corpus)
        try:
            with _watched():
                target.check(data, rng, folder)
        except (Exception, RecursionError) as error:  # noqa: BLE001 - whatever comes out is what is looked for
            where = f"{target.name}, seed {seed}, input {number}"
            report.findings.append(f"{where}: {type(error).__name__}: {error} from {data[:300]!r}")
            if len(report.findings) >= MAX_FINDINGS:
                break
        report.counts[target.name] += 1
        if number == int(count * WARM_UP):
            warm_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm_kib
    report.highest["KiB grown"] = grown_kib if warm_kib else 0
    if warm_kib and grown_kib > GROWTH_KIB:
        report.findings.append(f"{target.name}, seed {seed}: memory grew by {grown_kib} KiB")
    seconds = time.process_time() - began_at
    report.lowest[f"{target.name} a second"] = int(report.counts[target.name] / max(seconds, 0.001))
    return report


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of `count` inputs for each target, and as many configurations as take about as long."""
    made: list[Callable[[], Report]] = []
    for target in TARGETS:
        left = max(1, count // CONFIGURATION_RATIO) if target.name == "configuration" else count
        while left > 0:
            inputs = min(left, SHARE_INPUTS)
            left -= inputs
            home = folder / f"share-{len(made)}"
            home.mkdir()
            made.append(partial(share, target, home, inputs, seed * 100_000 + len(made)))
    return made
