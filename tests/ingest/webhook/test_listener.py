"""The webhook's listener over real sockets: which request gets which response, and when."""

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
from exporter.ingest.webhook_listener import WebhookListener
from exporter.runtime.errors import ListenError
from tests.engine.rig import Rig, start_rig
from tests.ingest.webhook.world import World, count_results, make_settings

TOKEN = "a-token-of-some-length-1234567890"
PATH = f"/webhook/{TOKEN}"
EVENT = {"messageId": "m-default-000000", "deliverystatus": "delivered", "timestamp": "2026-11-23T10:30:00Z"}


class Answer(NamedTuple):
    """One response."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Client:
    """A client of the listener, and the daemon behind it."""

    def __init__(self, rig: Rig, webhooks: WebhookListener, session: aiohttp.ClientSession) -> None:
        self.rig = rig
        self.webhooks = webhooks
        self.session = session

    async def send(self, path: str = PATH, method: str = "POST", **request: Any) -> Answer:  # noqa: ANN401 - what aiohttp takes
        """Send one request."""
        url = f"http://{self.webhooks.addresses[0]}{path}"
        async with self.session.request(method, url, **request) as response:
            return Answer(response.status, await response.read(), response.headers.copy())


def webhook_of(settings: Webhook | None, **changes: object) -> Webhook:
    """The section with other values."""
    assert settings is not None
    return settings.model_copy(update=changes)


@asynccontextmanager
async def serving(tmp_path: Path, **more: object) -> AsyncIterator[Client]:
    """A listener with this token and other values of its section."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", "ascii")
    settings = make_settings("verify")
    section = Webhook.model_validate(
        {"listen": "127.0.0.1:0", "token_file": str(token), "mode": "verify", **more}
    )
    settings = settings.model_copy(update={"webhook": section})
    async with start_rig(tmp_path, World().provider, settings) as rig, aiohttp.ClientSession() as session:
        webhooks = WebhookListener(rig.processor, rig.instruments)
        await webhooks.configure(section)
        try:
            yield Client(rig, webhooks, session)
        finally:
            await webhooks.close()


async def test_known_and_unknown_ids_get_the_same_response(tmp_path: Path) -> None:
    """204, without a body: the sender can't learn which ids are tracked."""
    async with serving(tmp_path) as client:
        await client.rig.send(1)
        known = await client.send(json=EVENT)
        unknown = await client.send(json=EVENT | {"messageId": "made-up"})
        password = {"Authorization": aiohttp.encode_basic_auth("any", TOKEN)}
        as_password = await client.send("/webhook", json=EVENT, headers=password)
        for response in (known, unknown, as_password):
            assert (response.status, response.body) == (204, b"")
        assert known.headers.keys() == unknown.headers.keys()
        assert count_results(client.rig) == {"accepted": 1, "unknown": 1, "duplicate": 1}


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
async def test_requests_without_the_token_get_404(tmp_path: Path, path: str, method: str) -> None:
    """Without a body, whatever the request; each is counted, and no body is read."""
    async with serving(tmp_path) as client:
        response = await client.send(path, method, data=b"x" * 100)
        assert (response.status, response.body) == (404, b"")
        assert count_results(client.rig) == {"unauthorized": 1}


@pytest.mark.parametrize(
    ("request_of", "status", "result"),
    [
        ({"method": "GET"}, 405, {}),
        ({"method": "PUT", "json": EVENT}, 405, {}),
        ({"data": b"{"}, 400, {"invalid": 1}),
        ({"json": EVENT | {"messageId": "+380501234567"}}, 400, {"invalid": 1}),
        ({"data": b"x" * (64 * 1024 + 1)}, 413, {"invalid": 1}),
        ({"data": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, {"invalid": 1}),
        ({"data": b"x", "headers": {"Content-Encoding": "br, gzip"}}, 415, {"invalid": 1}),
    ],
)
async def test_what_is_refused(
    tmp_path: Path, request_of: dict[str, Any], status: int, result: dict[str, int]
) -> None:
    """Each refusal has its status, no body, and repeats nothing of the request."""
    async with serving(tmp_path) as client:
        response = await client.send(**request_of)
        assert (response.status, response.body) == (status, b"")
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)
        assert count_results(client.rig) == result


async def test_events_that_can_not_be_stored_must_be_sent_again(tmp_path: Path) -> None:
    """503 and Retry-After while the store has no room; 204 once the event is stored."""
    async with serving(tmp_path) as client:
        await client.rig.send(1)
        client.rig.store.full = True
        response = await client.send(json=EVENT)
        assert (response.status, response.headers["Retry-After"], response.body) == (503, "5", b"")
        client.rig.store.full = False
        assert (await client.send(json=EVENT)).status == 204
        (message,) = await client.rig.read_messages()
        assert message.claimed_status
        assert count_results(client.rig) == {"overflow": 1, "accepted": 1}


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [("192.0.2.9", 204), ("198.51.100.1", 404), ("192.0.2.9, 198.51.100.1", 404), (None, 404)],
)
async def test_only_allowed_senders_are_accepted(tmp_path: Path, forwarded: str | None, status: int) -> None:
    """Behind a trusted proxy the hop before it decides; other senders get 404."""
    lists = {"allowed_senders": ["192.0.2.0/24"], "trusted_proxies": ["127.0.0.1"]}
    async with serving(tmp_path, **lists) as client:
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        assert (await client.send(json=EVENT, headers=headers)).status == status


async def test_a_changed_token_file_is_used(tmp_path: Path) -> None:
    """From then on only the new token is valid."""
    async with serving(tmp_path) as client:
        assert (await client.send(json=EVENT)).status == 204
        draft = tmp_path / "token.new"
        draft.write_text("another-token-of-some-length", "ascii")
        draft.replace(tmp_path / "token")
        assert (await client.send(json=EVENT)).status == 404
        assert (await client.send("/webhook/another-token-of-some-length", json=EVENT)).status == 204


async def test_changed_settings_are_used(tmp_path: Path) -> None:
    """A reload keeps the socket unless the address changes; one that can't be bound changes nothing."""
    async with serving(tmp_path) as client:
        before = client.webhooks.addresses
        section = client.rig.settings.webhook
        await client.webhooks.configure(webhook_of(section, allowed_senders=()))
        assert client.webhooks.addresses == before
        taken = webhook_of(section, listen=("127.0.0.1", int(before[0].rpartition(":")[2])))
        with pytest.raises(ListenError):
            await client.webhooks.configure(taken)
        assert client.webhooks.addresses == before
        assert (await client.send(json=EVENT)).status == 204
        await client.webhooks.configure(None)
        assert client.webhooks.addresses == ()


async def test_the_token_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither token, path, id nor body."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as client:
        for body in (json.dumps(EVENT).encode(), b"{", b"x" * 70_000):
            await client.send(data=body)
        await client.send("/webhook/almost-right", json=EVENT)
        reader, writer = await asyncio.open_connection(*client.webhooks.addresses[0].split(":"))
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    for record in caplog.records:
        line = record.getMessage()
        assert not any(word in line for word in (TOKEN, "almost-right", "m-default", "delivered"))
