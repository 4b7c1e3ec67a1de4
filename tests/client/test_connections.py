"""Where connections may lead, whom they trust, and that losing one never asks twice."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
import trustme

from exporter.client import SECRET_REREAD_US
from exporter.errors import ConfigError
from exporter.model import SECOND_US, Outcome
from exporter.secret import SecretFile
from tests.client.account import ID, KEY, TIMEOUT_US, Key, Names, StillClock, client
from tests.kit.scripted import End, Script, ScriptedProvider, answer, status_body
from tests.test_ids import GOOD as GOOD_IDS
from tests.test_ids import HOSTILE

GOOD = answer(200, status_body(ID))


# --- losing a connection ---------------------------------------------------------------------


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 ",)])
async def test_a_reused_connection_that_is_lost_is_told_and_not_repeated(
    end: End, pieces: tuple[bytes, ...]
) -> None:
    """The library would ask again at once: the provider would see the message twice within a second."""
    async with ScriptedProvider(GOOD, Script(pieces, end), GOOD) as provider, client(provider.url) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        reply = await ours.fetch("second")
        assert (reply.outcome, reply.reused_connection_lost) == (Outcome.CONNECT, True)
        assert provider.targets == [f"/bat/message/{ID}", "/bat/message/second"]
        assert provider.connections == 1
        assert (await ours.fetch(ID)).outcome is Outcome.OK


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_new_connection_that_is_lost_is_a_failure(end: End) -> None:
    """Nobody closed an idle connection here: the provider breaks, and that must be seen."""
    async with ScriptedProvider(Script(end=end)) as provider, client(provider.url) as ours:
        reply = await ours.fetch(ID)
        assert (reply.outcome, reply.reused_connection_lost) == (Outcome.CONNECT, False)
        assert len(provider.received) == 1


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_provider_that_closes_after_each_answer_is_asked_once_for_each_message(end: End) -> None:
    """Whoever wins the race between the next request and the news of the close, no message is asked twice."""
    names = [f"message-{number}" for number in range(40)]
    scripts = [answer(200, status_body(name), end=end) for name in names]
    async with ScriptedProvider(*scripts) as provider, client(provider.url) as ours:
        outcomes = {(await ours.fetch(name)).outcome for name in names}
        assert outcomes <= {Outcome.OK, Outcome.CONNECT, Outcome.BAD_BODY, Outcome.BAD_SCHEMA}
        assert len(provider.targets) == len(set(provider.targets))


async def test_connections_are_reused_and_no_more_of_them_than_requests_in_flight() -> None:
    """Many requests at once go over as many connections as the account may have in flight."""
    names = [f"message-{number}" for number in range(12)]
    async with (
        ScriptedProvider(answer(404)) as provider,
        client(provider.url, max_in_flight=3) as ours,
        asyncio.TaskGroup() as tasks,
    ):
        asking = [tasks.create_task(ours.fetch(name)) for name in names]
        assert {(await reply).outcome for reply in asking} == {Outcome.NOT_FOUND}
        assert sorted(provider.targets) == sorted(f"/bat/message/{name}" for name in names)
        assert provider.connections <= 3


# --- who is asked ----------------------------------------------------------------------------


@pytest.mark.parametrize("message_id", HOSTILE)
async def test_a_hostile_id_is_never_sent(message_id: str) -> None:
    """It could change the path, the host or the headers; the reply says why, and not what."""
    async with ScriptedProvider(GOOD) as provider, client(provider.url) as ours:
        reply = await ours.fetch(message_id)
        assert (reply.outcome, provider.connections) == (Outcome.CLIENT_ERROR, 0)
        assert reply.detail == f"not sent: the id is refused as {HOSTILE[message_id]}"


@pytest.mark.parametrize("prefix", ["", "/", "/gate/v1", "/gate/v1/", "/a%2Fb"])
async def test_an_id_is_the_last_segment_below_the_path_of_the_base_url(prefix: str) -> None:
    """The base URL may have a path, which stays as it is written, with a slash at its end or without."""
    async with ScriptedProvider(GOOD) as provider, client(provider.url + prefix) as ours:
        for message_id in GOOD_IDS:
            await ours.fetch(message_id)
        below = prefix.rstrip("/")
        assert provider.targets == [f"{below}/bat/message/{message_id}" for message_id in GOOD_IDS]


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "2852039166",
        "0xa9fea9fe",
    ],
)
async def test_an_address_where_credentials_are_handed_out_is_refused(host: str) -> None:
    """However the metadata service is written, nothing is sent there."""
    async with client(f"http://{host}", timeout_us=TIMEOUT_US) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.DNS


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:a9fe:a9fe", "fe80::1", "fd00:ec2::254"])
async def test_a_name_that_leads_there_is_refused(address: str) -> None:
    """What counts is where a name leads, not how it looks; the reply says that it was refused."""
    names = Names(provider_test=[address])
    async with client("http://provider.test", names=names, timeout_us=TIMEOUT_US) as ours:
        reply = await ours.fetch(ID)
    assert reply.outcome is Outcome.DNS
    assert "metadata" in reply.detail


@pytest.mark.parametrize(
    "dead", ["169.254.169.254", "::1", "2001:db8::1"], ids=["refused", "closed port", "no route"]
)
async def test_one_bad_address_of_a_name_leaves_the_good_ones(dead: str) -> None:
    """Of several addresses one that answers is enough, as for a host whose IPv6 is dead."""
    async with ScriptedProvider(GOOD) as provider:
        names = Names(provider_test=[dead, "127.0.0.1"])
        async with client(f"http://provider.test:{provider.port}", names=names) as ours:
            assert (await ours.fetch(ID)).outcome is Outcome.OK


@pytest.mark.parametrize("host", ["nowhere.test", "x" * 64 + ".test"])
async def test_a_name_that_leads_nowhere_is_a_dns_failure(host: str) -> None:
    """An unknown name, and one that can't be a name, are the resolver's failures and not the provider's."""
    async with client(f"http://{host}", names=Names()) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.DNS


# --- whom to trust ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The private CA of this run."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as an operator would give it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def _quiet_about_old_tls() -> Iterator[None]:
    """Python warns of whoever still offers TLS 1.0; here that is the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


async def test_a_private_ca_is_trusted_when_its_file_is_given(ca: trustme.CA, ca_file: Path) -> None:
    """With `ca_file` a provider behind a private CA is reached, under the name in its certificate."""
    tls = server_context(ca.issue_cert("provider.test"))
    async with ScriptedProvider(GOOD, tls=tls) as provider:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{provider.port}"
        async with client(url, names=names, ca_file=ca_file) as ours:
            reply = await ours.fetch(ID)
    assert reply.outcome is Outcome.OK, reply.detail


async def refused_by(tls: ssl.SSLContext, ca_file: Path | None) -> str:
    """Ask such a server, which must not see a request; the reply's detail."""
    async with ScriptedProvider(GOOD, tls=tls) as provider:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{provider.port}"
        async with client(url, names=names, ca_file=ca_file) as ours:
            reply = await ours.fetch(ID)
        assert (reply.outcome, provider.received) == (Outcome.TLS, [])
    return reply.detail


async def test_an_expired_certificate_is_refused(ca: trustme.CA, ca_file: Path) -> None:
    """The right CA and the right name don't help it, and the log says what is wrong with it."""
    expired = ca.issue_cert("provider.test", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    assert "certificate has expired" in await refused_by(server_context(expired), ca_file)


async def test_a_certificate_for_another_name_is_refused(ca: trustme.CA, ca_file: Path) -> None:
    """A certificate of the right CA speaks only for the names in it."""
    detail = await refused_by(server_context(ca.issue_cert("another.test")), ca_file)
    assert "Hostname mismatch" in detail


async def test_a_certificate_of_a_stranger_is_refused(ca_file: Path) -> None:
    """A CA that we weren't told of vouches for nothing."""
    stranger = trustme.CA().issue_cert("provider.test")
    assert "unable to get local issuer" in await refused_by(server_context(stranger), ca_file)


async def test_a_private_ca_is_unknown_unless_its_file_is_given(ca: trustme.CA) -> None:
    """Without `ca_file` the system's CAs hold, and verification is on."""
    detail = await refused_by(server_context(ca.issue_cert("provider.test")), None)
    assert "CERTIFICATE" in detail.upper()


async def test_a_self_signed_certificate_is_refused(tmp_path: Path, ca_file: Path) -> None:
    """A certificate that vouches for itself vouches for nothing."""
    alone = trustme.CA()
    alone.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    alone.cert_pem.write_to_path(str(tmp_path / "certificate.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert "self-signed" in await refused_by(tls, ca_file)


@pytest.mark.usefixtures("_quiet_about_old_tls")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_tls_is_refused(ca: trustme.CA, ca_file: Path, version: ssl.TLSVersion) -> None:
    """A server that speaks nothing newer than TLS 1.1 isn't spoken to."""
    tls = server_context(ca.issue_cert("provider.test"))
    tls.set_ciphers("ALL:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{listener.getsockname()[1]}"
        async with client(url, names=names, ca_file=ca_file) as ours, asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ours.fetch(ID))
            await asyncio.to_thread(_fail_one_handshake, listener, tls)
            reply = await asking
    assert reply.outcome is Outcome.TLS
    assert "ALERT_PROTOCOL_VERSION" in reply.detail


def _fail_one_handshake(listener: socket.socket, tls: ssl.SSLContext) -> None:
    """Be a server of the blocking kind: asyncio's closes before its alert has left."""
    connection, _ = listener.accept()
    with connection, pytest.raises(ssl.SSLError):
        tls.wrap_socket(connection, server_side=True)


async def test_a_server_without_tls_is_a_tls_failure() -> None:
    """Plain HTTP where https was asked for: no key is sent in the clear."""
    plain = await asyncio.start_server(_talk_first, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain, client(f"https://127.0.0.1:{port}") as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.TLS


async def _talk_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a server that says something in the clear before it is asked."""
    writer.write(b"220 smtp.test ESMTP\r\n")
    await writer.drain()
    await reader.read()
    writer.close()


async def test_a_handshake_that_never_ends_ends_at_the_time_out() -> None:
    """A server that accepts and says nothing is a time-out, before TLS as after it."""
    async with ScriptedProvider(GOOD) as provider:
        async with client(f"https://127.0.0.1:{provider.port}", timeout_us=TIMEOUT_US) as ours:
            assert (await ours.fetch(ID)).outcome is Outcome.TIMEOUT
        assert provider.received == []


async def test_a_ca_file_without_a_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    """Neither a missing nor an empty file falls back to other CAs."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError):
            client("https://provider.test", ca_file=path)


# --- who asks --------------------------------------------------------------------------------


def basic(username: str, password: str) -> str:
    """The header of HTTP basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("header", "x-authorization-key", KEY),
        ("key-as-password", "authorization", basic("@", KEY)),
        ("basic", "authorization", basic("користувач", KEY)),
    ],
)
async def test_the_key_goes_into_the_one_header_of_its_method(
    method: Literal["header", "key-as-password", "basic"], name: str, value: str
) -> None:
    """Each of the provider's three ways sends the key there, and nowhere else; with it goes who we are."""
    async with ScriptedProvider(GOOD) as provider, client(provider.url, method=method) as ours:
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
        client(provider.url, method="key-as-password", key=Key(text)) as ours,
    ):
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        assert provider.received[0].headers["authorization"] == basic("@", text)
        assert "x-evil" not in provider.received[0].headers


async def test_a_rotated_key_file_is_used_within_a_second(tmp_path: Path) -> None:
    """The file is looked at again after a second, and not with every request."""
    path = tmp_path / "key"
    path.write_text("first\n")
    clock = StillClock()
    key = SecretFile(path, "api_key_file of account main")
    async with ScriptedProvider(GOOD) as provider, client(provider.url, clock=clock, key=key) as ours:
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
    async with ScriptedProvider(GOOD) as provider, client(provider.url, key=key, clock=clock) as ours:
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
    async with ScriptedProvider(GOOD) as provider, client(provider.url, key=missing) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.UNAUTHORIZED
        assert provider.connections == 0
