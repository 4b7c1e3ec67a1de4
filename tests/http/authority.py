"""Certificates of this run, and the folder of a web configuration."""

from __future__ import annotations

import ssl
import subprocess
from base64 import b64encode
from functools import cache
from pathlib import Path

import bcrypt
import trustme

PASSWORD = "correct horse battery staple"


@cache
def authority() -> trustme.CA:
    """The authority that vouches for our server and its clients."""
    return trustme.CA()


@cache
def foreign_authority() -> trustme.CA:
    """One that nobody has heard of."""
    return trustme.CA()


@cache
def hashed(password: str = PASSWORD, cost: int = 4) -> str:
    """Its bcrypt hash, as cheap as can be."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(user: str, password: str | bytes) -> str:
    """The header of a client that knows them."""
    shown = password if isinstance(password, bytes) else password.encode()
    return f"Basic {b64encode(user.encode() + b':' + shown).decode()}"


def furnished(folder: Path, *names: str) -> Path:
    """The folder, with the files that web configurations in it name; the certificate is for `names`."""
    leaf = authority().issue_cert(*(names or ("localhost", "127.0.0.1")))
    (folder / "server.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(folder / "server.key"))
    authority().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


def with_odd_keys(folder: Path) -> Path:
    """The folder, with a key of another certificate and one that is encrypted."""
    foreign_authority().private_key_pem.write_to_path(str(folder / "other.key"))
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


def client_context(*names: str, of: trustme.CA | None = None) -> ssl.SSLContext:
    """A client that trusts our authority; with `names`, it has a certificate for them."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if names:
        (of or authority()).issue_cert(*names).configure_cert(context)
    return context
