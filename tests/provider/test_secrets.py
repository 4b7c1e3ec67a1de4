"""How an account authenticates, and that no secret and no content leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from exporter.domain.model import SECOND_US, Outcome
from exporter.provider.client import SECRET_REREAD_US
from exporter.runtime.secrets import SecretFile
from tests.kit.scripted import End, Script, ScriptedProvider, answer, response, status_body
from tests.kit.web import encode_basic
from tests.provider.account import ID, KEY, Key, StillClock, make_client

GOOD = answer(200, status_body(ID))


PHONE = "380501234567"


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("header", "x-authorization-key", KEY),
        ("key-as-password", "authorization", encode_basic("@", KEY)),
        ("basic", "authorization", encode_basic("користувач", KEY)),
    ],
)
async def test_the_key_goes_into_the_one_header_of_its_method(
    method: Literal["header", "key-as-password", "basic"], name: str, value: str
) -> None:
    """Each of the provider's three ways sends the key in its header and nowhere else, with our user agent."""
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url, method=method) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        headers = dict(provider.received[0].headers)
        host = f"127.0.0.1:{provider.port}"
    assert headers.pop(name) == value
    assert headers == {
        "host": host,
        "user-agent": "smsbat-exporter/test",
        "accept": "application/json",
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize("text", ["ключ", "a:b", "\u00e9", "line\r\nX-Evil: 1"])
async def test_any_password_can_be_sent_in_basic_authentication(text: str) -> None:
    """It is encoded, so that nothing in it can end the header or be lost."""
    async with (
        ScriptedProvider(GOOD) as provider,
        make_client(provider.url, method="key-as-password", key=Key(text)) as ours,
    ):
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        assert provider.received[0].headers["authorization"] == encode_basic("@", text)
        assert "x-evil" not in provider.received[0].headers


async def test_a_rotated_key_file_is_used_within_a_second(tmp_path: Path) -> None:
    """The file is read again after a second, and not with every request."""
    path = tmp_path / "key"
    path.write_text("first\n")
    clock = StillClock()
    key = SecretFile(path, "api_key_file of account main")
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url, clock=clock, key=key) as ours:
        await ours.fetch(ID)
        path.write_text("second, of another length\n")
        clock.elapsed_us += SECRET_REREAD_US - 1
        await ours.fetch(ID)
        clock.elapsed_us += 1
        await ours.fetch(ID)
        keys = [request.headers["x-authorization-key"] for request in provider.received]
    assert keys == ["first", "first", "second, of another length"]


async def test_without_a_readable_key_nothing_is_sent() -> None:
    """The account is unauthorized until the key can be read again, and then works within a second."""
    key, clock = Key(), StillClock()
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url, key=key, clock=clock) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        key.text = None
        clock.elapsed_us += SECOND_US
        for _ in range(3):
            reply = await ours.fetch(ID)
            assert (reply.outcome, reply.detail) == (Outcome.UNAUTHORIZED, "not sent: key file unreadable")
        assert len(provider.received) == 1
        key.text = KEY
        assert (await ours.fetch(ID)).outcome is Outcome.OK


async def test_a_missing_key_file_is_no_exception(tmp_path: Path) -> None:
    """A key file that never was is a reply, as everything is."""
    missing = SecretFile(tmp_path / "missing", "api_key_file of account main")
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url, key=missing) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.UNAUTHORIZED
        assert provider.connections == 0


@pytest.mark.parametrize("text", ["key\r\nX-Evil: 1", "key\n", "ключ", "\u00e9", "\ud800", "", "a\x00b"])
async def test_a_key_that_can_stand_in_no_header_sends_nothing(text: str) -> None:
    """Such a key is as good as none; the reply says so without it."""
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url, key=Key(text)) as ours:
        reply = await ours.fetch(ID)
        assert (reply.outcome, provider.connections) == (Outcome.UNAUTHORIZED, 0)
        assert reply.detail == "not sent: the key is not printable ASCII text"


CANARIES = f"{PHONE} {KEY} {ID}"
TAINTED: dict[str, Script] = {
    **{
        f"body of {status}": answer(status, CANARIES.encode())
        for status in (200, 202, 302, 400, 401, 404, 429, 500)
    },
    "json": answer(200, status_body(ID, PHONE, to=PHONE, extendedStatuses={PHONE: KEY}, billCurrency=PHONE)),
    "json of another": answer(200, status_body(PHONE, KEY)),
    "content type": answer(200, b"", headers=[("Content-Type", f"text/{PHONE}; charset={KEY}")]),
    "encoding": answer(200, b"x", headers=[("Content-Encoding", CANARIES)]),
    "retry after": answer(429, b"", headers=[("Retry-After", CANARIES), ("Date", CANARIES)]),
    "location": answer(302, b"", headers=[("Location", f"http://{PHONE}/{KEY}")]),
    "reason": Script((response(500, CANARIES.encode(), reason=CANARIES),)),
    "broken header": Script((f"HTTP/1.1 200 OK\r\n{CANARIES}\r\n\r\n".encode(),), End.CLOSE),
    "no http": Script((CANARIES.encode() + b"\r\n\r\n",), End.CLOSE),
    "cut off": Script((response(200, CANARIES.encode(), length=1000),), End.CLOSE),
    "lost": Script((f"HTTP/1.1 {CANARIES}".encode(),), End.CLOSE),
}


@pytest.mark.parametrize("script", TAINTED.values(), ids=TAINTED)
async def test_nothing_of_a_body_a_header_an_id_or_a_key_is_in_the_reply(
    script: Script, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wherever the other side plants a phone number or our own key, neither reply nor log has it."""
    caplog.set_level("DEBUG")
    async with ScriptedProvider(script) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
    out, err = capfd.readouterr()
    shown = f"{reply!r} {caplog.text} {out} {err}"
    assert not [canary for canary in (PHONE, KEY, ID) if canary in shown]
