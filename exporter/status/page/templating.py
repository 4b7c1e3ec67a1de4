"""The environment of the templates: the only module that knows Jinja2.

In a template, lines are laid side by side: `_JoinLines` has the rule. Whatever a
template shows is escaped, except what another template has made, and a name that
does not exist is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from exporter.domain.limiter import CircuitState
from exporter.domain.message_ids import MAX_ID_LENGTH
from exporter.status import formatting
from exporter.status.model import State
from exporter.status.page.sparkline import draw_sparkline

_BREAK = re.compile(r"(?P<inside_text>(?<=[^\s>])\s*\n\s*(?=[^\s<>]))|\s*\n\s*")


class _JoinLines(Extension):
    """Keeps the layout of the templates out of the page.

    A line break, with the indentation after it, is a space between two words of a text or of
    a tag, and nothing anywhere else: beside `<`, `>`, `{{`, `}}`, `{%` and `%}`.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The same tokens, with less in the data between them."""
        for token in stream:
            if token.type == "data":
                yield token._replace(value=_BREAK.sub(_join, token.value))
            else:
                yield token


def _join(found: re.Match[str]) -> str:
    return " " if found["inside_text"] else ""


TEMPLATES = Environment(
    loader=PackageLoader("exporter.status.page"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    extensions=[_JoinLines],
)
TEMPLATES.filters |= {name: value for name, value in vars(formatting).items() if name.startswith("format_")}
TEMPLATES.filters["draw_sparkline"] = draw_sparkline
TEMPLATES.globals |= {"CircuitState": CircuitState, "MAX_ID_LENGTH": MAX_ID_LENGTH, "State": State}
