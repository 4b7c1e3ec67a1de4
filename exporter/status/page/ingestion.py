"""Where ids come from, and the scrape configuration for Prometheus."""

from __future__ import annotations

from exporter.status.formatting import format_number
from exporter.status.model import Overview
from exporter.status.page.components import NONE, definitions, lines, section
from exporter.status.page.markup import Markup, tag

_SNIPPET = """\
scrape_configs:
  - job_name: smsbat
{scheme}    static_configs:
      - targets: ["{target}"]
"""
_DIRECTORY = {True: "can be read", False: "can't be read", None: "not checked yet"}


def render_ingestion(view: Overview) -> Markup:
    """Files, posted ids and webhooks: whether they can be received, and how many were."""
    pairs: list[tuple[str, str]] = [
        ("Drop directory", lines(directory, _DIRECTORY[up]))
        for directory, up in view.drop.directories.items()
    ]
    if view.drop.directories:
        pairs += [("Dropped files", _counts(view.drop.files)), ("Ids in them", _counts(view.drop.lines))]
    else:
        pairs.append(("Drop directories", "none is configured"))
    pairs.append(("Posted ids", _counts(view.intake.messages) if view.intake.enabled else "not configured"))
    if view.webhook.enabled:
        where = f"mode {view.webhook.mode}, on {', '.join(view.webhook.addresses)}"
        pairs += [("Webhooks", where), ("Webhook events", _counts(view.webhook.events))]
    else:
        pairs.append(("Webhooks", "not configured"))
    note = tag("p", "Since this process started.", class_="quiet small")
    return section("Input", definitions(pairs), note)


def _counts(counts: dict[str, int]) -> str:
    texts = [f"{format_number(count)} {word.replace('_', ' ')}" for word, count in counts.items() if count]
    return ", ".join(texts) or NONE


def render_scrape_config(target: str, *, tls: bool) -> Markup:
    """The lines for prometheus.yml."""
    snippet = _SNIPPET.format(scheme="    scheme: https\n" if tls else "", target=target)
    return section(
        "Let Prometheus scrape",
        tag("p", "Point Prometheus here, and Grafana at Prometheus; in prometheus.yml:"),
        tag(
            "pre",
            tag("code", snippet),
            tabindex="0",
            role="region",
            aria_label="Scrape configuration",
        ),
    )
