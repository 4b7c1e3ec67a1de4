"""The listener over TLS: allowed clients, versions, and the same limits as without TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
import uvloop
from aiohttp import web

from exporter.http import Listener, WebAuth, build_routes
from exporter.http.connections import ARRIVE_SECONDS, HANDSHAKE_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from tests.http.authority import get_authority, get_foreign_authority, make_client_context, write_certificates
from tests.http.client import (
    ENDPOINTS,
    connect,
    connect_tls,
    count_descriptors,
    read_until_the_end,
    send_request,
)
from tests.kit.live import come_true

TLS = "  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
REQUEST = b"GET /-/ready HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def listen_tls(
    folder: Path, section: str = TLS, *routes: web.AbstractRouteDef
) -> AsyncIterator[tuple[Listener, WebAuth]]:
    """A listener with this `tls_server_config`."""
    (write_certificates(folder) / "web.yml").write_text(f"tls_server_config:\n{section}")
    with WebAuth(folder / "web.yml") as web_auth:
        async with Listener(["127.0.0.1:0"], [*build_routes(ENDPOINTS), *routes], web_auth) as listener:
            yield listener, web_auth


async def request_status(listener: Listener, context: ssl.SSLContext) -> str:
    """Send a request over TLS; returns its status line, or "" when the connection is refused or closed."""
    try:
        async with connect_tls(listener, context) as (reader, writer):
            writer.write(REQUEST)
            return (await read_until_the_end(reader)).partition(b"\r\n")[0].decode()
    except (OSError, asyncio.IncompleteReadError):
        return ""


OK = "HTTP/1.1 200 OK"


def limit_client(
    *,
    lowest: ssl.TLSVersion | None = None,
    highest: ssl.TLSVersion | None = None,
    ciphers: str = "",
    curve: str = "",
) -> ssl.SSLContext:
    """A client that supports only this."""
    context = make_client_context()
    if ciphers:
        context.set_ciphers(ciphers)
        highest = highest or ssl.TLSVersion.TLSv1_2
    if highest is not None:
        with warnings.catch_warnings():
            # Python warns about TLS 1.1, which is tested here on purpose.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = highest
    if lowest is not None:
        context.minimum_version = lowest
    if curve:
        context.set_ecdh_curve(curve)
    return context


@pytest.mark.parametrize(
    ("section", "client", "status"),
    [
        ("", limit_client(), OK),
        ("", limit_client(highest=ssl.TLSVersion.TLSv1_2), OK),
        ("", limit_client(highest=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0"), ""),
        ("  min_version: TLS13\n", limit_client(highest=ssl.TLSVersion.TLSv1_2), ""),
        ("  max_version: TLS12\n", limit_client(lowest=ssl.TLSVersion.TLSv1_3), ""),
        (
            "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n",
            limit_client(ciphers="ECDHE+AES128"),
            OK,
        ),
        (
            "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n",
            limit_client(ciphers="ECDHE+AES256"),
            "",
        ),
        ("  curve_preferences: [CurveP521]\n", limit_client(curve="secp521r1"), OK),
        ("  curve_preferences: [CurveP521]\n", limit_client(curve="secp384r1"), ""),
    ],
    ids=["any", "1.2", "1.1", "1.3 only", "1.2 only", "suite", "no common suite", "curve", "no common curve"],
)
async def test_versions_suites_and_curves_are_those_of_the_file(
    tmp_path: Path, section: str, client: ssl.SSLContext, status: str
) -> None:
    """TLS 1.2 and 1.3 by default; a client that supports none of them gets no connection."""
    async with listen_tls(tmp_path, TLS + section) as (listener, _):
        assert await request_status(listener, client) == status


async def test_the_servers_order_of_suites_holds_unless_the_client_may_choose(tmp_path: Path) -> None:
    """`prefer_server_cipher_suites`, which is true by default."""
    first, second = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    names = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    suites = f"  cipher_suites: [{names}]\n"
    for line, chosen in (("", first), ("  prefer_server_cipher_suites: false\n", second)):
        async with (
            listen_tls(tmp_path, TLS + suites + line) as (listener, _),
            connect_tls(listener, limit_client(ciphers=f"{second}:{first}")) as (_, writer),
        ):
            assert writer.get_extra_info("cipher")[0] == chosen


async def test_http_1_1_is_negotiated(tmp_path: Path) -> None:
    """A client that prefers HTTP/2 learns it in the handshake."""
    context = make_client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with listen_tls(tmp_path) as (listener, _), connect_tls(listener, context) as (_, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


NAMES = "  client_allowed_sans: [prometheus.test]\n"
OPTIONAL = TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"


@pytest.mark.parametrize(
    ("section", "names", "of", "status"),
    [
        (MUTUAL, ("prometheus.test",), None, OK),
        (MUTUAL, (), None, ""),
        (MUTUAL, ("prometheus.test",), get_foreign_authority(), ""),
        (MUTUAL + NAMES, ("other.test", "prometheus.test"), None, OK),
        (MUTUAL + NAMES, ("other.test",), None, ""),
        (MUTUAL + NAMES, (), None, ""),
        (OPTIONAL, (), None, OK),
        (OPTIONAL, ("prometheus.test",), None, OK),
        (OPTIONAL, ("prometheus.test",), get_foreign_authority(), ""),
        (TLS, ("prometheus.test",), get_foreign_authority(), OK),
    ],
    ids=[
        "ours", "none", "a foreign one's", "named", "not named", "none to be named",
        "optional, none", "optional, ours", "optional, a foreign one's", "not asked for",
    ],
)  # fmt: skip
async def test_clients_show_the_certificates_that_the_file_asks_for(
    tmp_path: Path, section: str, names: tuple[str, ...], of: trustme.CA | None, status: str
) -> None:
    """A client without one gets no answer to any request."""
    async with listen_tls(tmp_path, section) as (listener, _):
        assert await request_status(listener, make_client_context(*names, of=of)) == status


async def test_an_authority_below_another_one_can_be_trusted_alone(tmp_path: Path) -> None:
    """As in other exporters, any certificate in `client_ca_file` is trusted."""
    below = get_authority().create_child_ca()
    async with listen_tls(tmp_path, MUTUAL) as (listener, web_auth):
        below.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        await web_auth.check_files()
        await web_auth.check_files()
        assert await request_status(listener, make_client_context("prometheus.test", of=below)) == OK
        assert await request_status(listener, make_client_context("prometheus.test")) == ""


async def test_a_plain_client_gets_an_answer_that_this_port_speaks_https(tmp_path: Path) -> None:
    """400 in plain text, as in other exporters, also when its request comes late or in pieces."""
    async with listen_tls(tmp_path) as (listener, _):
        assert (await send_request(listener, REQUEST)).endswith(b"\r\n\r\nthis port speaks HTTPS\n")
        async with connect(listener) as (reader, writer):
            for _ in range(10):
                await asyncio.sleep(0)
            writer.write(REQUEST[:3])
            await asyncio.sleep(0)
            writer.write(REQUEST[3:])
            assert (await read_until_the_end(reader)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_garbage_and_broken_handshakes_end_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As port scanners do: no line in the log, no descriptor left open, and no effect on others."""
    caplog.set_level(logging.DEBUG)
    async with listen_tls(tmp_path) as (listener, _):
        assert await request_status(listener, make_client_context()) == OK
        before = count_descriptors()
        for sent in (
            b"",
            b"\0" * 1000,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600,
            b"\x15\x03",
        ):
            async with connect(listener) as (reader, writer):
                writer.write(sent)
                writer.write_eof()
                assert b"HTTP" not in await read_until_the_end(reader)
        assert await request_status(listener, make_client_context()) == OK
        await come_true(lambda: count_descriptors() <= before)
    assert not caplog.records


@pytest.mark.looptime
async def test_a_handshake_that_does_not_end_is_cut(tmp_path: Path) -> None:
    """After ten seconds, of silence or of half a handshake."""
    loop = asyncio.get_running_loop()
    async with listen_tls(tmp_path) as (listener, _):
        for sent in (b"", b"\x16\x03\x01\x02\x00"):
            async with connect(listener) as (reader, writer):
                began_at = loop.time()
                writer.write(sent)
                await read_until_the_end(reader)
                assert loop.time() - began_at == pytest.approx(HANDSHAKE_SECONDS, abs=1.0)


@pytest.mark.looptime
@pytest.mark.parametrize(("sent", "limit_seconds"), [(b"", IDLE_SECONDS), (b"GET / HT", ARRIVE_SECONDS)])
async def test_the_limits_of_requests_hold_over_tls(
    tmp_path: Path, sent: bytes, limit_seconds: float
) -> None:
    """Without a request, and with half of one."""
    loop = asyncio.get_running_loop()
    async with (
        listen_tls(tmp_path) as (listener, _),
        connect_tls(listener, make_client_context()) as (reader, writer),
    ):
        began_at = loop.time()
        writer.write(sent)
        assert await read_until_the_end(reader) == b""
        assert loop.time() - began_at == pytest.approx(limit_seconds, abs=1.0)


@pytest.mark.looptime
async def test_connections_without_a_handshake_do_not_block_a_scraper(tmp_path: Path) -> None:
    """They count as waiting, and are closed for new ones: there are never more connections than allowed."""
    async with listen_tls(tmp_path) as (listener, _), AsyncExitStack() as waiting:
        opened = [await waiting.enter_async_context(connect(listener)) for _ in range(MAX_CONNECTIONS + 10)]
        assert await request_status(listener, make_client_context()) == OK
        for reader, _ in opened[:11]:
            assert await read_until_the_end(reader) == b""
        reader, writer = opened[-1]
        writer.write(REQUEST)
        assert (await read_until_the_end(reader)).endswith(b"this port speaks HTTPS\n")


@pytest.mark.looptime
async def test_one_connection_too_many_is_closed(tmp_path: Path) -> None:
    """While all others work: before the handshake there is no way to answer."""
    release, busy = asyncio.Event(), asyncio.Semaphore(0)

    async def work(_request: web.Request) -> web.Response:
        busy.release()
        await release.wait()
        return web.Response(text="done")

    request = b"GET /work HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
    async with (
        listen_tls(tmp_path, TLS, web.get("/work", work)) as (listener, _),
        AsyncExitStack() as open_ones,
    ):
        context = make_client_context()
        working = [
            await open_ones.enter_async_context(connect_tls(listener, context))
            for _ in range(MAX_CONNECTIONS)
        ]
        for _, writer in working:
            writer.write(request)
        for _ in range(MAX_CONNECTIONS):
            await busy.acquire()
        assert await request_status(listener, context) == ""
        release.set()
        for reader, _ in working:
            assert (await read_until_the_end(reader)).endswith(b"done")
        assert await request_status(listener, context) == OK


async def test_stopping_aborts_handshakes_too(tmp_path: Path) -> None:
    """The listener does not wait for them."""
    async with AsyncExitStack() as client:
        async with listen_tls(tmp_path) as (listener, _):
            reader, _ = await client.enter_async_context(connect(listener))
            assert await request_status(listener, make_client_context()) == OK
        assert await read_until_the_end(reader) == b""


@pytest.mark.looptime
async def test_a_new_certificate_is_used_for_the_next_connection(tmp_path: Path) -> None:
    """And an older connection is closed after its next answer, so that the client reconnects."""
    keep = b"GET /-/ready HTTP/1.1\r\nHost: e\r\n\r\n"

    def serial(writer: asyncio.StreamWriter) -> str:
        return str(writer.get_extra_info("peercert")["serialNumber"])

    async with (
        listen_tls(tmp_path) as (listener, web_auth),
        connect_tls(listener, make_client_context()) as (reader, writer),
    ):
        for _ in range(2):
            writer.write(keep)
            assert (await reader.readuntil(b"ready\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        write_certificates(tmp_path)
        await web_auth.check_files()
        await web_auth.check_files()
        began_at = asyncio.get_running_loop().time()
        writer.write(keep)
        assert (await read_until_the_end(reader)).endswith(b"ready\n")
        # Sooner than a connection without a request would end.
        assert asyncio.get_running_loop().time() - began_at < IDLE_SECONDS / 2
        async with connect_tls(listener, make_client_context()) as (_, next_writer):
            assert serial(next_writer) != serial(writer)


def test_it_works_the_same_on_uvloop(tmp_path: Path) -> None:
    """Uvloop reads data before the TLS protocol starts, so that it must be passed on."""

    async def exercise() -> None:
        async with listen_tls(tmp_path, MUTUAL + NAMES) as (listener, _), AsyncExitStack() as waiting:
            prometheus = make_client_context("prometheus.test")
            for _ in range(5):
                assert (await send_request(listener, REQUEST)).endswith(b"this port speaks HTTPS\n")
                assert await request_status(listener, prometheus) == OK
                assert await request_status(listener, make_client_context("other.test")) == ""
                assert await request_status(listener, make_client_context()) == ""
            for _ in range(MAX_CONNECTIONS + 10):
                await waiting.enter_async_context(connect(listener))
            assert await request_status(listener, prometheus) == OK

    uvloop.run(exercise())
