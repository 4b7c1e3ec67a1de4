"""The door: a path in, the web configuration out, or every problem of the file at once."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from exporter.config.error_messages import explain
from exporter.config.load import decode_text, read_bytes, sort_problems
from exporter.config.problem import KeyPath, Problem, format_path
from exporter.config.yaml_reader import Document, parse
from exporter.http.webconfig.sections import RateLimit, TlsServer, WebFile
from exporter.http.webconfig.tls import PemError, Tls, secured
from exporter.runtime.errors import Code
from exporter.runtime.secrets import Secret

_TLS = "tls_server_config"
_OPEN_TO_OTHERS = 0o027
"""The group may read, others nothing."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What holds for every request on the listener."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    """bcrypt hashes by user name; empty when nobody is asked for a password."""
    rate_limit: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file."""

    config: WebConfig | None
    """None exactly when there are problems."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    """What works and should be mended."""
    files: tuple[Path, ...] = ()
    """The file, and those that it names: when one of them changes, all may be different."""
    fingerprint: bytes = b""
    """Of the very bytes that were read; compare it with that of `files`."""


def check(path: str | os.PathLike[str]) -> Report:
    """Everything there is to say about the file at `path`, and what it means when that is nothing bad.

    Never raises. Blocks on the disk. Nothing is taken from the environment: to every exporter the file means
    the same.
    """
    files = _Files()
    data = files.read(Path(path))
    if isinstance(data, str):
        hint = "write one, or leave --web.config.file out" if data == _MISSING else ""
        problem = Problem("", 0, 0, data, hint, Code.WEB_FILE)
        return Report(None, (problem,), (), files.paths, files.fingerprint)
    try:
        text = decode_text(data)
    except ValueError as error:
        problem = Problem("", 0, 0, str(error), "", Code.WEB_FILE)
        return Report(None, (problem,), (), files.paths, files.fingerprint)
    document = parse(text, None)
    config, warnings = _config(document, Path(path).parent, files) if document.readable else (None, ())
    if document.problems or config is None:
        return Report(None, sort_problems(document.problems), (), files.paths, files.fingerprint)
    return Report(config, (), warnings, files.paths, files.fingerprint)


def fingerprint(paths: Iterable[Path]) -> bytes:
    """What changes when any of the files at `paths` does; blocks on the disk."""
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
        """What the file holds, or the end of a sentence about why that can't be known."""
        try:
            self._read[path], mode = read_bytes(path)
            if mode & _OPEN_TO_OTHERS:
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


def _config(
    document: Document, directory: Path, files: _Files
) -> tuple[WebConfig | None, tuple[Problem, ...]]:
    """The configuration and its warnings; reasons against it are added to the document's problems."""
    for path in list(document.places):
        # Without its users or its TLS a listener would be open, because of a line that was left out.
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
        # What is wrong elsewhere hides no certificate that can't be used.
        written = document.tree.get(_TLS)
        sound = written is not None and not any(_TLS in path for path in document.problems)
        section = TlsServer.model_validate(written, context=context) if sound else None
    tls = _tls(section, document, files) if section is not None else None
    if found is None:
        return None, ()
    headers = {
        name: text
        for name, text in found.http_server_config.headers.model_dump(by_alias=True).items()
        if text
    }
    config = WebConfig(tls, headers, found.basic_auth_users, found.rate_limit)
    return config, sort_problems(_warnings(document, found, exposed=files.paths[0] in files.open_to_others))


def _tls(section: TlsServer, document: Document, files: _Files) -> Tls | None:
    """The section's TLS, or None with the reasons added to the document's problems."""
    pems = {"cert": section.cert.encode(), "key": section.key.pem.encode()}
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
        return secured(section, pems)
    except PemError as error:
        key = error.name if getattr(section, f"{error.name}_file") is None else f"{error.name}_file"
        document.add_problem((_TLS, key), error.message, error.hint, Code.WEB_TLS)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        hint = "the system's OpenSSL may forbid it"
        document.add_problem((_TLS,), f"has suites or curves that can't be set: {reason}", hint, Code.WEB_TLS)
    return None


def _warnings(document: Document, found: WebFile, *, exposed: bool) -> dict[KeyPath, Problem]:
    """What works and should be mended; `exposed` is whether others can read the file."""
    warnings: dict[KeyPath, Problem] = {}

    def warn(key: KeyPath, message: str, hint: str) -> None:
        place = document.locate(key)
        warnings[key] = Problem(format_path(key), place.line, place.column, message, hint, Code.WEB_WEAK)

    section = found.tls_server_config
    if section is not None:
        if section.key.pem and exposed:
            warn(
                (_TLS, "key"), "stands in a file that others can read", "make its mode 0640, or use key_file"
            )
        unnamed = section.client_ca_file is None and not section.client_ca
        if section.client_auth_type != "NoClientCert" and unnamed:
            message = "lets in whoever has a certificate of any of the system's authorities"
            warn((_TLS, "client_auth_type"), message, "name your own in client_ca_file")
    users = found.basic_auth_users
    if users and section is None:
        message = "passwords go over the network in the clear"
        warn(("basic_auth_users",), message, "add tls_server_config, or put a TLS proxy in front")
    costs = {name: password.reveal()[4:6] for name, password in users.items()}
    for name, cost in costs.items():
        if cost < max(costs.values()):
            message = (
                "costs less than another: how soon its password is refused tells that there is such a user"
            )
            warn(("basic_auth_users", name), message, f"make all of cost {max(costs.values())}")
    return warnings
