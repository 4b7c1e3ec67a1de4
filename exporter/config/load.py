"""Reads a configuration file: settings, or every problem of the file at once."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from exporter.config.cross_checks import check_references
from exporter.config.error_messages import explain
from exporter.config.problem import KeyPath, Problem
from exporter.config.settings import Settings
from exporter.config.yaml_reader import Document, parse
from exporter.runtime.errors import Code, ConfigError, ConfigProblems
from exporter.runtime.secrets import SecretFile

MAX_FILE_BYTES = 1024 * 1024
MAX_PRINTED = 100
"""The most problems in one error message."""
_ONE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
OPEN_TO_OTHERS = 0o027
"""Bits of a mode that allows more than reading by the group."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking a file."""

    settings: Settings | None
    """None exactly when there are problems."""
    problems: tuple[Problem, ...] = ()
    """In the order of the file."""
    warnings: tuple[Problem, ...] = ()
    """What works but should be fixed, in the order of the file; also in `settings.warnings`."""


def load(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Settings:
    """Read the settings from the file at `path`; raises ConfigProblems, which lists every problem."""
    report = check(path, environ)
    if report.settings is not None:
        return report.settings
    raise ConfigProblems(list_problems(report.problems, path), code=report.problems[0].code)


def list_problems(problems: Sequence[Problem], path: str | os.PathLike[str]) -> str:
    """Render the `problems` of the file at `path` as one text, up to `MAX_PRINTED`."""
    lines = [problem.render(os.fspath(path)) for problem in problems[:MAX_PRINTED]]
    if len(problems) > MAX_PRINTED:
        lines.append(f"and {len(problems) - MAX_PRINTED} more problems")
    return "\n".join(lines)


def check(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Report:
    """Check the file at `path`; never raises.

    `${NAME}` in the file is replaced from `environ`. A secret file that can't
    be read now is only a warning: it may be created before it is needed.
    """
    try:
        data, mode = read_bytes(path)
        text = decode_text(data)
    except FileNotFoundError:
        return _refuse_file(
            "no such file or directory", "write one; to look around without, try: smsbat-exporter demo"
        )
    except OSError as error:
        return _refuse_file((error.strerror or "can't be read").lower())
    except ValueError as error:
        return _refuse_file(str(error))
    document = parse(text, environ)
    directory = Path(path).parent
    settings = _build_settings(document, directory, mode) if document.readable else None
    if document.problems or settings is None:
        return Report(None, sort_problems(document.problems))
    warnings = sort_problems(_find_warnings(document, settings))
    return Report(settings.set_warnings(warnings), (), warnings)


def read_bytes(path: str | os.PathLike[str]) -> tuple[bytes, int]:
    """Read a regular file of up to 1 MiB and its mode; raises OSError, or ValueError for a sentence's end."""
    # Opening a named pipe would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is what is opened
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError("is a directory")
        if not stat.S_ISREG(mode):
            raise ValueError("is not a regular file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES // 1024} KiB")
    return data, mode


def decode_text(data: bytes) -> str:
    """Decode a file's text; raises ValueError with the end of a sentence."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 text (line {line}); save it in UTF-8") from None


def _refuse_file(message: str, hint: str = "") -> Report:
    """Report a problem of the file as a whole."""
    return Report(None, (Problem("", 0, 0, message, hint, Code.CONFIG_FILE),))


def _build_settings(document: Document, directory: Path, mode: int) -> Settings | None:
    """Return the settings, or None with the reasons added to the document's problems."""
    check_references(document, directory)
    settings = None
    try:
        settings = Settings.model_validate(document.tree, context={"directory": directory})
    except ValidationError as error:
        explain(error, document)
    for path in _find_inline_keys(document):
        in_file = _ONE_VARIABLE.fullmatch(document.locate(path).written) is None
        if in_file and mode & OPEN_TO_OTHERS:
            hint = "use api_key_file, or make the file's mode 0640"
            document.add_problem(path, "is in a file that others can read", hint, Code.CONFIG_OPEN_KEY)
    if settings is not None:
        _check_ca_files(document, settings)
    return settings


def _check_ca_files(document: Document, settings: Settings) -> None:
    """Check the CA files: unlike a key, which may be created later, they are needed at the start."""
    for index, account in enumerate(settings.accounts):
        if account.ca_file is None:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=account.ca_file)
        except OSError as error:
            reason = (
                "holds no certificate" if isinstance(error, ssl.SSLError) else (error.strerror or "").lower()
            )
            hint = "it must be a readable file of certificates in PEM form"
            document.add_problem(
                ("accounts", index, "ca_file"), f"can't be used: {reason}", hint, Code.CONFIG_CA_FILE
            )


def _find_inline_keys(document: Document) -> list[KeyPath]:
    """Find the API keys that are written in the file itself."""
    return [path for path in document.places if path[2:] == ("auth", "api_key")]


def _find_warnings(document: Document, settings: Settings) -> dict[KeyPath, Problem]:
    """Warn of keys in the file, and of secrets that can't be read now."""
    hint = "use api_key_file: it is read again when it changes"
    found = {
        path: document.describe(path, "is a key in the configuration file", hint, Code.CONFIG_OPEN_KEY)
        for path in _find_inline_keys(document)
    }
    sources: dict[KeyPath, SecretFile] = {}
    for index, account in enumerate(settings.accounts):
        source = account.secret()
        if isinstance(source, SecretFile):
            key = "password_file" if account.auth.method == "basic" else "api_key_file"
            sources["accounts", index, "auth", key] = source
    if settings.webhook is not None:
        sources["webhook", "token_file"] = settings.webhook.token()
    if settings.intake is not None:
        sources["intake", "token_file"] = settings.intake.token()
    for path, source in sources.items():
        try:
            source.read()
        except ConfigError:
            hint = "create or correct it; it is read again when it changes"
            message = f"can't be used now: {source.trouble}"
            found[path] = document.describe(path, message, hint, Code.CONFIG_KEY_FILE)
    return found


def sort_problems(problems: Mapping[KeyPath, Problem]) -> tuple[Problem, ...]:
    """Sort problems by their place in the file."""
    return tuple(sorted(problems.values(), key=lambda problem: (problem.line, problem.column)))
