"""Asking the provider by hand: its limits hold, and what goes wrong is told once with what to do."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exporter.cli.progress import progress_text
from exporter.cli.provider_check import ProviderCheck, check_key, diagnose
from exporter.config import Account, load
from exporter.domain.model import Outcome, Reply
from exporter.runtime.errors import CODE_OF_OUTCOME, Code
from tests.kit.daemon import Home
from tests.kit.live import LiveProvider, come_true, live_provider
from tests.kit.processes import EXPORTER, Running, environment
from tests.kit.virtual import loop_clock

PAUSE_US = 5_000_000


@pytest.fixture
async def provider() -> AsyncIterator[LiveProvider]:
    """A provider that answers as a test says."""
    async with live_provider() as running:
        yield running


def home_at(tmp_path: Path, provider: LiveProvider, rate: float = 50.0) -> Home:
    """A configuration that points to the provider."""
    return Home(tmp_path / "home", provider.url, rate=rate)


def account_of(home: Home) -> Account:
    """Its account."""
    return load(home.config, {}).accounts[0]


async def ended(home: Home, *arguments: str) -> tuple[int, list[str], list[str]]:
    """Exit code, output and errors of a command, while the provider answers in this loop."""
    with Running([*EXPORTER, *arguments], home.folder / "command", cwd=home.folder) as command:
        code = await asyncio.to_thread(command.ends)
        return code, command.printed().splitlines(), command.said().splitlines()


async def replies(account: Account, ids: list[str], paused: list[int]) -> list[tuple[str, Outcome]]:
    """What an inquiry brings, in virtual time."""
    inquiry = ProviderCheck(account, loop_clock(), paused.append)
    return [(message_id, reply.outcome) async for message_id, reply in inquiry.replies(ids)]


async def test_every_id_is_asked_about_once(tmp_path: Path, provider: LiveProvider) -> None:
    """An id given twice is one message; a line for each, in the order given, and nothing else in a pipe."""
    home = home_at(tmp_path, provider, rate=20)
    ids = [f"id-{number}" for number in range(12)]
    code, output, errors = await ended(home, "check-message", *ids, ids[0])
    assert (code, errors) == (0, [])
    assert [line.partition(",")[0] for line in output] == [f"{one}: delivered" for one in ids]
    assert [arrival.message_id for arrival in provider.arrivals] == ids


@pytest.mark.looptime
async def test_the_rate_of_the_account_holds(tmp_path: Path, provider: LiveProvider) -> None:
    """One request after the other, and no burst before."""
    ids = [f"id-{number}" for number in range(12)]
    await replies(account_of(home_at(tmp_path, provider, rate=2)), ids, [])
    at_seconds = [arrival.at_seconds for arrival in provider.arrivals]
    assert at_seconds[-1] - at_seconds[0] == pytest.approx((len(ids) - 1) / 2, abs=0.1)


@pytest.mark.looptime
async def test_two_runs_leave_a_message_its_second(tmp_path: Path, provider: LiveProvider) -> None:
    """The second one knows nothing of the first, so each begins with the pause."""
    account = account_of(home_at(tmp_path, provider))
    for _ in range(2):
        assert await replies(account, ["the-same"], []) == [("the-same", Outcome.OK)]
    first, second = (arrival.at_seconds for arrival in provider.arrivals)
    assert second - first >= 1


async def test_a_refused_key_is_tried_once_for_any_number_of_ids(
    tmp_path: Path, provider: LiveProvider
) -> None:
    """One line with what to do, and how many were not asked about; 1."""
    provider.status = lambda _: 401
    home = home_at(tmp_path, provider)
    code, output, errors = await ended(home, "check-message", *(f"id-{number}" for number in range(300)))
    assert code == 1
    assert re.match(
        r"id-0: no answer: the provider refuses the key \(.*HTTP 401\) \[SMSBAT-P001\]$", output[0]
    )
    assert output[1].startswith("  hint: ")
    assert (len(output), errors) == (2, ["1 of 300 were asked about, 299 not"])
    assert len(provider.arrivals) == 1


async def test_what_to_do_is_said_once_for_many_ids(tmp_path: Path, provider: LiveProvider) -> None:
    """A line for each id that is not known, and one hint."""
    provider.status = lambda _: 404
    code, output, _ = await ended(home_at(tmp_path, provider), "check-message", "a", "b", "c")
    assert code == 1
    assert [line for line in output if "[SMSBAT-P002]" in line] == output[:1] + output[2:]
    assert output[1].startswith("  hint: ")


@pytest.mark.looptime
async def test_a_429_is_waited_out_and_asked_again(tmp_path: Path, provider: LiveProvider) -> None:
    """The pause is told; the message gets its answer, and the rest follow."""
    codes = itertools.chain([429], itertools.repeat(200))
    provider.status = lambda _: next(codes)
    paused: list[int] = []
    found = await replies(account_of(home_at(tmp_path, provider)), ["a", "b"], paused)
    assert found == [("a", Outcome.OK), ("b", Outcome.OK)]
    assert paused == [PAUSE_US]


@pytest.mark.looptime
async def test_a_provider_that_says_only_429_is_given_up(tmp_path: Path, provider: LiveProvider) -> None:
    """After three tries, without asking about the others."""
    provider.status = lambda _: 429
    found = await replies(account_of(home_at(tmp_path, provider)), ["a", "b"], [])
    assert found == [("a", Outcome.RATE_LIMITED)]
    assert [arrival.message_id for arrival in provider.arrivals] == ["a"] * 3


@pytest.mark.looptime
async def test_a_provider_that_fails_is_given_up_after_a_few(tmp_path: Path, provider: LiveProvider) -> None:
    """Hundreds of ids are not asked about one after the other in vain."""
    provider.status = lambda _: 500
    ids = [f"id-{number}" for number in range(300)]
    found = await replies(account_of(home_at(tmp_path, provider)), ids, [])
    assert found == [(message_id, Outcome.SERVER_ERROR) for message_id in ids[:5]]


@pytest.mark.looptime
async def test_a_key_works_when_only_it_is_let_in(tmp_path: Path, provider: LiveProvider) -> None:
    """404 with the key and 401 without; a wrong address answers 404 to anybody."""
    account = account_of(home_at(tmp_path, provider))
    provider.status = lambda key: 404 if key else 401
    assert await check_key(account, loop_clock()) is None
    provider.status = lambda _: 404
    wrong = await check_key(account, loop_clock())
    assert wrong is not None
    assert wrong.code is Code.ANSWERS_ANYBODY


def test_every_outcome_is_told_in_words(tmp_path: Path) -> None:
    """A sentence, a code and an advice for each, and nothing of an answer's body."""
    account = account_of(Home(tmp_path / "home", "http://127.0.0.1:1"))
    for outcome, code in CODE_OF_OUTCOME.items():
        wrong = diagnose(Reply(outcome, detail="status=418 type=other size=3"), account)
        assert wrong is not None
        assert (wrong.code, bool(wrong.hint)) == (code, True)
        webhook_coverage = "nothing within 10 s" if outcome is Outcome.TIMEOUT else "HTTP 418"
        assert wrong.message.endswith(f" (http://127.0.0.1:1: {webhook_coverage})")
    unread = diagnose(Reply(Outcome.UNAUTHORIZED, detail="not sent: key file unreadable"), account)
    assert unread is not None
    assert unread.code is Code.CONFIG_KEY_FILE


async def test_a_phone_number_among_many_ids_stops_all_before_the_first(
    tmp_path: Path, provider: LiveProvider
) -> None:
    """2, its place among them, and not the number."""
    code, _, errors = await ended(home_at(tmp_path, provider), "check-message", "a", "380501234567", "b")
    assert code == 2
    assert errors[0] == "smsbat-exporter: id 2 of 3 looks like a phone number [SMSBAT-U006]"
    assert "0501234567" not in "".join(errors)
    assert provider.arrivals == []


async def test_ctrl_c_says_how_far_it_came(tmp_path: Path, provider: LiveProvider) -> None:
    """130, what was answered stays answered, and the rest is counted."""
    home = home_at(tmp_path, provider, rate=5)
    argv = [*EXPORTER, "check-message", *(f"id-{number}" for number in range(100))]
    with Running(argv, home.folder / "asking", cwd=home.folder) as asking:
        await come_true(lambda: len(asking.printed().splitlines()) >= 2)
        asking.signal(signal.SIGINT)
        assert await asyncio.to_thread(asking.ends) == 130
        lines = len(asking.printed().splitlines())
        assert asking.said() == f"{lines} of 100 were asked about, {100 - lines} not\n"


async def test_a_terminal_shows_how_far_it_is_and_keeps_nothing_of_it(
    tmp_path: Path, provider: LiveProvider
) -> None:
    """Done, rate and rest on a line that is taken back; the answers stand as if it had never been there."""
    home = home_at(tmp_path, provider, rate=8)
    ids = [f"id-{number}" for number in range(8)]
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *EXPORTER,
        "check-message",
        *ids,
        cwd=home.folder,
        env=environment(TERM="xterm"),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := await asyncio.to_thread(_read, ours):
            shown += piece
        assert await process.wait() == 0
    finally:
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = shown.decode()
    assert re.search(r"\r\x1b\[2K[2-7] of 8, [0-9.]+/s, \d+ s left", text)
    left = re.sub(r"[^\n]*\r\x1b\[2K", "", text.replace("\r\n", "\n"))
    assert [line.partition(",")[0] for line in left.splitlines()] == [f"{one}: delivered" for one in ids]


def _read(descriptor: int) -> bytes:
    """What the terminal got; nothing once its other side is closed."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_progress_says_what_is_done_how_fast_and_what_is_left() -> None:
    """Without a guess before there is something to go by."""
    assert progress_text(0, 300, 0) == "0 of 300"
    assert progress_text(50, 300, 10_000_000) == "50 of 300, 5/s, 50 s left"
