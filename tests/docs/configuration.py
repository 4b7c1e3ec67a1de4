"""What the keys mean, as users read it: the comments of the example, and the tables of the page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from exporter.config import Settings, fields
from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.models import Profile, Section
from exporter.config.problem import KeyPath
from exporter.config.yaml_reader import parse
from tests.docs.json_schema import Json
from tests.docs.keys import Key, keys, section_in

WIDTH = 100
PAGE_WIDTH = 112
_LEFT_OUT = re.compile(r"^( *)# (\w+): \S")
"""A key of the example that is commented out."""
_PATTERNS = {
    fields.NAME_PATTERN: "name",
    fields.MESSAGE_ID_PATTERN: "message id",
    fields.BASE_URL_PATTERN: "URL",
    fields.LISTEN_PATTERN: "`host:port`",
    fields.NETWORK_PATTERN: "network",
    fields.CURRENCY_PATTERN: "three capitals",
    fields.ANY_DURATION_PATTERN: "duration",
    fields.POSITIVE_DURATION_PATTERN: "duration, above 0",
    fields.A_SECOND_PATTERN: "duration, 1s or more",
}


# --- config.example.yaml ------------------------------------------------------------------------------


def commented(example: str) -> str:
    """The example with each key's meaning above its first appearance."""
    about = dict(_first_lines(example))
    lines: list[str] = []
    for number, line in enumerate(example.splitlines(), 1):
        key = about.get(number)
        if key is not None:
            while lines and _is_comment(lines[-1]):
                lines.pop()
            indent = " " * (len(line) - len(line.lstrip()))
            lines += textwrap.wrap(
                _comment(key), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
            )
        lines.append(line)
    return "\n".join(lines) + "\n"


def _comment(key: Key) -> str:
    if key.required:
        return f"{key.meaning} Must be written."
    # What a profile leaves out is another profile's; a section's keys have defaults of their own.
    has_default = key.section is Profile or key.schema.get("default") or key.schema.get("type") == "boolean"
    section = key.below is not None and key.schema.get("type") != "array"
    return key.meaning if has_default or section else f"{key.meaning} No default."


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#") and _LEFT_OUT.match(line) is None


def _first_lines(example: str) -> Iterator[tuple[int, Key]]:
    """The lines that begin with a key for the first time, and the key."""
    lines = example.splitlines()
    places = {place.line: path for path, place in sorted(parse(example, {}).places.items(), key=_backwards)}
    seen: set[tuple[type[Section], str]] = set()
    section: dict[int, type[Section]] = {}
    """By the column of its keys, in the part of the file that was read last."""
    for number, line in enumerate(lines, 1):
        path = places.get(number, ())
        left_out = _LEFT_OUT.match(line)
        if left_out:
            found = section[len(left_out[1])], left_out[2]
        elif path and isinstance(path[-1], str) and re.match(rf"[ -]*{path[-1]}:", line):
            found = section_at(path[:-1]), path[-1]
            section[len(line) - len(line.lstrip(" -"))] = found[0]
        else:
            continue
        known = {key.name: key for key in keys(found[0])}
        if found not in seen and found[1] in known:
            seen.add(found)
            yield number, known[found[1]]


def _backwards(item: tuple[KeyPath, tuple[int, int, str, bool]]) -> tuple[int, int, int]:
    """From the right to the left: what begins the line comes last, and of that the innermost."""
    path, (line, column, *_) = item
    return line, -column, len(path)


def section_at(path: KeyPath) -> type[Section]:
    """The section that the mapping at `path` is."""
    section: type[Section] = Settings
    for part in path:
        if part in section.model_fields:
            section = section_in(section.model_fields[str(part)].annotation) or section
    return section


# --- docs/configuration.md ----------------------------------------------------------------------------


def tables() -> str:
    """A section of the page for each section of the file."""
    single = [key for key in keys(Settings) if key.below is None]
    page = [_table("The file", "", keys(Settings))]
    for key in keys(Settings):
        if key not in single:
            page += _section(key, key.name)
    return "\n".join(page)


def _section(key: Key, path: str) -> Iterator[str]:
    assert key.below is not None
    if key.schema.get("type") == "array":
        path += "[]"
    elif key.below is Profile:
        path += ".NAME"
    inner = keys(key.below)
    yield _table(f"`{path}`", key.meaning, inner)
    for one in inner:
        if one.below is not None:
            yield from _section(one, f"{path}.{one.name}")


def _table(title: str, meaning: str, rows: tuple[Key, ...]) -> str:
    lines = [f"## {title}", ""]
    if meaning:
        lines += [*textwrap.wrap(meaning, PAGE_WIDTH), ""]
    profile = rows[0].section is Profile
    defaults = tuple(f"`{name}`" for name in BUILT_IN_PROFILES) if profile else ("default",)
    lines += [f"| {' | '.join(('key', 'value', *defaults, 'meaning'))} |", "|---" * (len(defaults) + 3) + "|"]
    for key in rows:
        values = (
            tuple(f"`{words[key.name]}`" for words in BUILT_IN_PROFILES.values())
            if profile
            else (_default(key),)
        )
        cells = (f"`{key.name}`", kind(key.schema, key.below), *values, key.meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _default(key: Key) -> str:
    if key.required:
        return "required"
    value = key.schema.get("default")
    if isinstance(value, list):
        return f"`[{', '.join(value)}]`" if value else ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def kind(schema: Json, below: type[Section] | None = None) -> str:
    """What a value looks like, in words."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if choices:
        return kind(choices[0], below)
    if schema.get("type") == "array":
        one, _, limit = kind(schema["items"], below).partition(",")
        return f"list of {one}s" + (f",{limit}" if limit else "")
    if below is not None:
        return "mapping"
    if "enum" in schema:
        *words, last = (f"`{word}`" for word in schema["enum"])
        return f"{', '.join(words)} or {last}"
    return _PATTERNS[schema["pattern"]] if "pattern" in schema else _plain(schema)


def _plain(schema: Json) -> str:
    """What a value without a pattern looks like."""
    match schema:
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"whole number, {least:,} to {most:,}"
        case {"exclusiveMinimum": least, "exclusiveMaximum": most}:
            return f"number between {least} and {most}"
        case {"type": "number"}:
            return "number above 0"
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"format": name}:
            return str(name)
    return "secret" if "writeOnly" in schema else "text"
