"""The state as Prometheus reads it: a snapshot in, text 0.0.4 or OpenMetrics 1.0 out.

The bytes are those that the client library would print, at a fraction of its
price: what stands before a value is the same from one rendering to the next as
long as no series comes or goes, so it is made once (`layout`), and a rendering
only puts the values in between. The library takes about 18 microseconds a
sample, which at 100,000 samples is most of a scrape's time-out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from exporter.domain.model import SECOND_US
from exporter.domain.snapshot import Snapshot
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family
from exporter.metrics.exposition.layout import Layout
from exporter.metrics.exposition.lines import header, line_template, line_values, number

__all__ = ["Format", "Renderer", "Rendering", "negotiate"]


class Format(Enum):
    """The two formats of `/metrics`, by their content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Rendering(NamedTuple):
    """One answer to a scrape; immutable, so that any number of scrapers can share it."""

    parts: tuple[bytes, ...]
    """The body, cut where shared and fresh pieces meet."""
    content_type: str
    gzipped: bool = False


_VERSION = re.compile(r"version=([0-9]+)(?:\.[0-9]+)*")


def negotiate(accept: str) -> Format:
    """The format that an Accept header asks for, by the rules of the client library, which ignore `q`.

    Prometheus lists what it understands in the order of its preference. OpenMetrics before 1.0
    is another format, and what we don't know is answered in text 0.0.4.
    """
    for item in accept.split(","):
        media_type, *parameters = (word.strip() for word in item.split(";"))
        version = next((match for word in parameters if (match := _VERSION.fullmatch(word))), None)
        since_1_0 = version is not None and int(version[1]) >= 1
        if media_type == "application/openmetrics-text" and (since_1_0 or version is None):
            return Format.OPENMETRICS
        if media_type == "text/plain" and since_1_0:
            return Format.TEXT
    return Format.TEXT


class Renderer:
    """Renders snapshots in one format; keeps the layout of the latest until its series change."""

    def __init__(self, form: Format, *, created: bool, exemplars: bool = False) -> None:
        """Print `_created` samples too when `created`: each is a series more.

        With `exemplars`, message ids stand with the buckets of durations, in OpenMetrics.
        """
        self._exemplars = exemplars and form is Format.OPENMETRICS
        self._openmetrics = form is Format.OPENMETRICS
        self._created = created
        self._layout: Layout | None = None

    def render(self, snapshot: Snapshot) -> bytes:
        """All state families with their headers, in the catalogue's order.

        The `# EOF` of OpenMetrics is left to whoever knows that nothing follows. Series of
        campaigns that the snapshot doesn't name are left out.
        """
        layout = self._layout
        if layout is None or not layout.fits(snapshot):
            layout = Layout(snapshot, openmetrics=self._openmetrics, created=self._created)
            self._layout = layout
        texts = layout.render(snapshot.values, snapshot.exemplars if self._exemplars else {})
        for family, samples in _gauges(snapshot):
            texts[family] = header(family, openmetrics=self._openmetrics) + _lines(family, samples)
        return "".join(texts[family] + "\n" for family in catalogue.STATE).encode()


_Sample: TypeAlias = tuple[tuple[str, ...], float]
"""Label values, and what is printed."""


def _gauges(snapshot: Snapshot) -> Iterator[tuple[Family, Iterable[_Sample]]]:
    """The families that are not counted: their series come and go, so they have no layout."""
    names = snapshot.campaigns
    objectives = sorted(snapshot.objectives.items())
    yield catalogue.SLO_DEADLINE, (((name,), o.deadline_us / SECOND_US) for name, o in objectives)
    yield catalogue.SLO_OBJECTIVE, (((name,), o.objective_ratio) for name, o in objectives)
    for family, ratios in (
        (catalogue.DELIVERY_RATIO, snapshot.delivery_ratios),
        (catalogue.FALLBACK_RATIO, snapshot.fallback_ratios),
    ):
        named = [
            (names[campaign], window, ratio)
            for (campaign, window), ratio in ratios.items()
            if campaign in names
        ]
        # By name only: the windows of a campaign stay as configured, shortest first.
        named.sort(key=lambda sample: sample[0])
        yield family, (((*name, window), ratio) for name, window, ratio in named)
    pending = sorted(
        (names[campaign], at) for campaign, at in snapshot.oldest_pending_at.items() if campaign in names
    )
    yield catalogue.OLDEST_PENDING, ((name, at / SECOND_US) for name, at in pending)
    yield catalogue.STATE_CREATED, [((), snapshot.created_at / SECOND_US)]


def _lines(family: Family, samples: Iterable[_Sample]) -> str:
    template = line_template(family.name, family.labels)
    return "".join(template % line_values(family.labels, labels) + number(value) for labels, value in samples)
