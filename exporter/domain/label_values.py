"""Which texts may become the value of a label: names of accounts, profiles and campaigns."""

from __future__ import annotations

from exporter.domain.message_ids import contains_phone

MAX_NAME_LENGTH = 64
OVERFLOW_NAME = "_other"
"""The campaign of messages whose own campaign is one too many, or can't be a label."""


def reject_label_value(text: str, *, configured: bool = False) -> str:
    """Why `text` can't be the value of a label, as the end of a sentence that doesn't quote it; or "".

    A `configured` name may not begin or end with a space either, nor be `_other`.
    """
    if not (text.strip() if configured else text):
        return "is empty"
    if len(text) > MAX_NAME_LENGTH:
        return f"is longer than {MAX_NAME_LENGTH} characters"
    if not text.isprintable() or (configured and text != text.strip()):
        return "has a character that isn't printable, or a space at its start or end"
    if contains_phone(text):
        return "looks like a phone number, which must not become a label"
    if configured and text == OVERFLOW_NAME:
        return "is reserved for messages beyond the limits"
    return ""
