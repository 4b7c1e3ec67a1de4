"""Whose certificates are trusted: verification can't be switched off, only narrowed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from exporter.domain.model import Outcome
from exporter.runtime.errors import ConfigError
from tests.kit.scripted import ScriptedProvider, answer, status_body
from tests.provider.account import ID, TIMEOUT_US, Names, make_client

GOOD = answer(200, status_body(ID))


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


def make_server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def _quiet_about_old_tls() -> Iterator[None]:
    """Python warns of a server that still offers TLS 1.0; here one is needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


async def test_a_private_ca_is_trusted_when_its_file_is_given(ca: trustme.CA, ca_file: Path) -> None:
    """With `ca_file` a provider behind a private CA is reached, under the name in its certificate."""
    tls = make_server_context(ca.issue_cert("provider.test"))
    async with ScriptedProvider(GOOD, tls=tls) as provider:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{provider.port}"
        async with make_client(url, names=names, ca_file=ca_file) as ours:
            reply = await ours.fetch(ID)
    assert reply.outcome is Outcome.OK, reply.detail


async def fetch_refused(tls: ssl.SSLContext, ca_file: Path | None) -> str:
    """Ask such a server, which must not see a request; the reply's detail."""
    async with ScriptedProvider(GOOD, tls=tls) as provider:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{provider.port}"
        async with make_client(url, names=names, ca_file=ca_file) as ours:
            reply = await ours.fetch(ID)
        assert (reply.outcome, provider.received) == (Outcome.TLS, [])
    return reply.detail


async def test_an_expired_certificate_is_refused(ca: trustme.CA, ca_file: Path) -> None:
    """The right CA and the right name don't help it, and the log says what is wrong with it."""
    expired = ca.issue_cert("provider.test", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    assert "certificate has expired" in await fetch_refused(make_server_context(expired), ca_file)


async def test_a_certificate_for_another_name_is_refused(ca: trustme.CA, ca_file: Path) -> None:
    """A certificate of the right CA speaks only for the names in it."""
    detail = await fetch_refused(make_server_context(ca.issue_cert("another.test")), ca_file)
    assert "Hostname mismatch" in detail


async def test_a_certificate_of_an_unknown_authority_is_refused(ca_file: Path) -> None:
    """Only the configured CAs are trusted."""
    foreign = trustme.CA().issue_cert("provider.test")
    assert "unable to get local issuer" in await fetch_refused(make_server_context(foreign), ca_file)


async def test_a_private_ca_is_unknown_unless_its_file_is_given(ca: trustme.CA) -> None:
    """Without `ca_file` the system's CAs hold, and verification is on."""
    detail = await fetch_refused(make_server_context(ca.issue_cert("provider.test")), None)
    assert "CERTIFICATE" in detail.upper()


async def test_a_self_signed_certificate_is_refused(tmp_path: Path, ca_file: Path) -> None:
    """A certificate that vouches for itself vouches for nothing."""
    alone = trustme.CA()
    alone.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    alone.cert_pem.write_to_path(str(tmp_path / "certificate.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert "self-signed" in await fetch_refused(tls, ca_file)


@pytest.mark.usefixtures("_quiet_about_old_tls")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_tls_is_refused(ca: trustme.CA, ca_file: Path, version: ssl.TLSVersion) -> None:
    """A server that speaks nothing newer than TLS 1.1 isn't spoken to."""
    tls = make_server_context(ca.issue_cert("provider.test"))
    tls.set_ciphers("ALL:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        names = Names(provider_test=["127.0.0.1"])
        url = f"https://provider.test:{listener.getsockname()[1]}"
        async with make_client(url, names=names, ca_file=ca_file) as ours, asyncio.TaskGroup() as tasks:
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
    async with plain, make_client(f"https://127.0.0.1:{port}") as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.TLS


async def _talk_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a server that says something in the clear before it is asked."""
    writer.write(b"220 smtp.test ESMTP\r\n")
    await writer.drain()
    await reader.read()
    writer.close()


async def test_a_handshake_that_never_ends_ends_at_the_time_out() -> None:
    """A server that accepts the connection and sends nothing is a time-out, before TLS as after it."""
    async with ScriptedProvider(GOOD) as provider:
        async with make_client(f"https://127.0.0.1:{provider.port}", timeout_us=TIMEOUT_US) as ours:
            assert (await ours.fetch(ID)).outcome is Outcome.TIMEOUT
        assert provider.received == []


async def test_a_ca_file_without_a_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    """Neither a missing nor an empty file falls back to other CAs."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError):
            make_client("https://provider.test", ca_file=path)
