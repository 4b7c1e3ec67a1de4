"""HTML that is always escaped: text is escaped unless its type says that it is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = frozenset({"input", "link", "meta"})


class Markup(str):
    """Text that is HTML already; created only in this module."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """One element; attributes are spelled `class_` and `aria_label`, and left out where they are None."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Elements and texts, one after the other."""
    return Markup("".join([child if isinstance(child, Markup) else html.escape(child) for child in children]))


def document(head: Iterable[Markup], body: Iterable[Markup]) -> str:
    """A whole page."""
    parts = tag("head", *head), tag("body", *body)
    return f"<!doctype html>\n{tag('html', *parts, lang='en')}\n"


def stylesheet(css: str) -> Markup:
    """A style element; `css` is unchanged, so that its hash in the Content-Security-Policy is valid."""
    return Markup(f"<style>{css}</style>")
