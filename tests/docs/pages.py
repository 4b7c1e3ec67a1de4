"""The pages of the documentation, read as CommonMark with tables: blocks, links, anchors, code, tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.kit.processes import ROOT

NAMES = ("README.md", "bench/README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


class Block(NamedTuple):
    """A block of code."""

    language: str
    """What is written behind the fence; empty for an indented block."""
    text: str
    line: int
    """Of its first line of code."""


class Table(NamedTuple):
    """A table, cell by cell, with the marks of inline code still there."""

    header: list[str]
    rows: list[list[str]]


class Page:
    """One page, by its path in the checkout."""

    def __init__(self, name: str) -> None:
        """Read it."""
        self.name = name
        self.path = ROOT / name
        self._tokens = MarkdownIt("commonmark").enable("table").parse(self.path.read_text("utf-8"))

    @cached_property
    def blocks(self) -> list[Block]:
        """All blocks of code, in order."""
        return [
            Block(token.info.strip(), token.content, _line(token) + (token.type == "fence"))
            for token in self._tokens
            if token.type in {"fence", "code_block"}
        ]

    def of_language(self, *languages: str) -> list[Block]:
        """The blocks in these languages."""
        return [block for block in self.blocks if block.language in languages]

    @cached_property
    def links(self) -> list[str]:
        """Where links and pictures lead."""
        return [
            str(token.attrs.get("href") or token.attrs.get("src"))
            for token in self._inline()
            if token.type in {"link_open", "image"}
        ]

    @cached_property
    def inline_code(self) -> list[str]:
        """What stands in backquotes within a text."""
        return [token.content for token in self._inline() if token.type == "code_inline"]

    @cached_property
    def anchors(self) -> set[str]:
        """The names of its headings as links spell them, by the rules of the usual hosts."""
        found: list[str] = []
        times: Counter[str] = Counter()
        for opening, heading in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type == "heading_open":
                text = "".join(child.content for child in heading.children or ())
                slug = _NOT_IN_SLUG.sub("", text.lower()).replace(" ", "-")
                found.append(f"{slug}-{times[slug]}" if times[slug] else slug)
                times[slug] += 1
        return set(found)

    def table(self, column: str) -> Table:
        """The one table that has a column of this name."""
        (found,) = (table for table in self._tables() if column in table.header)
        return found

    def _tables(self) -> Iterator[Table]:
        rows: list[list[str]] = []
        for token, inside in zip(self._tokens, self._tokens[1:], strict=False):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in {"th_open", "td_open"}:
                rows[-1].append(inside.content)
            elif token.type == "table_close":
                yield Table(rows[0], rows[1:])
                rows = []

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()


def _line(token: Token) -> int:
    assert token.map is not None
    return token.map[0] + 1


PAGES = [Page(name) for name in NAMES]
