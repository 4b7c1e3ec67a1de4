"""Reads a strict dialect of YAML into plain values and their positions in the file.

Lists, mappings and text, and nothing else: no anchors, aliases, tags, second
documents, or types guessed from spelling. An empty or `null` value is a
problem, except for a whole section, which counts as not written. `${NAME}` in
a value is replaced from the environment, and `$$` by a dollar sign; without an
environment, a dollar sign is just that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeAlias

import yaml

from exporter.config.problem import KeyPath, Problem, format_path
from exporter.runtime.errors import Code, quoted

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | None"
"""None where a problem was found."""

MAX_DEPTH = 20
_NULLS = {"", "~", "null"}
_DOLLAR = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(\{))", re.ASCII)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The parser in C reads 1 MiB in 0.04 s, the one in Python in 0.9 s, and deep nesting in minutes.
# Their error messages differ in wording only.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """Where a value is, and what is written there."""

    line: int
    column: int
    written: str = ""
    """The text before `${...}` was replaced; empty for lists and mappings."""
    from_environment: bool = False


@dataclass(slots=True)
class Document:
    """A file, read as far as possible."""

    tree: dict[str, Tree] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    """The place of the key if there is one, else of the value."""
    problems: dict[KeyPath, Problem] = field(default_factory=dict)
    """The first problem of each path."""
    readable: bool = True
    """False when reading stopped: then it is unknown what is missing."""

    def locate(self, path: KeyPath) -> Place:
        """Find the place of `path`, or of its closest parent that was written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def add_problem(self, path: KeyPath, message: str, hint: str, code: Code) -> None:
        """Add a problem at `path`, unless there is one already: one mistake, one problem."""
        self.problems.setdefault(path, self.describe(path, message, hint, code))

    def describe(self, path: KeyPath, message: str, hint: str, code: Code) -> Problem:
        """Describe a problem or a warning at `path`."""
        line, column, *_ = self.locate(path)
        return Problem(format_path(path), line, column, message, hint, code)


class _StopReadingError(Exception):
    """The rest of the file can't be understood."""


def parse(text: str, environ: Mapping[str, str] | None) -> Document:
    """Read `text`; never raises, whatever it holds."""
    document = Document()
    bad = _NOT_YAML.search(text)
    if bad:
        line = text.count("\n", 0, bad.start())
        column = bad.start() - (text.rfind("\n", 0, bad.start()) + 1)
        message = f"character U+{ord(bad[0]):04X} is not allowed"
        hint = "save it as plain text"
        document.problems[()] = Problem("", line + 1, column + 1, message, hint, Code.CONFIG_SYNTAX)
        document.readable = False
        return document
    try:
        _Reader(text, environ, document).read()
    except yaml.YAMLError as error:
        document.readable = False
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = f"not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        hint = _suggest_syntax_fix(text, line, column)
        document.problems[()] = Problem("", line, column, message, hint, Code.CONFIG_SYNTAX)
    except _StopReadingError:
        document.readable = False
    return document


class _Reader:
    """Turns events of the parser into a tree, with a call for each level."""

    def __init__(self, text: str, environ: Mapping[str, str] | None, document: Document) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_Loader)
        self._environ = environ
        self._document = document

    def read(self) -> None:
        """Read the one document of the stream."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return
        start = next(self._events)
        tree = self._read_value(start, ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(event, (), "a second document starts here", "keep one, without --- in between")
        if isinstance(tree, dict):
            # A section that has all of its keys commented out is not written.
            self._document.tree = {
                key: value for key, value in tree.items() if not self._is_blank((key,), value)
            }
        elif tree is not None:
            hint = "write keys, and what belongs to each"
            self._stop(start, (), "the file must be a mapping", hint, Code.CONFIG_SHAPE)

    def _is_blank(self, path: KeyPath, value: Tree) -> bool:
        return value is None and path not in self._document.problems

    def _read_value(self, event: yaml.Event, path: KeyPath) -> Tree:
        """Read the value that starts with `event`."""
        self._refuse_features(event, path)
        if len(path) > MAX_DEPTH:
            self._stop(event, path, f"nested deeper than {MAX_DEPTH} levels")
        self._document.places.setdefault(path, _locate(event))
        if isinstance(event, yaml.ScalarEvent):
            return self._read_scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Tree] = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._read_value(event, (*path, len(items))))
            return items
        return self._read_mapping(path)

    def _read_mapping(self, path: KeyPath) -> dict[str, Tree]:
        """Read the mapping whose start was just read."""
        members: dict[str, Tree] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._refuse_features(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(event, path, "a key must be text", "put quotes around what starts with { or [")
            key = event.value
            if key in members:
                place = _locate(event)
                first = self._document.places[(*path, key)]
                self._document.problems[(*path, key)] = Problem(
                    format_path((*path, key)),
                    place.line,
                    place.column,
                    f"is written twice, first in line {first.line}",
                    "keep one of them",
                    Code.CONFIG_TWICE,
                )
                self._skip()
                continue
            self._document.places[(*path, key)] = _locate(event)
            members[key] = self._read_value(next(self._events), (*path, key))
        return members

    def _skip(self) -> None:
        """Skip one value."""
        depth = 0
        while True:
            event = next(self._events)
            self._refuse_features(event, ())
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return

    def _read_scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Tree:
        """Read a text and replace `${NAME}` in it; None for an empty value or a problem."""
        text = event.value
        place = self._document.places[path]
        if event.implicit[0] and text in _NULLS:
            if len(path) > 1:
                self._document.add_problem(
                    path, "has no value", "write one, or remove it", Code.CONFIG_MISSING
                )
            return None
        environ = self._environ
        if environ is None:
            self._document.places[path] = place._replace(written=text)
            return text
        missing: list[str] = []

        def replace_variable(match: re.Match[str]) -> str:
            if match[1]:
                return "$"
            if match[3]:
                missing.append("")
                return ""
            if match[2] not in environ:
                missing.append(match[2])
            return environ.get(match[2], "")

        resolved = _DOLLAR.sub(replace_variable, text)
        from_environment = any(match[2] for match in _DOLLAR.finditer(text))
        self._document.places[path] = place._replace(written=text, from_environment=from_environment)
        if not missing:
            return resolved
        if missing[0]:
            message, hint = f"environment variable {quoted(missing[0])} is not set", "write $$ for a plain $"
        else:
            message, hint = "${ needs a name and }", "write ${NAME}, or $$ for a plain $"
        self._document.add_problem(path, message, hint, Code.CONFIG_VARIABLE)
        return None

    def _refuse_features(self, event: yaml.Event, path: KeyPath) -> None:
        """Stop at features of YAML that are not in this dialect."""
        if isinstance(event, yaml.AliasEvent):
            self._stop(
                event, path, "aliases (*name) are not allowed", "write the value out, or put it in quotes"
            )
        if getattr(event, "anchor", None) is not None:
            self._stop(
                event, path, "anchors (&name) are not allowed", "write the value out, or put it in quotes"
            )
        if getattr(event, "tag", None) is not None:
            self._stop(event, path, "tags (!name) are not allowed", "remove it, or put the value in quotes")

    def _stop(
        self,
        event: yaml.Event,
        path: KeyPath,
        message: str,
        hint: str = "",
        code: Code = Code.CONFIG_DIALECT,
    ) -> NoReturn:
        place = _locate(event)
        self._document.problems[path] = Problem(
            format_path(path), place.line, place.column, message, hint, code
        )
        raise _StopReadingError


def _locate(event: yaml.Event) -> Place:
    mark = event.start_mark
    # Only events that no parser made have none.
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)


def _suggest_syntax_fix(text: str, line: int, column: int) -> str:
    """Suggest what most likely went wrong where the parser stopped."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return "a quote or bracket may be left open"
    rest = lines[line - 1][column - 1 :]
    if rest.startswith("\t"):
        return "indent with spaces, not tabs"
    if rest.startswith(("@", "`", "%", ":")):
        return "put the value in quotes"
    return ""
