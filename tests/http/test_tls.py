"""The listener over TLS: who is spoken to, in which versions, and that all bounds hold there too."""

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

from exporter.http import Listener, WebAuth, pages
from exporter.http.connections import ARRIVE_SECONDS, HANDSHAKE_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from tests.http.authority import authority, client_context, foreign_authority, furnished
from tests.http.client import SITE, ask, connected, encrypted, open_descriptors, read_until_the_end
from tests.kit.live import come_true

TLS = "  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
REQUEST = b"GET /-/ready HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def listening(
    folder: Path, section: str = TLS, *routes: web.AbstractRouteDef
) -> AsyncIterator[tuple[Listener, WebAuth]]:
    """A listener with this `tls_server_config`."""
    (furnished(folder) / "web.yml").write_text(f"tls_server_config:\n{section}")
    with WebAuth(folder / "web.yml") as guard:
        async with Listener(["127.0.0.1:0"], [*pages(SITE), *routes], guard) as listener:
            yield listener, guard


async def answered(listener: Listener, context: ssl.SSLContext) -> str:
    """The status that a request over TLS gets; "" when the connection ends without, or can't be had."""
    try:
        async with encrypted(listener, context) as (reader, writer):
            writer.write(REQUEST)
            return (await read_until_the_end(reader)).partition(b"\r\n")[0].decode()
    except (OSError, asyncio.IncompleteReadError):
        return ""


OK = "HTTP/1.1 200 OK"


def limited(
    *,
    lowest: ssl.TLSVersion | None = None,
    highest: ssl.TLSVersion | None = None,
    ciphers: str = "",
    curve: str = "",
) -> ssl.SSLContext:
    """A client that can do no more than this."""
    context = client_context()
    if ciphers:
        context.set_ciphers(ciphers)
        highest = highest or ssl.TLSVersion.TLSv1_2
    if highest is not None:
        with warnings.catch_warnings():
            # Python warns of whoever still speaks TLS 1.1; here that is the point.
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
        ("", limited(), OK),
        ("", limited(highest=ssl.TLSVersion.TLSv1_2), OK),
        ("", limited(highest=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0"), ""),
        ("  min_version: TLS13\n", limited(highest=ssl.TLSVersion.TLSv1_2), ""),
        ("  max_version: TLS12\n", limited(lowest=ssl.TLSVersion.TLSv1_3), ""),
        ("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n", limited(ciphers="ECDHE+AES128"), OK),
        ("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n", limited(ciphers="ECDHE+AES256"), ""),
        ("  curve_preferences: [CurveP521]\n", limited(curve="secp521r1"), OK),
        ("  curve_preferences: [CurveP521]\n", limited(curve="secp384r1"), ""),
    ],
    ids=["any", "1.2", "1.1", "1.3 only", "1.2 only", "suite", "no common suite", "curve", "no common curve"],
)
async def test_versions_suites_and_curves_are_those_of_the_file(
    tmp_path: Path, section: str, client: ssl.SSLContext, status: str
) -> None:
    """TLS 1.2 and 1.3 unless it says otherwise; who can do none of it gets no connection."""
    async with listening(tmp_path, TLS + section) as (listener, _):
        assert await answered(listener, client) == status


async def test_the_servers_order_of_suites_holds_unless_the_client_may_choose(tmp_path: Path) -> None:
    """`prefer_server_cipher_suites`, which is true when it is left out."""
    first, second = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    names = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    suites = f"  cipher_suites: [{names}]\n"
    for line, chosen in (("", first), ("  prefer_server_cipher_suites: false\n", second)):
        async with (
            listening(tmp_path, TLS + suites + line) as (listener, _),
            encrypted(listener, limited(ciphers=f"{second}:{first}")) as (_, writer),
        ):
            assert writer.get_extra_info("cipher")[0] == chosen


async def test_http_1_1_is_what_is_spoken(tmp_path: Path) -> None:
    """A client that would like HTTP/2 is told so before its first request."""
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with listening(tmp_path) as (listener, _), encrypted(listener, context) as (_, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


NAMES = "  client_allowed_sans: [prometheus.test]\n"
OPTIONAL = TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"


@pytest.mark.parametrize(
    ("section", "names", "of", "status"),
    [
        (MUTUAL, ("prometheus.test",), None, OK),
        (MUTUAL, (), None, ""),
        (MUTUAL, ("prometheus.test",), foreign_authority(), ""),
        (MUTUAL + NAMES, ("other.test", "prometheus.test"), None, OK),
        (MUTUAL + NAMES, ("other.test",), None, ""),
        (MUTUAL + NAMES, (), None, ""),
        (OPTIONAL, (), None, OK),
        (OPTIONAL, ("prometheus.test",), None, OK),
        (OPTIONAL, ("prometheus.test",), foreign_authority(), ""),
        (TLS, ("prometheus.test",), foreign_authority(), OK),
    ],
    ids=[
        "ours", "none", "a foreign one's", "named", "not named", "none to be named",
        "optional, none", "optional, ours", "optional, a foreign one's", "not asked for",
    ],
)  # fmt: skip
async def test_clients_show_the_certificates_that_the_file_asks_for(
    tmp_path: Path, section: str, names: tuple[str, ...], of: trustme.CA | None, status: str
) -> None:
    """Who can't show one gets no answer, whatever is asked."""
    async with listening(tmp_path, section) as (listener, _):
        assert await answered(listener, client_context(*names, of=of)) == status


async def test_an_authority_below_another_one_can_be_trusted_alone(tmp_path: Path) -> None:
    """As in other exporters: whatever stands in `client_ca_file` is enough."""
    below = authority().create_child_ca()
    async with listening(tmp_path, MUTUAL) as (listener, guard):
        below.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        await guard.look()
        await guard.look()
        assert await answered(listener, client_context("prometheus.test", of=below)) == OK
        assert await answered(listener, client_context("prometheus.test")) == ""


async def test_a_plain_client_is_told_that_this_port_speaks_https(tmp_path: Path) -> None:
    """400 in the clear, as other exporters say it, also when its request comes late or in pieces."""
    async with listening(tmp_path) as (listener, _):
        assert (await ask(listener, REQUEST)).endswith(b"\r\n\r\nthis port speaks HTTPS\n")
        async with connected(listener) as (reader, writer):
            for _ in range(10):
                await asyncio.sleep(0)
            writer.write(REQUEST[:3])
            await asyncio.sleep(0)
            writer.write(REQUEST[3:])
            assert (await read_until_the_end(reader)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_garbage_and_broken_handshakes_end_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Port scanners do that all day: no line in the log, no descriptor left, and no harm to others."""
    caplog.set_level(logging.DEBUG)
    async with listening(tmp_path) as (listener, _):
        assert await answered(listener, client_context()) == OK
        before = open_descriptors()
        for sent in (
            b"",
            b"\0" * 1000,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600,
            b"\x15\x03",
        ):
            async with connected(listener) as (reader, writer):
                writer.write(sent)
                writer.write_eof()
                assert b"HTTP" not in await read_until_the_end(reader)
        assert await answered(listener, client_context()) == OK
        await come_true(lambda: open_descriptors() <= before)
    assert not caplog.records


@pytest.mark.looptime
async def test_a_handshake_that_does_not_end_is_cut(tmp_path: Path) -> None:
    """Silence, or half of a greeting: ten seconds."""
    loop = asyncio.get_running_loop()
    async with listening(tmp_path) as (listener, _):
        for sent in (b"", b"\x16\x03\x01\x02\x00"):
            async with connected(listener) as (reader, writer):
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
        listening(tmp_path) as (listener, _),
        encrypted(listener, client_context()) as (reader, writer),
    ):
        began_at = loop.time()
        writer.write(sent)
        assert await read_until_the_end(reader) == b""
        assert loop.time() - began_at == pytest.approx(limit_seconds, abs=1.0)


@pytest.mark.looptime
async def test_connections_without_a_handshake_keep_no_scraper_out(tmp_path: Path) -> None:
    """They count, and make room: there are never more connections than may be open."""
    async with listening(tmp_path) as (listener, _), AsyncExitStack() as waiting:
        opened = [await waiting.enter_async_context(connected(listener)) for _ in range(MAX_CONNECTIONS + 10)]
        assert await answered(listener, client_context()) == OK
        for reader, _ in opened[:11]:
            assert await read_until_the_end(reader) == b""
        reader, writer = opened[-1]
        writer.write(REQUEST)
        assert (await read_until_the_end(reader)).endswith(b"this port speaks HTTPS\n")


@pytest.mark.looptime
async def test_who_finds_no_room_is_let_go(tmp_path: Path) -> None:
    """While all connections work: without TLS there is no way to say more."""
    release, busy = asyncio.Event(), asyncio.Semaphore(0)

    async def work(_request: web.Request) -> web.Response:
        busy.release()
        await release.wait()
        return web.Response(text="done")

    request = b"GET /work HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
    async with (
        listening(tmp_path, TLS, web.get("/work", work)) as (listener, _),
        AsyncExitStack() as open_ones,
    ):
        context = client_context()
        working = [
            await open_ones.enter_async_context(encrypted(listener, context)) for _ in range(MAX_CONNECTIONS)
        ]
        for _, writer in working:
            writer.write(request)
        for _ in range(MAX_CONNECTIONS):
            await busy.acquire()
        assert await answered(listener, context) == ""
        release.set()
        for reader, _ in working:
            assert (await read_until_the_end(reader)).endswith(b"done")
        assert await answered(listener, context) == OK


async def test_stopping_ends_handshakes_too(tmp_path: Path) -> None:
    """The listener waits for no greeting."""
    async with AsyncExitStack() as client:
        async with listening(tmp_path) as (listener, _):
            reader, _ = await client.enter_async_context(connected(listener))
            assert await answered(listener, client_context()) == OK
        assert await read_until_the_end(reader) == b""


@pytest.mark.looptime
async def test_a_new_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    """And a connection from before ends after its next answer, so that it is soon a next one."""
    keep = b"GET /-/ready HTTP/1.1\r\nHost: e\r\n\r\n"

    def serial(writer: asyncio.StreamWriter) -> str:
        return str(writer.get_extra_info("peercert")["serialNumber"])

    async with (
        listening(tmp_path) as (listener, guard),
        encrypted(listener, client_context()) as (reader, writer),
    ):
        for _ in range(2):
            writer.write(keep)
            assert (await reader.readuntil(b"ready\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        furnished(tmp_path)
        await guard.look()
        await guard.look()
        began_at = asyncio.get_running_loop().time()
        writer.write(keep)
        assert (await read_until_the_end(reader)).endswith(b"ready\n")
        # Sooner than a connection without a request would end.
        assert asyncio.get_running_loop().time() - began_at < IDLE_SECONDS / 2
        async with encrypted(listener, client_context()) as (_, next_writer):
            assert serial(next_writer) != serial(writer)


def test_it_works_the_same_on_uvloop(tmp_path: Path) -> None:
    """Which reads what comes before TLS begins, so that it has to be handed over."""

    async def exercise() -> None:
        async with listening(tmp_path, MUTUAL + NAMES) as (listener, _), AsyncExitStack() as waiting:
            prometheus = client_context("prometheus.test")
            for _ in range(5):
                assert (await ask(listener, REQUEST)).endswith(b"this port speaks HTTPS\n")
                assert await answered(listener, prometheus) == OK
                assert await answered(listener, client_context("other.test")) == ""
                assert await answered(listener, client_context()) == ""
            for _ in range(MAX_CONNECTIONS + 10):
                await waiting.enter_async_context(connected(listener))
            assert await answered(listener, prometheus) == OK

    uvloop.run(exercise())
