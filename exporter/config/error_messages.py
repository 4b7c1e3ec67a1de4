"""The schema's errors in the words of the file: positions, hints, and never a secret.

A value is repeated only as it is written in the file. What came from the
environment, everything under `auth` and `basic_auth_users`, certificates and
every path of a secret's file stay out, since a key pasted in the wrong place is still a key.
"""

from __future__ import annotations

from inspect import isclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.fields import REFUSED
from exporter.config.models import Section
from exporter.config.problem import KeyPath, did_you_mean
from exporter.config.schema import Settings
from exporter.config.yaml_reader import Document
from exporter.runtime.errors import Code, quoted

_MAPPING = ("must be a mapping", "write keys and values under it", Code.CONFIG_SHAPE)
_LIST = ("must be a list", "write each item on a line of its own, after a dash", Code.CONFIG_SHAPE)
_SENTENCES = {
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "tuple_type": _LIST,
    "missing": ("is missing", "", Code.CONFIG_MISSING),
}


def explain(error: ValidationError, document: Document, schema: type[Section] = Settings) -> None:
    """Add what `error` says of `schema` to the problems of `document`."""
    for details in error.errors(include_url=False, include_input=False):
        # Errors of a key, not of its value, have this mark at the end.
        path = tuple(part for part in details["loc"] if part != "[key]")
        if _inherited(path, document):
            continue
        document.add(path, *_sentence(details, path, document, schema))


def _sentence(
    details: ErrorDetails, path: KeyPath, document: Document, schema: type[Section]
) -> tuple[str, str, Code]:
    """Message, hint and code of one error."""
    if details["type"] == "extra_forbidden":
        hint = did_you_mean(str(path[-1]), known_keys(path[:-1], schema))
        return "unknown key", hint, Code.CONFIG_UNKNOWN_KEY
    if details["type"] != REFUSED:
        return _SENTENCES.get(details["type"], (details["msg"], "", Code.CONFIG_VALUE))
    context = details.get("ctx", {})
    place = document.places.get(path)
    may_repeat = place is not None and not place.from_environment and not _delicate(path)
    shown = quoted(place.written) if place is not None and may_repeat else "the value"
    if place is None:
        shown = "its default"
    message = context["message"].replace("{value}", shown)
    hint = context.get("value_hint", "") if may_repeat else ""
    return message, hint or context["hint"], Code(context.get("code", Code.CONFIG_VALUE))


def known_keys(path: KeyPath, schema: type[Section] = Settings) -> list[str]:
    """The keys that the section at `path` knows."""
    section = schema
    for part in path:
        # An index, or the name of a profile, stays in the section that its list or mapping led to.
        if part in section.model_fields:
            section = _section_in(section.model_fields[str(part)].annotation) or section
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_in(annotation: Any) -> type[Section] | None:  # noqa: ANN401 - any type at all
    """The model that a field's type has inside."""
    if isclass(annotation) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _delicate(path: KeyPath) -> bool:
    """Whether the value at `path` is a secret, or may be one in the wrong place."""
    return (
        "auth" in path
        or "basic_auth_users" in path
        or (bool(path) and (str(path[-1]).endswith("_file") or path[-1] in {"key", "cert", "client_ca"}))
    )


def _inherited(path: KeyPath, document: Document) -> bool:
    """Whether the value is wrong only because the profile `default`, from which it comes, is."""
    return (
        len(path) > 1
        and path[0] == "profiles"
        and path not in document.places
        and ("profiles", "default", *path[2:]) in document.problems
    )
