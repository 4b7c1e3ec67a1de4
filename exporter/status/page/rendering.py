"""The pages as HTML: what each template gets, and the headers of the answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib import resources

from exporter import __version__
from exporter.status.message import Lookup
from exporter.status.model import Overview

SHOWN_CAMPAIGNS = 50
"""Rows of the table; the JSON has all campaigns."""
SHOWN_FAILURES = 10
SHOWN_REQUESTS = 100
REFUSALS = {
    "empty": "Enter the id of a message, as returned by the provider when it was sent.",
    "looks_like_phone": "That looks like a phone number. Phone numbers are not stored here: enter the id.",
    "too_long": "That is too long: an id has at most 128 characters.",
    "bad_characters": "That is not an id: ids consist of letters, digits, - and _.",
}
BUSY = "The state can't be read now: the disk is busy or hangs. Try again in a few seconds."
_CSS = resources.files("exporter.status.page").joinpath("page.css").read_text("utf-8")
_CSS_HASH = b64encode(sha256(_CSS.encode()).digest()).decode()
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
_SCRAPE_CONFIG = """\
scrape_configs:
  - job_name: smsbat
{scheme}    static_configs:
      - targets: ["{target}"]
"""


def render_home(view: Overview, target: str, *, tls: bool) -> str:
    """The page at `/`; `target` is this process's address, as Prometheus would write it."""
    return _render(
        "home.html",
        view.demo_speed,
        view=view,
        scrape_config=_SCRAPE_CONFIG.format(scheme="    scheme: https\n" if tls else "", target=target),
        shown_campaigns=SHOWN_CAMPAIGNS,
        shown_failures=SHOWN_FAILURES,
    )


def render_form(text: str, demo_speed: float | None) -> str:
    """The form that looks up a message, and why there is nothing to show."""
    return _render("form.html", demo_speed, text=text)


def render_message(found: Lookup, demo_speed: float | None) -> str:
    """Everything known about a message, or that it is not tracked."""
    return _render("message.html", demo_speed, found=found, shown_requests=SHOWN_REQUESTS)


def _render(template: str, demo_speed: float | None, **values: object) -> str:
    # With the first page and no sooner: a command that shows none starts without Jinja2.
    from exporter.status.page.templating import TEMPLATES  # noqa: PLC0415

    return TEMPLATES.get_template(template).render(
        values, css=_CSS, version=__version__, demo_speed=demo_speed
    )
