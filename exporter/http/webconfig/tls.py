"""From a checked section to a TLS context, or to the problem of its certificates.

Certificates and keys are passed as bytes, so that the caller knows exactly which
ones are in force. OpenSSL requires files, so it gets files in memory: a key in
the configuration is never written to a disk.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from exporter.http.webconfig.sections import CURVES, SUITES, TlsServer

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = b"ENCRYPTED"


class PemError(Exception):
    """A certificate or a key that can't be used."""

    def __init__(self, name: str, message: str, hint: str = "") -> None:
        """`name` is `cert`, `key` or `client_ca`."""
        super().__init__(message)
        self.name = name
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Tls:
    """How connections are encrypted, and which clients are allowed."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] = frozenset()
    """A client's certificate must have one of these names; empty allows all."""

    def allows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate (from `ssl`, already verified) may connect."""
        if not self.allowed_sans:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return any(_normalize_san(kind, name) in self.allowed_sans for kind, name in names)


def build_tls(section: TlsServer, pems: Mapping[str, bytes]) -> Tls:
    """The TLS of `section`, with `cert`, `key` and perhaps `client_ca` in `pems`; raises PemError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[section.min_version]
    context.maximum_version = _VERSIONS[section.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    if section.cipher_suites:
        _set_suites(context, section.cipher_suites)
    for curve in section.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    _load_certificate(context, pems["cert"], pems["key"])
    context.verify_mode = _CLIENT_AUTH[section.client_auth_type]
    if context.verify_mode is not ssl.CERT_NONE:
        # Every certificate in the file is trusted, intermediate authorities too.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _load_client_ca(context, pems.get("client_ca"))
    return Tls(context, frozenset(section.client_allowed_sans))


def _set_suites(context: ssl.SSLContext, suites: Sequence[str]) -> None:
    """Allow these in TLS 1.2; without any for TLS 1.2, only TLS 1.3 remains."""
    names = [SUITES[suite] for suite in suites if suite in SUITES]
    if names:
        context.set_ciphers(":".join(dict.fromkeys(names)))
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _load_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    if _CERTIFICATE not in cert:
        raise PemError("cert", "holds no certificate", "it must be in PEM form")
    if _KEY not in key:
        raise PemError("key", "holds no private key", "it must be in PEM form")
    if _ENCRYPTED in key:
        hint = "remove the passphrase: openssl pkey -in key.pem -out plain.pem"
        raise PemError("key", "is encrypted, and the exporter can't ask for the passphrase", hint)
    try:
        with _open_as_file(cert) as cert_path, _open_as_file(key) as key_path:
            # Without this OpenSSL would ask for a passphrase at the terminal.
            context.load_cert_chain(cert_path, key_path, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            hint = "if the pair is being replaced right now, this passes by itself"
            raise PemError("key", "does not belong to the certificate", hint) from None
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise PemError("cert", f"and its key can't be used: {reason}", "both must be in PEM form") from None


def _load_client_ca(context: ssl.SSLContext, client_ca: bytes | None) -> None:
    if client_ca is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    if _CERTIFICATE not in client_ca:
        raise PemError("client_ca", "holds no certificate", "it must be in PEM form")
    try:
        with _open_as_file(client_ca) as path:
            context.load_verify_locations(path)
    except ssl.SSLError as error:
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise PemError("client_ca", f"can't be used: {reason}", "it must be in PEM form") from None


@contextmanager
def _open_as_file(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `data`."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - there is no path
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _normalize_san(kind: str, name: str) -> str:
    """A name of a certificate as in a configuration: IP addresses in their short form."""
    if kind != "IP Address":
        return name
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name
