"""Which strings may be message ids: every input checks them before one becomes a URL path or a row.

The alphabet has no dot and no character with a meaning in a URL. Text that looks
like a phone number is rejected with a reason of its own: a phone number in the
place of an id is personal data, and must not reach the disk.
"""

from __future__ import annotations

import re

MAX_ID_LENGTH = 128
_ALLOWED = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_LENGTH}}}", re.ASCII)
_PHONE = re.compile(r"(\+[0-9][0-9 ()-]{7,18}|00[0-9]{9,13}|380[0-9]{9})", re.ASCII)
_PHONE_INSIDE = re.compile(rf"(?<![0-9]){_PHONE.pattern}(?![0-9])", re.ASCII)


def looks_like_phone(text: str) -> bool:
    """Whether `text` as a whole has the shape of a phone number."""
    return _PHONE.fullmatch(text) is not None


def contains_phone(text: str) -> bool:
    """Whether there is a phone number anywhere in `text`: for names, which become labels."""
    return _PHONE_INSIDE.search(text) is not None


def reject_reason(text: str) -> str:
    """Why `text` can't be a message id: `empty`, `looks_like_phone`, `too_long`, `bad_characters`; or ""."""
    if _ALLOWED.fullmatch(text) is not None:
        return "looks_like_phone" if looks_like_phone(text) else ""
    if not text:
        return "empty"
    if looks_like_phone(text):
        return "looks_like_phone"
    if len(text) > MAX_ID_LENGTH:
        return "too_long"
    return "bad_characters"
