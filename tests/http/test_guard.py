"""What a web configuration asks of requests, and how a new one takes its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from exporter.http import Listener, MetricsEndpoints, WebAuth, pages
from tests.http.authority import PASSWORD, authority, basic, client_context, furnished, hashed
from tests.http.client import SITE, body, fine, serving

USERS = f"basic_auth_users: {{alice: {hashed()}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
ALICE = {"Authorization": basic("alice", PASSWORD)}


async def with_token(_request: web.Request) -> web.Response:
    """Stand in for a route that asks for a token itself."""
    return web.Response(status=202)


async def reload() -> str:
    """A configuration that is fine."""
    return ""


@asynccontextmanager
async def guarded(folder: Path, text: str) -> AsyncIterator[tuple[ClientSession, WebAuth, str]]:
    """A client of a listener with this web configuration, its guard and its address."""
    (folder / "web.yml").write_text(text)
    with WebAuth(folder / "web.yml") as guard:
        routes = pages(MetricsEndpoints(body, fine, fine, reload))
        own = [web.post("/api/v1/messages", with_token)]
        async with Listener(["127.0.0.1:0"], routes, guard, own) as listener, ClientSession() as client:
            yield client, guard, listener.addresses[0]


async def test_every_route_asks_for_a_password_but_those_with_a_token(tmp_path: Path) -> None:
    """Also what isn't there: nobody learns which paths there are, nor reaches them by another spelling."""
    async with guarded(tmp_path, USERS) as (client, _, address):
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", "/metrics", 200),
            ("HEAD", "/metrics", 200),
            ("GET", "/-/healthy", 200),
            ("GET", "/-/ready", 200),
            ("POST", "/-/reload", 200),
            ("GET", "/-/reload", 405),
            ("GET", "/api/v1/status", 404),
            ("GET", "/nowhere", 404),
            ("GET", "//metrics", 404),
            ("GET", "/api/v1/messages", 405),
            ("PUT", "/api/v1/messages", 405),
            ("POST", "/api/v1/messages/../../../metrics", 405),
            ("OPTIONS", "/metrics", 405),
        ):
            url = f"http://{address}{path}"
            async with client.request(method, url) as answer:
                assert (path, answer.status) == (path, 401)
                assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
            async with client.request(method, url, headers=ALICE) as answer:
                assert (path, answer.status) == (path, status)
        async with client.post(f"http://{address}/api/v1/messages") as answer:
            assert answer.status == 202


async def test_the_configured_headers_are_on_every_answer(tmp_path: Path) -> None:
    """Refusals and errors too, and over those of the page."""
    text = (
        USERS + "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: sandbox}}\n"
    )
    async with guarded(tmp_path, text) as (client, _, address):
        for path, headers in (("/", ALICE), ("/metrics", ALICE), ("/nowhere", ALICE), ("/", None)):
            async with client.get(f"http://{address}{path}", headers=headers) as answer:
                assert answer.headers["X-Frame-Options"] == "deny"
                assert answer.headers.getall("Content-Security-Policy") == ["sandbox"]


@pytest.mark.looptime
async def test_requests_beyond_the_rate_limit_are_refused(tmp_path: Path) -> None:
    """A burst, then one for each interval; before any password is looked at, and with a token as well."""
    async with guarded(tmp_path, USERS + "rate_limit: {interval: 10s, burst: 3}\n") as (client, _, address):

        async def status() -> int:
            async with client.get(f"http://{address}/metrics", headers=ALICE) as answer:
                return answer.status

        assert [await status() for _ in range(4)] == [200, 200, 200, 429]
        async with client.post(f"http://{address}/api/v1/messages") as answer:
            assert answer.status == 429
        await asyncio.sleep(15)
        assert [await status() for _ in range(2)] == [200, 429]
        await asyncio.sleep(1000)
        assert [await status() for _ in range(4)] == [200, 200, 200, 429]


async def settled(guard: WebAuth) -> None:
    """Look until what was written is judged."""
    await guard.look()
    await guard.look()


async def test_a_new_file_holds_for_the_next_request(tmp_path: Path) -> None:
    """Users come and go without a restart, on connections that are open too."""
    async with guarded(tmp_path, USERS) as (client, guard, address):
        url = f"http://{address}/metrics"
        async with client.get(url, headers=ALICE) as answer:
            assert answer.status == 200
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{bob: {hashed('b')}}}\n")
        await settled(guard)
        for headers, status in ((ALICE, 401), ({"Authorization": basic("bob", "b")}, 200)):
            async with client.get(url, headers=headers) as answer:
                assert answer.status == status


async def test_a_bad_file_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names file, line and problem; the mended file is taken."""
    async with guarded(tmp_path, USERS) as (client, guard, address):
        (tmp_path / "web.yml").write_text("basic_auth_users: {bob: hunter2}\n")
        for _ in range(3):
            await settled(guard)
        async with client.get(f"http://{address}/metrics", headers=ALICE) as answer:
            assert answer.status == 200
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert record.__dict__["event"] == "web_config_failed"
        problems = record.__dict__["fields"]["problems"]
        assert problems.startswith(
            f"{tmp_path}/web.yml:1:20: basic_auth_users.bob: is not a bcrypt hash [SMSBAT-C009]\n"
        )
        assert "hunter2" not in problems
        (tmp_path / "web.yml").unlink()
        await settled(guard)
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{bob: {hashed('b')}}}\n")
        await settled(guard)
        async with client.get(f"http://{address}/metrics", headers=ALICE) as answer:
            assert answer.status == 401


async def test_what_works_and_should_be_mended_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each, with its place, its code and what to do."""
    async with guarded(tmp_path, USERS) as (_, guard, _):
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        fields = record.__dict__["fields"]
        assert (fields["file"], fields["line"], fields["key"]) == (str(guard.path), 1, "basic_auth_users")
        assert (fields["code"], fields["hint"][:3]) == ("SMSBAT-W003", "add")
        assert [warning.key for warning in guard.warnings] == ["basic_auth_users"]


async def test_what_is_being_written_is_not_judged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Certificate and key are two files: in between, when they don't fit, nobody is alarmed."""
    async with guarded(furnished(tmp_path), TLS) as (_, guard, _):
        before = guard.tls
        new = authority().issue_cert("localhost")
        (tmp_path / "server.crt").write_bytes(new.cert_chain_pems[0].bytes())
        await guard.look()
        (tmp_path / "server.key").write_bytes(new.private_key_pem.bytes())
        await guard.look()
        assert guard.tls is before
        await guard.look()
        assert guard.tls is not before
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_tls_can_be_switched_on_while_it_runs(tmp_path: Path) -> None:
    """As everything in the file."""
    async with guarded(furnished(tmp_path), "") as (client, guard, address):
        async with client.get(f"http://{address}/metrics") as answer:
            assert answer.status == 200
        (tmp_path / "web.yml").write_text(TLS)
        await settled(guard)
        async with client.get(f"https://{address}/metrics", ssl=client_context()) as answer:
            assert answer.status == 200
        async with ClientSession() as newcomer, newcomer.get(f"http://{address}/metrics") as answer:
            assert (answer.status, await answer.text()) == (400, "this port speaks HTTPS\n")


@pytest.mark.looptime
async def test_the_files_are_looked_at_by_themselves(tmp_path: Path) -> None:
    """Every two seconds: a change is in force after two looks."""
    async with guarded(tmp_path, USERS) as (client, guard, address), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(guard.follow())
        (tmp_path / "web.yml").write_text("")
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(1)
                async with client.get(f"http://{address}/metrics") as answer:
                    if answer.status == 200:
                        break
        following.cancel()


async def test_no_web_configuration_asks_for_nothing() -> None:
    """The default is what it was."""
    async with serving(*pages(SITE)) as client, client.get("/metrics") as answer:
        assert answer.status == 200
