"""The published JSON Schema, `schema.json`, for editors: those checks that JSON Schema can express.

The validators of `fields` decide: they check more, and accept some unusual spellings too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import WithJsonSchema

from exporter.config.units import DURATION_PATTERN
from exporter.domain import message_ids
from exporter.domain.label_values import MAX_NAME_LENGTH, OVERFLOW_NAME

WORD = ["string", "integer"]
"""In the file, where everything is text, 123 needs no quotes; to an editor it is a number."""
NAME_PATTERN = rf"^(?!{OVERFLOW_NAME}$)\S(.{{0,{MAX_NAME_LENGTH - 2}}}\S)?$"
MESSAGE_ID_PATTERN = f"^[A-Za-z0-9_-]{{1,{message_ids.MAX_ID_LENGTH}}}$"
BASE_URL_PATTERN = r"^(https://|http://(localhost|127\.[0-9.]+|\[::1\])(:|/|$))[^@?#\s]*$"
CURRENCY_PATTERN = "^[A-Z]{3}$"
NETWORK_PATTERN = "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"
LISTEN_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):[0-9]{1,5}$"
ANY_DURATION_PATTERN = f"^(?=.){DURATION_PATTERN}$"
POSITIVE_DURATION_PATTERN = f"^(?=.*[1-9]){DURATION_PATTERN}$"
A_SECOND_PATTERN = f"^(?=.*[1-9][0-9]*(?:[wdhs]|m(?!s)|[0-9]{{3}}ms)){DURATION_PATTERN}$"
"""A second at least."""

BY_METHOD: dict[str, Any] = {
    "if": {"properties": {"method": {"const": "basic"}}, "required": ["method"]},
    "then": {
        "required": ["username", "password_file"],
        "properties": {"api_key": False, "api_key_file": False},
    },
    "else": {
        "oneOf": [{"required": ["api_key"]}, {"required": ["api_key_file"]}],
        "properties": {"username": False, "password_file": False},
    },
}
"""Which keys of `auth` belong to which method."""
REFUSED: dict[str, Any] = {"not": {}}
"""For a key that this version knows but does not accept."""


def show_as(kind: str | list[str], **constraints: object) -> WithJsonSchema:
    """Describe the value as it is written in the file, and not as it is parsed."""
    return WithJsonSchema({"type": kind, **constraints})


def show_default(text: object) -> dict[str, Any]:
    """Show the default as it would be written."""
    return {"default": text}


def make_optional(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Mark keys as optional in the schema, because `defaults.complete` fills them in."""

    def mark_optional(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return mark_optional
