"""What a web configuration requires of requests, and how it is replaced while running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from exporter.http import Listener, MetricsEndpoints, WebAuth, build_routes
from tests.http.authority import (
    PASSWORD,
    get_authority,
    hash_password,
    make_client_context,
    write_certificates,
)
from tests.http.client import ENDPOINTS, report_fine, scrape_body, serve
from tests.kit.web import encode_basic

USERS = f"basic_auth_users: {{alice: {hash_password()}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
ALICE = {"Authorization": encode_basic("alice", PASSWORD)}


async def accept_token(_request: web.Request) -> web.Response:
    """Stand for a route with a token of its own."""
    return web.Response(status=202)


async def reload() -> str:
    """Reload a configuration without problems."""
    return ""


@asynccontextmanager
async def serve_with_auth(folder: Path, text: str) -> AsyncIterator[tuple[ClientSession, WebAuth, str]]:
    """A client of a listener with this web configuration, its `WebAuth`, and its address."""
    (folder / "web.yml").write_text(text)
    with WebAuth(folder / "web.yml") as web_auth:
        routes = build_routes(MetricsEndpoints(scrape_body, report_fine, report_fine, reload))
        own = [web.post("/api/v1/messages", accept_token)]
        async with Listener(["127.0.0.1:0"], routes, web_auth, own) as listener, ClientSession() as client:
            yield client, web_auth, listener.addresses[0]


async def test_every_route_requires_a_password_but_those_with_a_token(tmp_path: Path) -> None:
    """Unknown paths too: nobody learns which paths exist, or reaches one by another spelling."""
    async with serve_with_auth(tmp_path, USERS) as (client, _, address):
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
    async with serve_with_auth(tmp_path, text) as (client, _, address):
        for path, headers in (("/", ALICE), ("/metrics", ALICE), ("/nowhere", ALICE), ("/", None)):
            async with client.get(f"http://{address}{path}", headers=headers) as answer:
                assert answer.headers["X-Frame-Options"] == "deny"
                assert answer.headers.getall("Content-Security-Policy") == ["sandbox"]


@pytest.mark.looptime
async def test_requests_beyond_the_rate_limit_are_refused(tmp_path: Path) -> None:
    """A burst, then one per interval; before any password is checked, and for routes with a token too."""
    async with serve_with_auth(tmp_path, USERS + "rate_limit: {interval: 10s, burst: 3}\n") as (
        client,
        _,
        address,
    ):

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


async def check_files_twice(web_auth: WebAuth) -> None:
    """Check the files twice, so that a change is applied."""
    await web_auth.check_files()
    await web_auth.check_files()


async def test_a_new_file_applies_to_the_next_request(tmp_path: Path) -> None:
    """Users are added and removed without a restart, on open connections too."""
    async with serve_with_auth(tmp_path, USERS) as (client, web_auth, address):
        url = f"http://{address}/metrics"
        async with client.get(url, headers=ALICE) as answer:
            assert answer.status == 200
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{bob: {hash_password('b')}}}\n")
        await check_files_twice(web_auth)
        for headers, status in ((ALICE, 401), ({"Authorization": encode_basic("bob", "b")}, 200)):
            async with client.get(url, headers=headers) as answer:
                assert answer.status == status


async def test_a_bad_file_changes_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names file, line and problem; the fixed file is applied."""
    async with serve_with_auth(tmp_path, USERS) as (client, web_auth, address):
        (tmp_path / "web.yml").write_text("basic_auth_users: {bob: hunter2}\n")
        for _ in range(3):
            await check_files_twice(web_auth)
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
        await check_files_twice(web_auth)
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{bob: {hash_password('b')}}}\n")
        await check_files_twice(web_auth)
        async with client.get(f"http://{address}/metrics", headers=ALICE) as answer:
            assert answer.status == 401


async def test_a_file_that_works_and_should_be_fixed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each warning, with its place, its code and what to do."""
    async with serve_with_auth(tmp_path, USERS) as (_, web_auth, _):
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        fields = record.__dict__["fields"]
        assert (fields["file"], fields["line"], fields["key"]) == (str(web_auth.path), 1, "basic_auth_users")
        assert (fields["code"], fields["hint"][:3]) == ("SMSBAT-W003", "add")
        assert [warning.key for warning in web_auth.warnings] == ["basic_auth_users"]


async def test_files_that_are_being_replaced_are_not_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Certificate and key are two files: while they don't match, no error is logged."""
    async with serve_with_auth(write_certificates(tmp_path), TLS) as (_, web_auth, _):
        before = web_auth.tls
        new = get_authority().issue_cert("localhost")
        (tmp_path / "server.crt").write_bytes(new.cert_chain_pems[0].bytes())
        await web_auth.check_files()
        (tmp_path / "server.key").write_bytes(new.private_key_pem.bytes())
        await web_auth.check_files()
        assert web_auth.tls is before
        await web_auth.check_files()
        assert web_auth.tls is not before
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_tls_can_be_switched_on_while_it_runs(tmp_path: Path) -> None:
    """As everything in the file."""
    async with serve_with_auth(write_certificates(tmp_path), "") as (client, web_auth, address):
        async with client.get(f"http://{address}/metrics") as answer:
            assert answer.status == 200
        (tmp_path / "web.yml").write_text(TLS)
        await check_files_twice(web_auth)
        async with client.get(f"https://{address}/metrics", ssl=make_client_context()) as answer:
            assert answer.status == 200
        async with ClientSession() as newcomer, newcomer.get(f"http://{address}/metrics") as answer:
            assert (answer.status, await answer.text()) == (400, "this port speaks HTTPS\n")


@pytest.mark.looptime
async def test_the_files_are_checked_periodically(tmp_path: Path) -> None:
    """Every two seconds: a change is in force after two checks."""
    async with serve_with_auth(tmp_path, USERS) as (client, web_auth, address), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(web_auth.follow_files())
        (tmp_path / "web.yml").write_text("")
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(1)
                async with client.get(f"http://{address}/metrics") as answer:
                    if answer.status == 200:
                        break
        following.cancel()


async def test_without_a_web_configuration_nothing_is_required() -> None:
    """That is the default."""
    async with serve(*build_routes(ENDPOINTS)) as client, client.get("/metrics") as answer:
        assert answer.status == 200
