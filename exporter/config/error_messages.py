"""Turns the errors of the models into problems of the file: positions, hints, and never a secret.

A value is quoted only as it is written in the file. Values from the
environment, everything under `auth` and `basic_auth_users`, certificates and
paths of secret files are never quoted: they may hold a key that was pasted in
the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import isclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.fields import BROKEN, REFUSED, refuse, refuse_word
from exporter.config.models import Section
from exporter.config.problem import KeyPath, suggest_known
from exporter.config.settings import Settings
from exporter.config.yaml_reader import Document
from exporter.runtime.errors import Code, quoted

_EMPTY = refuse("is empty")
_TEXT = refuse("must be text", hint="write one value, not a list or a mapping", code=Code.CONFIG_SHAPE)
_MAPPING = refuse("must be a mapping", hint="write keys and values under it", code=Code.CONFIG_SHAPE)
_LIST = refuse("must be a list", hint="write each item on its own line, after a dash", code=Code.CONFIG_SHAPE)
_SENTENCES = {
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "tuple_type": _LIST,
    "missing": refuse("is missing", code=Code.CONFIG_MISSING),
    "too_short": refuse("must list at least one", code=Code.CONFIG_MISSING),
    "string_unicode": refuse("has a character that isn't printable"),
}
_OF_SCALARS = {BROKEN, "literal_error", "string_type", "string_too_short"}
_WORD = re.compile("'([^']*)'")


def explain(error: ValidationError, document: Document, schema: type[Section] = Settings) -> None:
    """Add the errors of `schema` to the problems of `document`."""
    for details in error.errors(include_url=False):
        # Errors of a key, not of its value, have this mark at the end.
        path = tuple(part for part in details["loc"] if part != "[key]")
        # Pydantic counts only the items without errors.
        if _is_inherited(path, document) or (details["type"] == "too_short" and details["input"]):
            continue
        document.add_problem(path, *_describe(details, path, document, schema))


def _describe(
    details: ErrorDetails, path: KeyPath, document: Document, schema: type[Section]
) -> tuple[str, str, Code]:
    """Return message, hint and code of one error."""
    if details["type"] == "extra_forbidden":
        hint = suggest_known(str(path[-1]), list_known_keys(path[:-1], schema))
        return "unknown key", hint, Code.CONFIG_UNKNOWN_KEY
    sentence = _find_sentence(details)
    place = document.places.get(path)
    may_quote = place is not None and not place.from_environment and not _may_be_secret(path)
    shown = quoted(place.written) if place is not None and may_quote else "the value"
    if place is None:
        shown = "its default"
    message = sentence["message"].replace("{value}", shown)
    hint = sentence.get("value_hint", "") if may_quote else ""
    return message, hint or sentence.get("hint", ""), Code(sentence.get("code", Code.CONFIG_VALUE))


def _find_sentence(details: ErrorDetails) -> Mapping[str, Any]:
    """Find what is said of one error: the context of `fields.refuse`."""
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind in _OF_SCALARS and not isinstance(value, str | int | float):
        error = _TEXT
    elif kind in _OF_SCALARS and value == "":
        error = _EMPTY
    elif kind in {BROKEN, REFUSED}:
        return context
    elif kind == "literal_error":
        error = refuse_word(value, [word for word in _WORD.findall(context["expected"]) if word])
    elif kind == "too_long":
        error = refuse(f"must list at most {context['max_length']}")
    else:
        error = _SENTENCES.get(kind) or refuse(details["msg"])
    return error.context or {}


def list_known_keys(path: KeyPath, schema: type[Section] = Settings) -> list[str]:
    """List the keys of the section at `path`."""
    section = schema
    for part in path:
        # An index, or the name of a profile, stays in the section that its list or mapping led to.
        if part in section.model_fields:
            section = _find_section(section.model_fields[str(part)].annotation) or section
    return [field.alias or name for name, field in section.model_fields.items()]


def _find_section(annotation: Any) -> type[Section] | None:  # noqa: ANN401 - any type at all
    """Find the model in a field's type."""
    if isclass(annotation) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_find_section, get_args(annotation))), None)


def _may_be_secret(path: KeyPath) -> bool:
    """Whether the value at `path` is a secret, or may be one in the wrong place."""
    return (
        "auth" in path
        or "basic_auth_users" in path
        or (bool(path) and (str(path[-1]).endswith("_file") or path[-1] in {"key", "cert", "client_ca"}))
    )


def _is_inherited(path: KeyPath, document: Document) -> bool:
    """Whether the value comes from the profile `default`, which has this problem already."""
    return (
        len(path) > 1
        and path[0] == "profiles"
        and path not in document.places
        and ("profiles", "default", *path[2:]) in document.problems
    )
