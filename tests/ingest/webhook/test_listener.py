"""The webhook's listener over real sockets: who gets which answer, and when."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from exporter.config import Webhook
from exporter.ingest.webhook_listener import Webhooks
from exporter.runtime.errors import ListenError
from tests.engine.rig import Rig, running
from tests.ingest.webhook.world import World, events, listening

TOKEN = "a-token-of-some-length-1234567890"
PATH = f"/webhook/{TOKEN}"
NEWS = {"messageId": "m-default-000000", "deliverystatus": "delivered", "timestamp": "2026-11-23T10:30:00Z"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Door:
    """A listener, the daemon behind it, and a client."""

    def __init__(self, rig: Rig, webhooks: Webhooks, session: aiohttp.ClientSession) -> None:
        """All of them run."""
        self.rig = rig
        self.webhooks = webhooks
        self.session = session

    async def ask(self, path: str = PATH, method: str = "POST", **request: Any) -> Answer:  # noqa: ANN401 - what aiohttp takes
        """One request and its answer."""
        url = f"http://{self.webhooks.addresses[0]}{path}"
        async with self.session.request(method, url, **request) as response:
            return Answer(response.status, await response.read(), response.headers.copy())


def webhook_of(settings: Webhook | None, **changes: object) -> Webhook:
    """The section with other values."""
    assert settings is not None
    return settings.model_copy(update=changes)


@asynccontextmanager
async def opened(tmp_path: Path, **more: object) -> AsyncIterator[Door]:
    """A door with this token, and whatever else of the section."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", "ascii")
    settings = listening("verify")
    section = Webhook.model_validate(
        {"listen": "127.0.0.1:0", "token_file": str(token), "mode": "verify", **more}
    )
    settings = settings.model_copy(update={"webhook": section})
    async with running(tmp_path, World().provider, settings) as rig, aiohttp.ClientSession() as session:
        webhooks = Webhooks(rig.processor, rig.instruments)
        await webhooks.follow(section)
        try:
            yield Door(rig, webhooks, session)
        finally:
            await webhooks.close()


async def test_the_same_answer_for_known_and_unknown(tmp_path: Path) -> None:
    """204, without a body: who asks can't learn which ids are tracked."""
    async with opened(tmp_path) as door:
        await door.rig.send(1)
        known = await door.ask(json=NEWS)
        unknown = await door.ask(json=NEWS | {"messageId": "made-up"})
        password = {"Authorization": aiohttp.encode_basic_auth("any", TOKEN)}
        as_password = await door.ask("/webhook", json=NEWS, headers=password)
        for response in (known, unknown, as_password):
            assert (response.status, response.body) == (204, b"")
        assert known.headers.keys() == unknown.headers.keys()
        assert events(door.rig) == {"accepted": 1, "unknown": 1, "duplicate": 1}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/webhook/wrong", "POST"),
        (f"{PATH}x", "POST"),
        (f"{PATH}/", "POST"),
        ("/webhook/", "POST"),
        ("/webhook", "POST"),
        ("/webhook/wrong", "GET"),
        ("/", "GET"),
        ("/metrics", "GET"),
    ],
)
async def test_without_the_token_there_is_nothing(tmp_path: Path, path: str, method: str) -> None:
    """404 without a body, whatever is asked; each is counted, and none looks at a body."""
    async with opened(tmp_path) as door:
        response = await door.ask(path, method, data=b"x" * 100)
        assert (response.status, response.body) == (404, b"")
        assert events(door.rig) == {"unauthorized": 1}


@pytest.mark.parametrize(
    ("request_of", "status", "result"),
    [
        ({"method": "GET"}, 405, {}),
        ({"method": "PUT", "json": NEWS}, 405, {}),
        ({"data": b"{"}, 400, {"invalid": 1}),
        ({"json": NEWS | {"messageId": "+380501234567"}}, 400, {"invalid": 1}),
        ({"data": b"x" * (64 * 1024 + 1)}, 413, {"invalid": 1}),
        ({"data": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, {"invalid": 1}),
        ({"data": b"x", "headers": {"Content-Encoding": "br, gzip"}}, 415, {"invalid": 1}),
    ],
)
async def test_what_is_refused(
    tmp_path: Path, request_of: dict[str, Any], status: int, result: dict[str, int]
) -> None:
    """Each refusal has its status, no body, and repeats nothing of what came."""
    async with opened(tmp_path) as door:
        response = await door.ask(**request_of)
        assert (response.status, response.body) == (status, b"")
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)
        assert events(door.rig) == result


async def test_what_can_not_be_kept_is_to_come_again(tmp_path: Path) -> None:
    """503 and Retry-After while the store has no room; 204 once it has, and then it is kept."""
    async with opened(tmp_path) as door:
        await door.rig.send(1)
        door.rig.store.full = True
        response = await door.ask(json=NEWS)
        assert (response.status, response.headers["Retry-After"], response.body) == (503, "5", b"")
        door.rig.store.full = False
        assert (await door.ask(json=NEWS)).status == 204
        (message,) = await door.rig.stored()
        assert message.claimed_status
        assert events(door.rig) == {"overflow": 1, "accepted": 1}


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [("192.0.2.9", 204), ("198.51.100.1", 404), ("192.0.2.9, 198.51.100.1", 404), (None, 404)],
)
async def test_only_those_on_the_list_may_speak(tmp_path: Path, forwarded: str | None, status: int) -> None:
    """Behind a trusted proxy the hop before it decides; who isn't on the list finds nothing there."""
    lists = {"allowed_senders": ["192.0.2.0/24"], "trusted_proxies": ["127.0.0.1"]}
    async with opened(tmp_path, **lists) as door:
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        assert (await door.ask(json=NEWS, headers=headers)).status == status


async def test_a_token_that_changes(tmp_path: Path) -> None:
    """The file is read again: the new token holds from then on, the old one no more."""
    async with opened(tmp_path) as door:
        assert (await door.ask(json=NEWS)).status == 204
        draft = tmp_path / "token.new"
        draft.write_text("another-token-of-some-length", "ascii")
        draft.replace(tmp_path / "token")
        assert (await door.ask(json=NEWS)).status == 404
        assert (await door.ask("/webhook/another-token-of-some-length", json=NEWS)).status == 204


async def test_settings_that_change(tmp_path: Path) -> None:
    """A reload keeps the socket unless the address changes; one that can't be bound changes nothing."""
    async with opened(tmp_path) as door:
        before = door.webhooks.addresses
        section = door.rig.settings.webhook
        await door.webhooks.follow(webhook_of(section, allowed_senders=()))
        assert door.webhooks.addresses == before
        taken = webhook_of(section, listen=("127.0.0.1", int(before[0].rpartition(":")[2])))
        with pytest.raises(ListenError):
            await door.webhooks.follow(taken)
        assert door.webhooks.addresses == before
        assert (await door.ask(json=NEWS)).status == 204
        await door.webhooks.follow(None)
        assert door.webhooks.addresses == ()


async def test_no_line_tells_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither token, path, id nor body is ever logged."""
    caplog.set_level(logging.DEBUG)
    async with opened(tmp_path) as door:
        for body in (json.dumps(NEWS).encode(), b"{", b"x" * 70_000):
            await door.ask(data=body)
        await door.ask("/webhook/almost-right", json=NEWS)
        reader, writer = await asyncio.open_connection(*door.webhooks.addresses[0].split(":"))
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    for record in caplog.records:
        line = record.getMessage()
        assert not any(word in line for word in (TOKEN, "almost-right", "m-default", "delivered"))
