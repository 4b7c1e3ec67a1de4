"""The keys of the configuration: where they stand, what they mean, what they default to."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, get_args

from exporter.config import Settings
from exporter.config.models import Section


class Key(NamedTuple):
    """One key of one section."""

    section: type[Section]
    name: str
    meaning: str
    """One or more sentences; words of the file in backquotes."""
    schema: dict[str, Any]
    """What pydantic's JSON schema has for it."""
    required: bool
    below: type[Section] | None
    """The section that is its value, or whose list or mapping is."""


@cache
def keys(section: type[Section]) -> tuple[Key, ...]:
    """The keys of a section, in order."""
    schema = section.model_json_schema()
    meanings = _meanings(section)
    return tuple(
        Key(
            section,
            name,
            meanings[name],
            schema["properties"][name],
            name in schema.get("required", ()),
            section_in(field.annotation),
        )
        for name, field in section.model_fields.items()
    )


def every_key(section: type[Section] = Settings) -> Iterator[Key]:
    """The keys of a section and of all sections below it, outer ones first."""
    for key in keys(section):
        yield key
        if key.below is not None:
            yield from every_key(key.below)


def section_in(annotation: Any) -> type[Section] | None:  # noqa: ANN401 - any type at all
    """The section that a key's type has inside."""
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


def _meanings(section: type[Section]) -> dict[str, str]:
    """The text below each attribute. Pydantic would read it too, but each time the program starts."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for attribute, text in zip(definition.body, definition.body[1:], strict=False):
        match attribute, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(written))):
                found[name] = " ".join(written.split())
    return found
