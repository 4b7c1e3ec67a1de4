"""Certificates for this run, and the files that web configurations name."""

from __future__ import annotations

import ssl
import subprocess
from functools import cache
from pathlib import Path

import bcrypt
import trustme

PASSWORD = "correct horse battery staple"


@cache
def get_authority() -> trustme.CA:
    """The authority that signs the certificates of our server and its clients."""
    return trustme.CA()


@cache
def get_foreign_authority() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


@cache
def hash_password(password: str = PASSWORD, cost: int = 4) -> str:
    """The bcrypt hash of a password, as cheap as possible."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def write_certificates(folder: Path, *names: str) -> Path:
    """Write the files that web configurations name; the certificate is for `names`."""
    leaf = get_authority().issue_cert(*(names or ("localhost", "127.0.0.1")))
    (folder / "server.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(folder / "server.key"))
    get_authority().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


def write_odd_keys(folder: Path) -> Path:
    """Write a key of another certificate, and an encrypted one."""
    get_foreign_authority().private_key_pem.write_to_path(str(folder / "other.key"))
    subprocess.run(
        [
            "openssl",
            "pkey",
            "-in",
            "server.key",
            "-aes128",
            "-passout",
            "pass:hunter2",
            "-out",
            "encrypted.key",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def make_client_context(*names: str, of: trustme.CA | None = None) -> ssl.SSLContext:
    """A client that trusts our authority; with `names`, it has a certificate for them."""
    context = ssl.create_default_context()
    get_authority().configure_trust(context)
    if names:
        (of or get_authority()).issue_cert(*names).configure_cert(context)
    return context
