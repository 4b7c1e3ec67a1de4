"""A strict dialect of YAML, read to plain values that know where they stand.

Lists, mappings and text, and nothing else: no anchors, aliases, tags, second
documents, or types guessed from spelling. An empty or `null` value is a
problem, except for a whole section, which counts as not written. `${NAME}` in
a value is taken from the environment, `$$` stands for a dollar sign; where there
is no environment, a dollar sign is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeAlias

import yaml

from exporter.config.problem import KeyPath, Problem, dotted
from exporter.runtime.errors import Code, quoted

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | None"
"""None stands where a problem was found."""

MAX_DEPTH = 20
_NULLS = {"", "~", "null"}
_DOLLAR = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(\{))", re.ASCII)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The parser in C reads 1 MiB in 0.04 s, the one in Python in 0.9 s, and deep nonsense in minutes.
# What both say of bad syntax differs in words only.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """Where a value stands, and what is written there."""

    line: int
    column: int
    written: str = ""
    """The text before `${...}` was replaced; empty for lists and mappings."""
    from_environment: bool = False


@dataclass(slots=True)
class Document:
    """A file, read as far as it can be."""

    tree: dict[str, Tree] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    """Of a key where there is one, of the value otherwise."""
    problems: dict[KeyPath, Problem] = field(default_factory=dict)
    """The first problem of each path."""
    readable: bool = True
    """False when reading stopped: then nothing can be said about what is missing."""

    def place(self, path: KeyPath) -> Place:
        """Where `path` stands, or the closest of its parents that was written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def add(self, path: KeyPath, message: str, hint: str, code: Code) -> None:
        """Note a problem at `path`, unless there is one already: one mistake, one problem."""
        line, column, *_ = self.place(path)
        self.problems.setdefault(path, Problem(dotted(path), line, column, message, hint, code))


class _StopReadingError(Exception):
    """What follows can't be understood."""


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
        hint = _syntax_hint(text, line, column)
        document.problems[()] = Problem("", line, column, message, hint, Code.CONFIG_SYNTAX)
    except _StopReadingError:
        document.readable = False
    return document


class _Reader:
    """Turns events of the parser into a tree, a call for each level."""

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
        tree = self._value(start, ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(event, (), "a second document starts here", "keep one, without --- in between")
        if isinstance(tree, dict):
            # A section that has all of its keys commented out is not written.
            self._document.tree = {
                key: value for key, value in tree.items() if not self._blank((key,), value)
            }
        elif tree is not None:
            hint = "write keys, and what belongs to each"
            self._stop(start, (), "the file must be a mapping", hint, Code.CONFIG_SHAPE)

    def _blank(self, path: KeyPath, value: Tree) -> bool:
        return value is None and path not in self._document.problems

    def _value(self, event: yaml.Event, path: KeyPath) -> Tree:
        """The value that `event` begins."""
        self._refuse_features(event, path)
        if len(path) > MAX_DEPTH:
            self._stop(event, path, f"nested deeper than {MAX_DEPTH} levels")
        self._document.places.setdefault(path, _place(event))
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Tree] = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(event, (*path, len(items))))
            return items
        return self._mapping(path)

    def _mapping(self, path: KeyPath) -> dict[str, Tree]:
        """The mapping whose start was just read."""
        members: dict[str, Tree] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._refuse_features(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(event, path, "a key must be text", "put quotes around what starts with { or [")
            key = event.value
            if key in members:
                place = _place(event)
                first = self._document.places[(*path, key)]
                self._document.problems[(*path, key)] = Problem(
                    dotted((*path, key)),
                    place.line,
                    place.column,
                    f"is written twice, first in line {first.line}",
                    "keep one of them",
                    Code.CONFIG_TWICE,
                )
                self._skip()
                continue
            self._document.places[(*path, key)] = _place(event)
            members[key] = self._value(next(self._events), (*path, key))
        return members

    def _skip(self) -> None:
        """Leave out one value."""
        depth = 0
        while True:
            event = next(self._events)
            self._refuse_features(event, ())
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Tree:
        """Text, with what it takes from the environment; None for an empty value or a problem."""
        text = event.value
        place = self._document.places[path]
        if event.implicit[0] and text in _NULLS:
            if len(path) > 1:
                self._document.add(path, "has no value", "write one, or remove it", Code.CONFIG_MISSING)
            return None
        environ = self._environ
        if environ is None:
            self._document.places[path] = place._replace(written=text)
            return text
        missing: list[str] = []

        def replacement(match: re.Match[str]) -> str:
            if match[1]:
                return "$"
            if match[3]:
                missing.append("")
                return ""
            if match[2] not in environ:
                missing.append(match[2])
            return environ.get(match[2], "")

        resolved = _DOLLAR.sub(replacement, text)
        from_environment = any(match[2] for match in _DOLLAR.finditer(text))
        self._document.places[path] = place._replace(written=text, from_environment=from_environment)
        if not missing:
            return resolved
        if missing[0]:
            message, hint = f"environment variable {quoted(missing[0])} is not set", "write $$ for a plain $"
        else:
            message, hint = "${ needs a name and }", "write ${NAME}, or $$ for a plain $"
        self._document.add(path, message, hint, Code.CONFIG_VARIABLE)
        return None

    def _refuse_features(self, event: yaml.Event, path: KeyPath) -> None:
        """Stop at what this dialect leaves out."""
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
        place = _place(event)
        self._document.problems[path] = Problem(dotted(path), place.line, place.column, message, hint, code)
        raise _StopReadingError


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    # Events of a parser always have one; only those made by hand can lack it.
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)


def _syntax_hint(text: str, line: int, column: int) -> str:
    """What most likely went wrong at a place where the parser gave up."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return "a quote or bracket may be left open"
    rest = lines[line - 1][column - 1 :]
    if rest.startswith("\t"):
        return "indent with spaces, not tabs"
    if rest.startswith(("@", "`", "%", ":")):
        return "put the value in quotes"
    return ""
