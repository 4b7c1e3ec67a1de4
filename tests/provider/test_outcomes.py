"""Every result of a request has its own outcome, and none of them raises."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from exporter.domain.model import SECOND_US, Answer, Outcome
from exporter.domain.states import Status
from exporter.provider import parsing
from tests.kit.scripted import End, Script, ScriptedProvider, answer, response, status_body
from tests.kit.waiting import HANG_SECONDS
from tests.provider.account import ID, TIMEOUT_US, Names, StillClock, make_client

PHONE = "380501234567"
GOOD = status_body(ID)


async def test_an_answer_arrives() -> None:
    """A good answer is OK, holds what `parsing` reads in it and has no detail for the log."""
    async with ScriptedProvider(answer(200, GOOD)) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
    assert reply == (Outcome.OK, Answer(Status.DELIVERED), None, 0, "", False)
    assert provider.targets == [f"/bat/message/{ID}"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.CLIENT_ERROR),
        (401, Outcome.UNAUTHORIZED),
        (403, Outcome.UNAUTHORIZED),
        (404, Outcome.NOT_FOUND),
        (408, Outcome.CLIENT_ERROR),
        (410, Outcome.CLIENT_ERROR),
        (414, Outcome.CLIENT_ERROR),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (502, Outcome.SERVER_ERROR),
        (503, Outcome.SERVER_ERROR),
        (599, Outcome.SERVER_ERROR),
        (300, Outcome.REDIRECT),
        (305, Outcome.REDIRECT),
        (201, Outcome.BAD_SCHEMA),
        (202, Outcome.BAD_SCHEMA),
        (206, Outcome.BAD_SCHEMA),
        (600, Outcome.BAD_SCHEMA),
        (999, Outcome.BAD_SCHEMA),
    ],
)
async def test_each_status_has_its_outcome(status: int, outcome: Outcome) -> None:
    """Only 200 is read as an answer, however good the body of another status is."""
    async with ScriptedProvider(answer(status, GOOD)) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
    assert (reply.outcome, reply.answer) == (outcome, None)
    assert reply.detail.startswith(f"status={status} type=application/json")


NO_ANSWERS: dict[str, tuple[bytes, Outcome]] = {
    "html": (b"<html>Bad Gateway</html>", Outcome.BAD_BODY),
    "nothing": (b"", Outcome.BAD_BODY),
    "another message": (status_body("other"), Outcome.BAD_SCHEMA),
}


@pytest.mark.parametrize(("body", "outcome"), NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_200_without_an_answer_is_none(body: bytes, outcome: Outcome) -> None:
    """What `wire` refuses is refused with its reason, and described by size and digest."""
    async with ScriptedProvider(answer(200, body)) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
    assert (reply.outcome, reply.answer) == (outcome, None)
    assert f"size={len(body)} sha256=" in reply.detail


NO_HTTP: dict[str, Script] = {
    "garbage": Script((b"\x16\x03\x01 SSH-2.0\r\n\r\n",), End.CLOSE),
    "a status of four digits": Script((b"HTTP/1.1 2000 OK\r\n\r\n",), End.CLOSE),
    "a header without a colon": Script((b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",), End.CLOSE),
    "two lengths": Script(
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",), End.CLOSE
    ),
    "a header of 100 kB": Script((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",), End.CLOSE),
    "a thousand headers": Script((b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",), End.CLOSE),
    "a truncated body": Script((response(200, GOOD, length=len(GOOD) + 1),), End.CLOSE),
    "a truncated body, reset": Script((response(200, GOOD, length=len(GOOD) + 1),), End.RESET),
    "a broken chunk": Script((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), End.CLOSE),
    "a broken gzip": answer(200, GOOD, headers=[("Content-Encoding", "gzip")]),
    "an unknown encoding": answer(200, GOOD, headers=[("Content-Encoding", "br")]),
}


@pytest.mark.parametrize("script", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_whole_http_answer_is_a_bad_body(script: Script) -> None:
    """Something answered but can't be read, like a body that can't."""
    async with ScriptedProvider(script) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
    assert (reply.outcome, reply.answer) == (Outcome.BAD_BODY, None)
    assert reply.detail


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_a_compressed_answer_is_read_although_none_was_asked_for(encoding: str) -> None:
    """We ask for plain bodies, but read compressed ones too."""
    body = {"gzip": gzip.compress(GOOD), "deflate": zlib.compress(GOOD), "identity": GOOD}[encoding]
    script = answer(200, body, headers=[("Content-Encoding", encoding)])
    async with ScriptedProvider(script) as provider, make_client(provider.url) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.OK
    assert provider.received[0].headers["accept-encoding"] == "identity"


async def test_an_answer_in_pieces_and_chunks_is_read_whole() -> None:
    """Where the network cuts an answer makes no difference."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (GOOD[:5], GOOD[5:])]
    whole = head + b"".join(chunks) + b"0\r\n\r\n"
    bytewise = Script(tuple(whole[at : at + 1] for at in range(len(whole))))
    until_close = Script((b"HTTP/1.0 200 OK\r\n\r\n", GOOD), End.CLOSE)
    async with ScriptedProvider(bytewise, until_close) as provider, make_client(provider.url) as ours:
        assert [(await ours.fetch(ID)).outcome for _ in range(2)] == [Outcome.OK, Outcome.OK]


BOMB = zlib.compress(bytes(60_000_000), 9)
TOO_LARGE: dict[str, Script] = {
    "a byte too many": answer(200, b" " * parsing.MAX_BODY_BYTES + b"1"),
    "endless": Script((b"HTTP/1.1 200 OK\r\n\r\n", b" " * 50_000), End.REPEAT),
    "endless chunks": Script(
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
        End.REPEAT,
    ),
    "a bomb": answer(200, BOMB, headers=[("Content-Encoding", "deflate")]),
    "a large bomb": answer(
        200, zlib.compress(bytes(80_000_000), 9), headers=[("Content-Encoding", "deflate")]
    ),
}


@pytest.mark.parametrize("script", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_no_body_takes_more_than_its_share_of_memory(script: Script) -> None:
    """Reading stops at the limit, on the wire and decoded, and the memory stays within a few times that."""
    async with ScriptedProvider(script) as provider, make_client(provider.url) as ours:
        tracemalloc.start()
        try:
            reply = await ours.fetch(ID)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert reply.outcome is Outcome.TOO_LARGE
    assert peak_bytes < 2_000_000


async def test_the_status_counts_where_the_body_is_no_use() -> None:
    """An endless, slow or cut-off error page is still that error, with its `Retry-After`."""
    headers = b"HTTP/1.1 429 No\r\nRetry-After: 7\r\n"
    scripts = (
        Script((headers + b"\r\n", b" " * 50_000), End.REPEAT),
        Script((headers + b"Content-Length: 5\r\n\r\nabc",), End.CLOSE),
        Script((headers + b"Content-Length: 5\r\n\r\nabc",), End.HANG),
    )
    async with (
        ScriptedProvider(*scripts) as provider,
        # The headers come long before that.
        make_client(provider.url, timeout_us=2 * SECOND_US) as ours,
    ):
        replies = [await ours.fetch(ID) for _ in scripts]
    assert {(reply.outcome, reply.retry_after_us) for reply in replies} == {
        (Outcome.RATE_LIMITED, 7 * SECOND_US)
    }


SILENCES: dict[str, Script] = {
    "never answers": Script(end=End.HANG),
    "half a head": Script((b"HTTP/1.1 200 OK\r\nContent-",), End.HANG),
    "half a body": Script((response(200, GOOD, length=1000),), End.HANG),
    # These end after three time-outs, and not well.
    "a byte at a time": Script(
        (response(200, length=1000), *[b" "] * 15), End.CLOSE, gap_seconds=TIMEOUT_US / SECOND_US / 5
    ),
    "one 1xx after the other": Script(
        (b"HTTP/1.1 100 Continue\r\n\r\n",) * 15, End.CLOSE, gap_seconds=TIMEOUT_US / SECOND_US / 5
    ),
}


@pytest.mark.parametrize("script", SILENCES.values(), ids=SILENCES)
async def test_whatever_never_ends_ends_at_the_time_out(script: Script) -> None:
    """Neither silence nor drips hold a slot for longer than the account's time-out."""
    async with (
        ScriptedProvider(script, answer(200, GOOD)) as provider,
        make_client(provider.url, timeout_us=TIMEOUT_US, max_in_flight=1) as ours,
    ):
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        async with asyncio.timeout(HANG_SECONDS):
            reply = await ours.fetch(ID)
        assert reply.outcome is Outcome.TIMEOUT
        # Not sooner; how much later is the machine's affair.
        assert loop.time() - began_at > 0.9 * TIMEOUT_US / SECOND_US
        await provider.closed_by_client.wait()
        assert (await ours.fetch(ID)).outcome is Outcome.OK


async def test_a_cancelled_request_gives_its_connection_up() -> None:
    """Cancelling is passed on, the only thing that is; the provider sees the connection close."""
    async with (
        ScriptedProvider(Script(end=End.HANG), answer(200, GOOD)) as provider,
        make_client(provider.url, max_in_flight=1) as ours,
        asyncio.TaskGroup() as tasks,
    ):
        asking = tasks.create_task(ours.fetch(ID))
        await provider.until_received(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await provider.closed_by_client.wait()
        assert (await ours.fetch(ID)).outcome is Outcome.OK


async def test_a_closed_port_is_a_connect_failure() -> None:
    """Nobody listens: nothing was lost on the way, so there is nothing to repeat silently."""
    async with ScriptedProvider(answer()) as provider:
        url = provider.url
    async with make_client(url) as ours:
        reply = await ours.fetch(ID)
    assert (reply.outcome, reply.reused_connection_lost) == (Outcome.CONNECT, False)


async def test_a_redirect_is_not_followed() -> None:
    """Wherever it leads, the second server sees no request, and so no key."""
    async with ScriptedProvider(answer(200, GOOD)) as trap:
        headers = [("Location", f"{trap.url}/bat/message/{ID}")]
        scripts = [answer(status, GOOD, headers=headers) for status in (301, 302, 303, 307, 308)]
        async with ScriptedProvider(*scripts) as provider, make_client(provider.url) as ours:
            replies = [await ours.fetch(ID) for _ in scripts]
        assert {reply.outcome for reply in replies} == {Outcome.REDIRECT}
        assert (trap.connections, len(provider.received)) == (0, len(scripts))


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would be handed the key."""
    async with ScriptedProvider(answer(200, GOOD)) as proxy, ScriptedProvider(answer(200, GOOD)) as provider:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        async with make_client(provider.url) as ours:
            assert (await ours.fetch(ID)).outcome is Outcome.OK
        assert (proxy.connections, provider.connections) == (0, 1)


async def test_cookies_are_not_kept() -> None:
    """What the provider sets it doesn't get back; under a name, since no client keeps those of an address."""
    script = answer(200, GOOD, headers=[("Set-Cookie", "session=1; Path=/")])
    async with ScriptedProvider(script) as provider:
        names = Names(provider_test=["127.0.0.1"])
        async with make_client(f"http://provider.test:{provider.port}", names=names) as ours:
            assert [(await ours.fetch(ID)).outcome for _ in range(2)] == [Outcome.OK, Outcome.OK]
    assert all("cookie" not in request.headers for request in provider.received)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Retry-After", "7")], 7),
        ([("Retry-After", "7"), ("Retry-After", "9")], 9),
        ([("Retry-After", "soon")], None),
        ([], None),
        # Without a date of the provider's own, our clock stands for its.
        ([("Retry-After", "Mon, 23 Nov 2026 12:00:30 GMT")], 30),
        ([("Retry-After", "Mon, 23 Nov 2026 12:00:30 GMT"), ("Date", "Mon, 23 Nov 2026 12:00:20 GMT")], 10),
        ([("Retry-After", "Mon, 23 Nov 2026 12:00:30 GMT"), ("Date", "today")], 30),
    ],
)
async def test_the_wait_that_the_provider_asks_for_is_passed_on(
    status: int, headers: list[tuple[str, str]], seconds: int | None
) -> None:
    """With 429 and 503; a date is held against the provider's clock rather than ours."""
    async with (
        ScriptedProvider(answer(status, b"", headers=headers)) as provider,
        make_client(provider.url) as ours,
    ):
        reply = await ours.fetch(ID)
    assert reply.retry_after_us == (None if seconds is None else seconds * SECOND_US)


async def test_other_answers_ask_for_no_wait() -> None:
    """On any other status a `Retry-After` has no meaning for us."""
    scripts = [answer(status, b"", headers=[("Retry-After", "7")]) for status in (200, 301, 404, 500)]
    async with ScriptedProvider(*scripts) as provider, make_client(provider.url) as ours:
        assert [(await ours.fetch(ID)).retry_after_us for _ in scripts] == [None] * len(scripts)


async def test_the_duration_is_that_of_the_clock() -> None:
    """A request takes as long as the clock went on meanwhile."""
    clock, late = StillClock(), asyncio.Event()
    async with (
        ScriptedProvider(Script((response(200, GOOD),), after=late)) as provider,
        make_client(provider.url, clock=clock) as ours,
        asyncio.TaskGroup() as tasks,
    ):
        asking = tasks.create_task(ours.fetch(ID))
        await provider.until_received(1)
        clock.elapsed_us += 123_456
        late.set()
        assert (await asking).duration_us == 123_456
