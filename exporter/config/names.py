"""Which texts may name an account, a profile or a campaign: they become labels of metrics."""

from __future__ import annotations

from exporter.domain.message_ids import contains_phone

MAX_NAME_LENGTH = 64
OVERFLOW_NAME = "_other"
"""The campaign that stands for those beyond the limit: nobody else's name."""


def name_refusal(text: str) -> str:
    """Why `text` can't be a name, as a sentence's end that doesn't quote it; or ""."""
    if not text.strip():
        return "is empty"
    if len(text) > MAX_NAME_LENGTH:
        return f"is longer than {MAX_NAME_LENGTH} characters"
    if not text.isprintable() or text != text.strip():
        return "has a character that isn't printable, or a space at its start or end"
    if contains_phone(text):
        return "looks like a phone number, which must not become a label"
    if text == OVERFLOW_NAME:
        return "is the name of what exceeds the limits"
    return ""
