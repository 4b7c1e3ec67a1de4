"""The schemas of the JSON, generated from the code: `python -m tests.status.page.schema` prints them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from exporter.status.page import LOOKUP, OVERVIEW

REFERENCE = "#/components/schemas/{model}"
_NULL = {"type": "null"}


def build_schemas() -> dict[str, Any]:
    """Every schema, by name."""
    _, made = TypeAdapter.json_schemas(
        [("overview", "serialization", OVERVIEW), ("lookup", "serialization", LOOKUP)],
        ref_template=REFERENCE,
    )
    found: dict[str, Any] = _simplify(made["$defs"])
    return found


def _simplify(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Without titles, which only repeat the keys, and with the short form of nullable types."""
    if isinstance(schema, list):
        return [_simplify(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _simplify(value) for key, value in schema.items() if key != "title"}
    either = plain.get("anyOf", [])
    if len(either) == 2 and either[1] == _NULL and set(either[0]) == {"type"}:
        del plain["anyOf"]
        plain["type"] = [either[0]["type"], "null"]
    return plain


def _print_schema(name: str, schema: dict[str, Any]) -> str:
    """One schema with a line per key, as in openapi.json."""
    if "properties" not in schema:
        return f"{json.dumps(name)}: {json.dumps(schema, ensure_ascii=False)}"
    rest = {key: value for key, value in schema.items() if key != "properties"}
    head = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in rest.items())
    keys = ",\n".join(
        f"    {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in schema["properties"].items()
    )
    return f'{json.dumps(name)}: {{\n{head},\n  "properties": {{\n{keys}\n  }}\n}}'


if __name__ == "__main__":
    print(",\n".join(_print_schema(name, schema) for name, schema in build_schemas().items()))  # noqa: T201 - the purpose of the program
