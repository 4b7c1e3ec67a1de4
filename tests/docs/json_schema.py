"""`schema.json`: what an editor can know of the configuration, so that it completes keys and marks mistakes.

What it refuses, the program refuses too; `check-config` knows more.
"""

from __future__ import annotations

import json
import re
from typing import Any

from exporter.config import Settings
from tests.docs.keys import every_key, keys

Json = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
"""Whatever stands there, its value comes from elsewhere."""
_AS_TEXT = {"number": r"^[0-9.]+$", "integer": "^[0-9]+$", "boolean": "^(true|True|TRUE|false|False|FALSE)$"}
"""Quotes around a number or a truth value change nothing: everything is text in the file."""


def text() -> str:
    """The file."""
    made = Settings.model_json_schema()
    sections = {Settings.__name__: made, **made.pop("$defs")}
    meanings = {(key.section.__name__, key.name): key.meaning for key in every_key()}
    for name, section in sections.items():
        del section["title"], section["description"]
        section["properties"] = {
            key: {"description": meanings[name, key]} | _open(_written(schema))
            for key, schema in section["properties"].items()
        }
    del sections[Settings.__name__]
    # A name that can't be one is no profile.
    made["properties"]["profiles"]["additionalProperties"] = False
    _allow_nothing(made, sections)
    whole = {"$schema": _DIALECT, "title": "Configuration of smsbat-exporter", **made, "$defs": sections}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _written(schema: Json) -> Json:
    """Without what pydantic adds for readers of Python: titles, None for what is left out, empty lists."""
    kept = {name: value for name, value in schema.items() if name not in {"title", "default", "anyOf"}}
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    default = {"default": schema["default"]} if schema.get("default") not in (None, []) else {}
    return kept | default | (choices[0] if choices else {})


def _open(schema: Json) -> Json:
    """Let any scalar come from the environment, in lists too; a pattern holds for texts only."""
    if "items" in schema:
        return schema | {"items": _open(schema["items"])}
    kind = schema.get("type", ())
    kinds = {kind} if isinstance(kind, str) else set(kind)
    if not kinds or not kinds <= {"string", *_AS_TEXT}:
        return schema
    if kinds == {"string"} and _may_be_digits(schema):
        # To an editor 123 is a number; in the file, where everything is text, it needs no quotes.
        schema = schema | {"type": ["string", "integer"]}
    if "enum" in schema:
        words = {name: schema.pop(name) for name in ("type", "enum")}
        return schema | {"anyOf": [words, {"type": "string", "pattern": _FROM_ENVIRONMENT}]}
    if "pattern" in schema:
        return schema | {"pattern": f"{schema['pattern']}|{_FROM_ENVIRONMENT}"}
    if "string" in kinds:
        return schema
    (kind,) = kinds
    return schema | {"type": [kind, "string"], "pattern": f"{_AS_TEXT[kind]}|{_FROM_ENVIRONMENT}"}


def _may_be_digits(schema: Json) -> bool:
    """Whether the text may be digits alone."""
    return "enum" not in schema and re.search(schema.get("pattern", ""), "2") is not None


def _allow_nothing(whole: Json, sections: Json) -> None:
    """Let a section whose keys are all commented out count as not written."""
    for key in keys(Settings):
        if not key.required:
            schema = whole["properties"][key.name]
            holder = schema if "type" in schema else sections[schema["$ref"].rpartition("/")[2]]
            holder["type"] = [holder["type"], "null"]
