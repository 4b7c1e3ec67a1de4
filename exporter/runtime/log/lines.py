"""From a log record to its line: which values are shown, and how they are escaped.

Values inside exceptions and inside the messages of libraries are left out: no
caller can know what they contain.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

from exporter.runtime.errors import ExporterError

ROOT: Final = "smsbat"
"""The logger that all loggers of this program descend from."""
VALUE_CHARACTERS: Final = 2_000
"""A longer value is cut, to bound the memory of lines that wait to be written."""
FRAMES: Final = 6
CAUSES: Final = 4

Value = str | int | float | bool | None
Entry = dict[str, Value]
Render = Callable[[Mapping[str, Value]], str]

_BARE = re.compile(r"[A-Za-z0-9_.:/@%+,-]+", re.ASCII)
_NO_KEY = re.compile(r"[^A-Za-z0-9_.]", re.ASCII)
_WORDS = re.compile(r"(?:[A-Za-z.]{1,20}(?:\(\))?(?:[ ,:]+|$))*", re.ASCII | re.MULTILINE)


def describe_exception(error: BaseException) -> str:
    """Which exception, where, and what caused it, on one line and without the values in it.

    `str()` of a foreign exception may contain a phone number or a key, so only our own errors
    show their message; an `OSError` shows the symbol of its number.
    """
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < CAUSES:
        parts.append(_describe_one(seen))
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "; after ".join(parts)


def _describe_one(error: BaseException) -> str:
    text = type(error).__name__
    if isinstance(error, ExporterError):
        text += f": {error.message}"
    elif isinstance(error, OSError) and error.errno is not None:
        # `OSError(a, b)` takes any `a` for its number: only a number with a name is shown.
        text += f" {errno.errorcode.get(error.errno, '')}".rstrip()
    elif isinstance(error, BaseExceptionGroup):
        text += f" [{', '.join(describe_exception(inner) for inner in error.exceptions[:CAUSES])}]"
    frames: list[str] = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = "/".join(PurePath(code.co_filename).parts[-2:])
        frames.append(f"{file}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return f"{text} at {' < '.join(frames[: -FRAMES - 1 : -1])}" if frames else text


def _simplify(value: object) -> Value:
    if isinstance(value, BaseException):
        value = describe_exception(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}..."


def extract_sentence(record: logging.LogRecord) -> str:
    """Our own sentence as it is; only the leading plain words of a library's message.

    asyncio puts the `repr` of arguments, futures and their exceptions into its messages.
    """
    if is_ours(record):
        return record.getMessage()
    words = _WORDS.match(str(record.msg))
    return words[0].rstrip(" ,:") if words else ""


def is_ours(record: logging.LogRecord) -> bool:
    """Whether this program logged it, not a library."""
    return record.name == ROOT or record.name.startswith(f"{ROOT}.")


def make_entry(record: logging.LogRecord, suppressed: int) -> Entry:
    """The keys and values of a record's line; `suppressed` lines of its class were left out before it."""
    at = datetime.fromtimestamp(record.created, UTC)
    entry: Entry = {
        "ts": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
        "logger": record.name,
        "event": _simplify(getattr(record, "event", "" if is_ours(record) else "library")),
        "msg": _simplify(extract_sentence(record)),
    }
    if not entry["event"]:
        del entry["event"]
    for key, value in getattr(record, "fields", {}).items():
        name = _NO_KEY.sub("_", str(key))
        entry[f"{name}_" if name in entry else name] = _simplify(value)
    if record.exc_info and record.exc_info[1] is not None:
        entry["error"] = _simplify(record.exc_info[1])
    if suppressed:
        entry["suppressed"] = suppressed
    return entry


def format_json(entry: Mapping[str, Value]) -> str:
    """One JSON object in printable ASCII."""
    return json.dumps(entry, separators=(",", ":"))


def format_logfmt(entry: Mapping[str, Value]) -> str:
    """`key=value` pairs; values are quoted where necessary and always printable."""
    return " ".join(f"{key}={_quote(value)}" for key, value in entry.items())


def _quote(value: Value) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    # Not only C0: also 8-bit control characters, line separators and bidirectional marks.
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1]


FORMATS: Final[Mapping[str, Render]] = {
    "logfmt": format_logfmt,
    "json": format_json,
}
