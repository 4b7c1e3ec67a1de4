"""From a path to the web configuration, or to every problem of the file at once."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from exporter.config.error_messages import explain
from exporter.config.load import OPEN_TO_OTHERS, decode_text, read_bytes, sort_problems
from exporter.config.problem import KeyPath, Problem
from exporter.config.yaml_reader import Document, parse
from exporter.http.webconfig.sections import RateLimit, TlsServer, WebFile
from exporter.http.webconfig.tls import PemError, Tls, build_tls
from exporter.runtime.errors import Code
from exporter.runtime.secrets import Secret

_TLS = "tls_server_config"


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What applies to every request on the listener."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    """bcrypt hashes by user name; empty when no password is required."""
    rate_limit: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking a file."""

    config: WebConfig | None
    """None if and only if there are problems."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    """What works but should be fixed."""
    files: tuple[Path, ...] = ()
    """The file, and those that it names: a change of any of them is a new configuration."""
    fingerprint: bytes = b""
    """The fingerprint of the bytes that were read; compare it with that of `files`."""


def check_web_config(path: str | os.PathLike[str]) -> Report:
    """Check the file at `path`: its problems, or its configuration and warnings.

    Never raises. Blocks on the disk. Environment variables are not substituted: the file means the same
    to every exporter.
    """
    files = _Files()
    data = files.read(Path(path))
    text, reason = "", data if isinstance(data, str) else ""
    try:
        text = decode_text(data) if isinstance(data, bytes) else ""
    except ValueError as error:
        reason = str(error)
    if reason:
        hint = "write one, or leave --web.config.file out" if reason == _MISSING else ""
        problem = Problem("", 0, 0, reason, hint, Code.WEB_FILE)
        return Report(None, (problem,), (), files.paths, files.fingerprint)
    document = parse(text, None)
    config, warnings = _build_config(document, Path(path).parent, files) if document.readable else (None, ())
    if document.problems or config is None:
        return Report(None, sort_problems(document.problems), (), files.paths, files.fingerprint)
    return Report(config, (), warnings, files.paths, files.fingerprint)


def compute_fingerprint(paths: Iterable[Path]) -> bytes:
    """A digest that changes when any of the files at `paths` does; blocks on the disk."""
    files = _Files()
    for path in paths:
        files.read(path)
    return files.fingerprint


_MISSING = "no such file or directory"


class _Files:
    """Files that were read, and one fingerprint of all of them."""

    def __init__(self) -> None:
        self._read: dict[Path, bytes | str] = {}
        self.open_to_others: set[Path] = set()

    def read(self, path: Path) -> bytes | str:
        """The content of the file, or why it can't be read, as the end of a sentence."""
        try:
            self._read[path], mode = read_bytes(path)
            if mode & OPEN_TO_OTHERS:
                self.open_to_others.add(path)
        except OSError as error:
            self._read[path] = (error.strerror or "can't be read").lower()
        except ValueError as error:
            self._read[path] = str(error)
        return self._read[path]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self._read)

    @property
    def fingerprint(self) -> bytes:
        whole = sha256()
        for path, found in self._read.items():
            content = found if isinstance(found, bytes) else f"! {found}".encode()
            whole.update(b"%b %d %b" % (os.fsencode(path), len(content), sha256(content).digest()))
        return whole.digest()


def _build_config(
    document: Document, directory: Path, files: _Files
) -> tuple[WebConfig | None, tuple[Problem, ...]]:
    """The configuration and its warnings; problems are added to the document's."""
    for path in list(document.places):
        # An empty section of users or TLS would leave the listener open by mistake.
        if len(path) == 1 and str(path[0]) not in document.tree:
            hint = "write what belongs under it, or remove it"
            document.add_problem(path, "has no value", hint, Code.CONFIG_MISSING)
    context = {"directory": directory}
    found = None
    try:
        found = WebFile.model_validate(document.tree, context=context)
        section = found.tls_server_config
    except ValidationError as error:
        explain(error, document, WebFile)
        # A problem elsewhere does not hide an unusable certificate.
        written = document.tree.get(_TLS)
        sound = written is not None and not any(_TLS in path for path in document.problems)
        section = TlsServer.model_validate(written, context=context) if sound else None
    tls = _build_tls(section, document, files) if section is not None else None
    if found is None:
        return None, ()
    headers = {
        name: text
        for name, text in found.http_server_config.headers.model_dump(by_alias=True).items()
        if text
    }
    config = WebConfig(tls, headers, found.basic_auth_users, found.rate_limit)
    return config, sort_problems(
        _find_warnings(document, found, exposed=files.paths[0] in files.open_to_others)
    )


def _build_tls(section: TlsServer, document: Document, files: _Files) -> Tls | None:
    """The section's TLS, or None with the problems added to the document's."""
    pems = {"cert": section.cert.encode(), "key": section.key.get_secret_value().encode()}
    if section.client_ca:
        pems["client_ca"] = section.client_ca.encode()
    for name in ("cert", "key", "client_ca"):
        path: Path | None = getattr(section, f"{name}_file")
        if path is None:
            continue
        found = files.read(path)
        if isinstance(found, str):
            hint = "it must be a readable file in PEM form"
            document.add_problem((_TLS, f"{name}_file"), found, hint, Code.WEB_TLS)
        else:
            pems[name] = found
    if any(_TLS in path for path in document.problems):
        return None
    try:
        return build_tls(section, pems)
    except PemError as error:
        key = error.name if getattr(section, f"{error.name}_file") is None else f"{error.name}_file"
        document.add_problem((_TLS, key), error.message, error.hint, Code.WEB_TLS)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        hint = "the system's OpenSSL may forbid it"
        document.add_problem((_TLS,), f"has suites or curves that can't be set: {reason}", hint, Code.WEB_TLS)
    return None


def _find_warnings(document: Document, found: WebFile, *, exposed: bool) -> dict[KeyPath, Problem]:
    """What works but should be fixed; `exposed` is whether other users can read the file."""
    warnings: dict[KeyPath, Problem] = {}

    def warn(key: KeyPath, message: str, hint: str) -> None:
        warnings[key] = document.describe(key, message, hint, Code.WEB_WEAK)

    section = found.tls_server_config
    if section is not None:
        if section.key and exposed:
            warn(
                (_TLS, "key"),
                "is in a file that other users can read",
                "set its mode to 0640, or use key_file",
            )
        unnamed = section.client_ca_file is None and not section.client_ca
        if section.client_auth_type != "NoClientCert" and unnamed:
            message = "allows any client with a certificate of any of the system's authorities"
            warn((_TLS, "client_auth_type"), message, "name your own in client_ca_file")
    users = found.basic_auth_users
    if users and section is None:
        message = "passwords go over the network in plain text"
        warn(("basic_auth_users",), message, "add tls_server_config, or put a TLS proxy in front")
    costs = {name: password.reveal()[4:6] for name, password in users.items()}
    for name, cost in costs.items():
        if cost < max(costs.values()):
            message = (
                "has a lower cost than another: the faster refusal of a password reveals that the user exists"
            )
            warn(("basic_auth_users", name), message, f"use cost {max(costs.values())} for all of them")
    return warnings
