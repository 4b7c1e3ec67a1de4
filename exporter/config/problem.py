"""A problem of the configuration: where it is, what is wrong, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from exporter.runtime.errors import MAX_QUOTED, PERHAPS_A_PHONE, Code, format_error, quoted

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indexes of lists."""

LONGEST_AUTH_KEY = 16
MAX_LISTED = 20
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; never holds the value of a secret, of an environment variable, or a phone number."""

    key: str
    """Such as `accounts[0].auth.method`; empty when the file as a whole is meant."""
    line: int
    """From 1; 0 when the file as a whole is meant."""
    column: int
    message: str
    hint: str
    code: Code

    def render(self, file: str) -> str:
        """Print a line `file:line:column: key: message [code]`, and perhaps one with a hint."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        sentence = ": ".join(part for part in (place, self.key, self.message) if part)
        return format_error(sentence, self.code, self.hint)

    def build_log_fields(self, file: str) -> dict[str, str | int]:
        """Build the fields of a log line."""
        return {
            "code": self.code,
            "file": file,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "problem": self.message,
            "hint": self.hint,
        }


def format_path(path: KeyPath) -> str:
    """Print `path` like `profiles.otp.deadline`, `campaigns[1].messages[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = _PLAIN_KEY.fullmatch(part) and not PERHAPS_A_PHONE.search(part)
        shown = part if plain else quoted(part)
        # An API key pasted without `api_key:`, or a hash without its user, is read as the name of a key.
        if ("auth" in path and len(part) > LONGEST_AUTH_KEY) or ("basic_auth_users" in path and not plain):
            shown = "…"
        text += ("." if text else "") + shown
    return text


def suggest_known(word: str, known: Iterable[str], *, else_all: bool = True) -> str:
    """Suggest the known word closest to `word`; without a close one, list all of them or return ""."""
    words = sorted(name for name in set(known) if not PERHAPS_A_PHONE.search(name))
    # A long text is close to no word, and comparing it is slow.
    close = get_close_matches(word, words, n=1) if len(word) <= MAX_QUOTED else []
    if close:
        return f"did you mean {close[0]}?"
    if not else_all or not words:
        return ""
    return f"one of: {', '.join(words[:MAX_LISTED])}{', ...' if len(words) > MAX_LISTED else ''}"
