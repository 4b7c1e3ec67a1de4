"""Polling the provider by hand: its limits hold, and each failure is reported once with a hint."""

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
    """Run a provider whose answers a test chooses."""
    async with live_provider() as running:
        yield running


def make_home(tmp_path: Path, provider: LiveProvider, rate: float = 50.0) -> Home:
    """Make a configuration that points to the provider."""
    return Home(tmp_path / "home", provider.url, rate=rate)


def load_account(home: Home) -> Account:
    """Load its account."""
    return load(home.config, {}).accounts[0]


async def run_command(home: Home, *arguments: str) -> tuple[int, list[str], list[str]]:
    """Return exit code, output and errors of a command, while the provider answers in this loop."""
    with Running([*EXPORTER, *arguments], home.folder / "command", cwd=home.folder) as command:
        code = await asyncio.to_thread(command.ends)
        return code, command.printed().splitlines(), command.said().splitlines()


async def fetch_all(account: Account, ids: list[str], paused: list[int]) -> list[tuple[str, Outcome]]:
    """Return the outcomes of a check, in virtual time."""
    provider_check = ProviderCheck(account, loop_clock(), paused.append)
    return [(message_id, reply.outcome) async for message_id, reply in provider_check.fetch_replies(ids)]


async def test_every_id_is_polled_once(tmp_path: Path, provider: LiveProvider) -> None:
    """An id given twice is one message; a line for each, in the order given, and nothing else in a pipe."""
    home = make_home(tmp_path, provider, rate=20)
    ids = [f"id-{number}" for number in range(12)]
    code, output, errors = await run_command(home, "check-message", *ids, ids[0])
    assert (code, errors) == (0, [])
    assert [line.partition(",")[0] for line in output] == [f"{one}: delivered" for one in ids]
    assert [arrival.message_id for arrival in provider.arrivals] == ids


@pytest.mark.looptime
async def test_the_rate_of_the_account_holds(tmp_path: Path, provider: LiveProvider) -> None:
    """One request after the other, and no burst before."""
    ids = [f"id-{number}" for number in range(12)]
    await fetch_all(load_account(make_home(tmp_path, provider, rate=2)), ids, [])
    at_seconds = [arrival.at_seconds for arrival in provider.arrivals]
    assert at_seconds[-1] - at_seconds[0] == pytest.approx((len(ids) - 1) / 2, abs=0.1)


@pytest.mark.looptime
async def test_two_runs_leave_a_message_its_second(tmp_path: Path, provider: LiveProvider) -> None:
    """The second one knows nothing of the first, so each starts with the pause."""
    account = load_account(make_home(tmp_path, provider))
    for _ in range(2):
        assert await fetch_all(account, ["the-same"], []) == [("the-same", Outcome.OK)]
    first, second = (arrival.at_seconds for arrival in provider.arrivals)
    assert second - first >= 1


async def test_a_refused_key_is_tried_once_for_any_number_of_ids(
    tmp_path: Path, provider: LiveProvider
) -> None:
    """One line with a hint, and how many were not polled; exit code 1."""
    provider.status = lambda _: 401
    home = make_home(tmp_path, provider)
    code, output, errors = await run_command(
        home, "check-message", *(f"id-{number}" for number in range(300))
    )
    assert code == 1
    assert re.match(
        r"id-0: no answer: the provider refuses the key \(.*HTTP 401\) \[SMSBAT-P001\]$", output[0]
    )
    assert output[1].startswith("  hint: ")
    assert (len(output), errors) == (2, ["1 of 300 were asked about, 299 not"])
    assert len(provider.arrivals) == 1


async def test_a_hint_is_printed_once_for_many_ids(tmp_path: Path, provider: LiveProvider) -> None:
    """A line for each id that is not known, and one hint."""
    provider.status = lambda _: 404
    code, output, _ = await run_command(make_home(tmp_path, provider), "check-message", "a", "b", "c")
    assert code == 1
    assert [line for line in output if "[SMSBAT-P002]" in line] == output[:1] + output[2:]
    assert output[1].startswith("  hint: ")


@pytest.mark.looptime
async def test_a_message_is_polled_again_after_a_429(tmp_path: Path, provider: LiveProvider) -> None:
    """The pause is reported; the message gets its answer, and the others follow."""
    codes = itertools.chain([429], itertools.repeat(200))
    provider.status = lambda _: next(codes)
    paused: list[int] = []
    found = await fetch_all(load_account(make_home(tmp_path, provider)), ["a", "b"], paused)
    assert found == [("a", Outcome.OK), ("b", Outcome.OK)]
    assert paused == [PAUSE_US]


@pytest.mark.looptime
async def test_a_provider_that_only_answers_429_is_given_up(tmp_path: Path, provider: LiveProvider) -> None:
    """After three tries, without polling the others."""
    provider.status = lambda _: 429
    found = await fetch_all(load_account(make_home(tmp_path, provider)), ["a", "b"], [])
    assert found == [("a", Outcome.RATE_LIMITED)]
    assert [arrival.message_id for arrival in provider.arrivals] == ["a"] * 3


@pytest.mark.looptime
async def test_a_provider_that_fails_is_given_up_after_a_few(tmp_path: Path, provider: LiveProvider) -> None:
    """Hundreds of ids are not polled one after the other without success."""
    provider.status = lambda _: 500
    ids = [f"id-{number}" for number in range(300)]
    found = await fetch_all(load_account(make_home(tmp_path, provider)), ids, [])
    assert found == [(message_id, Outcome.SERVER_ERROR) for message_id in ids[:5]]


@pytest.mark.looptime
async def test_a_key_is_valid_when_it_makes_a_difference(tmp_path: Path, provider: LiveProvider) -> None:
    """404 with the key and 401 without; a wrong address answers 404 with and without."""
    account = load_account(make_home(tmp_path, provider))
    provider.status = lambda key: 404 if key else 401
    assert await check_key(account, loop_clock()) is None
    provider.status = lambda _: 404
    wrong = await check_key(account, loop_clock())
    assert wrong is not None
    assert wrong.code is Code.ANSWERS_ANYBODY


def test_every_outcome_is_described(tmp_path: Path) -> None:
    """A sentence, a code and a hint for each, and nothing of an answer's body."""
    account = load_account(Home(tmp_path / "home", "http://127.0.0.1:1"))
    for outcome, code in CODE_OF_OUTCOME.items():
        wrong = diagnose(Reply(outcome, detail="status=418 type=other size=3"), account)
        assert wrong is not None
        assert (wrong.code, bool(wrong.hint)) == (code, True)
        evidence = "nothing within 10 s" if outcome is Outcome.TIMEOUT else "HTTP 418"
        assert wrong.message.endswith(f" (http://127.0.0.1:1: {evidence})")
    unread = diagnose(Reply(Outcome.UNAUTHORIZED, detail="not sent: key file unreadable"), account)
    assert unread is not None
    assert unread.code is Code.CONFIG_KEY_FILE


@pytest.mark.parametrize(
    ("outcome", "detail", "shown"),
    [
        (Outcome.CONNECT, "ClientConnectorError: ConnectionRefusedError", ": connection refused"),
        (Outcome.CONNECT, "ClientOSError: SomeNewError", ""),
        (Outcome.DNS, "ClientConnectorDNSError: gaierror", ""),
        (
            Outcome.DNS,
            "ClientConnectorError: OSError: link-local or metadata address",
            ": link-local or metadata address",
        ),
        (Outcome.TLS, "SSLError: SSLError: WRONG_VERSION_NUMBER", ": WRONG_VERSION_NUMBER"),
    ],
)
def test_a_failure_never_shows_the_name_of_an_exception(
    tmp_path: Path, outcome: Outcome, detail: str, shown: str
) -> None:
    """Words where they say more than the sentence, and nothing otherwise."""
    account = load_account(Home(tmp_path / "home", "http://127.0.0.1:1"))
    wrong = diagnose(Reply(outcome, detail=detail), account)
    assert wrong is not None
    assert wrong.message.endswith(f" (http://127.0.0.1:1{shown})")


async def test_a_phone_number_among_many_ids_stops_all_before_the_first(
    tmp_path: Path, provider: LiveProvider
) -> None:
    """Exit code 2, its position, and not the number."""
    code, _, errors = await run_command(
        make_home(tmp_path, provider), "check-message", "a", "380501234567", "b"
    )
    assert code == 2
    assert errors[0] == "smsbat-exporter: id 2 of 3 looks like a phone number [SMSBAT-U006]"
    assert "0501234567" not in "".join(errors)
    assert provider.arrivals == []


async def test_ctrl_c_reports_how_many_were_polled(tmp_path: Path, provider: LiveProvider) -> None:
    """Exit code 130, the answers so far, and the number of the others."""
    home = make_home(tmp_path, provider, rate=5)
    argv = [*EXPORTER, "check-message", *(f"id-{number}" for number in range(100))]
    with Running(argv, home.folder / "asking", cwd=home.folder) as asking:
        await come_true(lambda: len(asking.printed().splitlines()) >= 2)
        asking.signal(signal.SIGINT)
        assert await asyncio.to_thread(asking.ends) == 130
        lines = len(asking.printed().splitlines())
        assert asking.said() == f"{lines} of 100 were asked about, {100 - lines} not\n"


async def test_a_terminal_shows_the_progress_and_removes_it(tmp_path: Path, provider: LiveProvider) -> None:
    """Done, rate and rest are on a line that is cleared; only the answers stay."""
    home = make_home(tmp_path, provider, rate=8)
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
    """Read what the terminal shows; nothing once its other side is closed."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_progress_shows_what_is_done_how_fast_and_what_is_left() -> None:
    """Without an estimate before anything is done."""
    assert progress_text(0, 300, 0) == "0 of 300"
    assert progress_text(50, 300, 10_000_000) == "50 of 300, 5/s, 50 s left"
