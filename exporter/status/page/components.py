"""What all pages share: the head, the bar at the top, tables, and the headers of the answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib import resources

from exporter import __version__
from exporter.domain.message_ids import MAX_ID_LENGTH
from exporter.status.formatting import format_date_time, format_iso
from exporter.status.page.markup import Markup, document, joined, stylesheet, tag

PROGRAM = "smsbat-exporter"
NONE = "none"
NOT_YET = "none yet"
_CSS = resources.files("exporter.status.page").joinpath("page.css").read_text("utf-8")
_CSS_HASH = b64encode(sha256(_CSS.encode()).digest()).decode()
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath fill='%232a8f5d' d='M1 9h3v6H1zm5-4h3v10H6zm5-4h3v14h-3z'/%3E%3C/svg%3E"
)
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    # No external resources, no scripts, and only the style of the page itself.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_CSS_HASH}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LINKS = (
    ("/metrics", "Metrics"),
    ("/api/v1/status", "This page as JSON"),
    ("/-/healthy", "Healthy?"),
    ("/-/ready", "Ready?"),
)


def render_page(title: str, demo_speed: float | None, content: Iterable[Markup], foot: Markup) -> str:
    """A whole page around its content."""
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · {PROGRAM}"),
        tag("link", rel="icon", href=_ICON),
        stylesheet(_CSS),
    )
    links = [tag("li", tag("a", text, href=href)) for href, text in _LINKS]
    bar = tag(
        "header",
        tag("h1", tag("a", PROGRAM, href="/"), " ", tag("span", __version__, class_="quiet")),
        _demo(demo_speed),
        tag("nav", tag("ul", *links), aria_label="Other paths"),
    )
    return document(head, (bar, tag("main", *content), tag("footer", foot)))


def _demo(speed: float | None) -> Markup:
    if speed is None:
        return joined(())
    faster = "" if speed == 1 else f"; time passes {speed:g} times as fast"
    return tag("p", badge("DEMO", "demo"), f"a simulated provider{faster}")


def badge(text: str, kind: str) -> Markup:
    """A word in a box."""
    return tag("strong", text, class_=f"badge {kind}")


def section(title: str, *content: str, kind: str | None = None) -> Markup:
    """A part of the page with its heading."""
    return tag("section", tag("h2", title), *content, class_=kind)


def table(name: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: bool = False) -> Markup:
    """A table whose rows begin with their heading.

    A narrow window shows each row as a block: the roles keep it a table for screen readers, and
    `data-label` shows the name of the column beside each cell. `whole`: no line breaks in a wide window.
    """
    head = [tag("th", column, scope="col", role="columnheader") for column in columns]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", role="rowheader"),
            *(
                tag("td", tag("span", cell), data_label=column, role="cell")
                for column, cell in zip(columns[1:], row[1:], strict=True)
            ),
            role="row",
        )
        for row in rows
    ]
    return tag(
        "table",
        tag("thead", tag("tr", *head, role="row"), role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        class_="whole" if whole else None,
        role="table",
        aria_label=name,
    )


def quiet(text: str) -> Markup:
    """A less important line."""
    return tag("span", text, class_="line quiet small")


def lines(*texts: str) -> Markup:
    """Texts, each on a line of its own."""
    return joined(text if isinstance(text, Markup) else tag("span", text, class_="line") for text in texts)


def moment(timestamp_seconds: float) -> Markup:
    """A time, readable for people and programs."""
    return tag(
        "time", format_date_time(timestamp_seconds), datetime=format_iso(timestamp_seconds), class_="times"
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names with their values."""
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts"
    )


def search(message_id: str = "") -> Markup:
    """The form that looks up a message."""
    return tag(
        "form",
        tag("label", "Message id", for_="id"),
        tag(
            "input",
            id="id",
            name="id",
            value=message_id or None,
            required="",
            maxlength=str(MAX_ID_LENGTH),
            pattern="[A-Za-z0-9_\\-]+",
            autocomplete="off",
            spellcheck="false",
        ),
        tag("button", "Look up", type="submit"),
        action="/messages",
        method="get",
    )
