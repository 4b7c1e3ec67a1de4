"""From a log record to its line: which of its values are shown, and how they are escaped.

Values inside exceptions and inside the messages of libraries are left out: no
caller can know what they hold.
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
"""A longer value is cut: it bounds the memory of the lines that wait to be written."""
FRAMES: Final = 6
CAUSES: Final = 4

Value = str | int | float | bool | None
Entry = dict[str, Value]
Render = Callable[[Mapping[str, Value]], str]

_BARE = re.compile(r"[A-Za-z0-9_.:/@%+,-]+", re.ASCII)
_NO_KEY = re.compile(r"[^A-Za-z0-9_.]", re.ASCII)
_WORDS = re.compile(r"(?:[A-Za-z.]{1,20}(?:\(\))?(?:[ ,:]+|$))*", re.ASCII | re.MULTILINE)


def describe_exception(error: BaseException) -> str:
    """Which exception, where, and what caused it, on one line and without any value it holds.

    `str()` of a foreign exception may hold a phone number or a key, so only our own errors say
    their sentence; of an `OSError` the symbol of its number is shown.
    """
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < CAUSES:
        parts.append(_brief_one(seen))
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "; after ".join(parts)


def _brief_one(error: BaseException) -> str:
    text = type(error).__name__
    if isinstance(error, ExporterError):
        text += f": {error.message}"
    elif isinstance(error, OSError) and error.errno is not None:
        # Of `OSError(a, b)` with any `a`, that is the number: only what has a name is shown.
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


def _plain(value: object) -> Value:
    if isinstance(value, BaseException):
        value = describe_exception(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}..."


def sentence(record: logging.LogRecord) -> str:
    """Our own sentence as it is; of a library's only the leading plain words.

    asyncio puts the `repr` of arguments, futures and their exceptions into its messages.
    """
    if is_ours(record):
        return record.getMessage()
    words = _WORDS.match(str(record.msg))
    return words[0].rstrip(" ,:") if words else ""


def is_ours(record: logging.LogRecord) -> bool:
    """Whether this program logged it, not a library."""
    return record.name == ROOT or record.name.startswith(f"{ROOT}.")


def entry_of(record: logging.LogRecord, suppressed: int) -> Entry:
    """What a record's line shows, in its order; `suppressed` lines of its class were left out before."""
    at = datetime.fromtimestamp(record.created, UTC)
    entry: Entry = {
        "ts": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
        "logger": record.name,
        "event": _plain(getattr(record, "event", "" if is_ours(record) else "library")),
        "msg": _plain(sentence(record)),
    }
    if not entry["event"]:
        del entry["event"]
    for key, value in getattr(record, "fields", {}).items():
        name = _NO_KEY.sub("_", str(key))
        entry[f"{name}_" if name in entry else name] = _plain(value)
    if record.exc_info and record.exc_info[1] is not None:
        entry["error"] = _plain(record.exc_info[1])
    if suppressed:
        entry["suppressed"] = suppressed
    return entry


def json_line(entry: Mapping[str, Value]) -> str:
    """One JSON object, all in printable ASCII."""
    return json.dumps(entry, separators=(",", ":"))


def logfmt_line(entry: Mapping[str, Value]) -> str:
    """`key=value` pairs; a value is quoted where it must be, and nothing unprintable stays."""
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in entry.items())


def _logfmt_value(value: Value) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    # Not only C0: ESC's 8-bit twins, line separators and marks that turn the text around.
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1]


FORMATS: Final[Mapping[str, Render]] = {
    "logfmt": logfmt_line,
    "json": json_line,
}
