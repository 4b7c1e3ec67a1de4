"""The cost of rendering 100,000 samples; the peer is the client library, with the same content."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from time import perf_counter

from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bench.figures import Plan, Round
from exporter.domain.model import Source, Status, Via
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Kind, SeriesKey, Snapshot
from exporter.metrics.exposition import Format, Renderer

CAMPAIGNS = 1_852
"""54 samples each."""
CREATED_AT = 1_763_856_000_000_000


class _Families:
    """The same families for the library, as its own registry would return them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        return self._families


async def measure_rounds(plan: Plan, _: Path) -> AsyncIterator[Round]:
    """Change every value in each round, as between two scrapes of a busy exporter."""
    campaigns = plan.choose_size(CAMPAIGNS, 10)
    renderers = {form: Renderer(form, created=False) for form in Format}
    first_seconds = {
        form: _time_rendering(renderers[form], _make_snapshot(campaigns, 0))[0] for form in Format
    }
    for number in range(1, plan.rounds + 1):
        snapshot = _make_snapshot(campaigns, number)
        round_: dict[str, float] = {}
        for form, printed in (
            (Format.TEXT, _time_library_text),
            (Format.OPENMETRICS, _time_library_openmetrics),
        ):
            seconds, text = _time_rendering(renderers[form], snapshot)
            library_seconds, library_text = printed(text)
            samples = _count_samples(text)
            if samples != _count_samples(library_text):
                raise RuntimeError("the library rendered other content")
            name = form.name.lower()
            round_ |= {
                f"{name}: samples": samples,
                f"{name}, ours: us/sample": seconds / samples * 1e6,
                f"{name}, ours after a new series: us/sample": first_seconds[form] / samples * 1e6,
                f"{name}, library: us/sample": library_seconds / samples * 1e6,
                f"{name}, library / ours": library_seconds / seconds,
            }
        yield round_


def _time_rendering(renderer: Renderer, snapshot: Snapshot) -> tuple[float, bytes]:
    began = perf_counter()
    text = renderer.render(snapshot)
    return perf_counter() - began, text


def _time_library_text(text: bytes) -> tuple[float, bytes]:
    return _time_library(_Families(parse_text(text.decode())), generate_latest)


def _time_library_openmetrics(text: bytes) -> tuple[float, bytes]:
    families = parse_openmetrics(f"{text.decode()}# EOF\n")  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return _time_library(_Families(families), generate_openmetrics)


def _time_library(families: _Families, generate: Callable[[_Families], bytes]) -> tuple[float, bytes]:
    began = perf_counter()
    text = generate(families)
    return perf_counter() - began, text


def _count_samples(text: bytes) -> int:
    return sum(not line.startswith(b"#") for line in text.splitlines())


def _make_snapshot(campaigns: int, seed: int) -> Snapshot:
    """Make a state with every kind of series."""
    some = random.Random(seed)
    ids = range(1, campaigns + 1)
    values: dict[SeriesKey, int] = {}
    for campaign_id in ids:
        for kind, labels in _LABELS.items():
            for label1, label2 in labels:
                values[SeriesKey(campaign_id, kind, label1, label2)] = some.randrange(1, 2_000_000)
    return Snapshot(
        commit=seed,
        created_at=CREATED_AT,
        campaigns={number: CampaignName("main", f"campaign-{number:05}") for number in ids},
        values=values,
        delivery_ratios={(number, window): some.random() for number in ids for window in ("5m", "1h", "24h")},
        oldest_pending_at=dict.fromkeys(ids, CREATED_AT),
    )


_LABELS: dict[Kind, list[tuple[str, str]]] = {
    Kind.MESSAGES: [(status.word, "") for status in Status],
    Kind.TRACKED: [(Source.DROP.value, "")],
    Kind.FINISHED: [(Status.DELIVERED.word, "")],
    Kind.COST_NANOS: [("UAH", "")],
    Kind.PARTS: [("", "")],
    Kind.FALLBACKS: [("sms", "not_used"), ("sms", "delivered")],
    Kind.CHANNELS: [("viber", "delivered"), ("sms", "delivered")],
    Kind.DURATION_BUCKET: [(Via.POLL.value, str(index)) for index in range(len(BUCKETS_US) + 1)],
    Kind.DURATION_SUM_US: [(Via.POLL.value, "")],
    Kind.FIRST_KNOWLEDGE: [(Via.POLL.value, "")],
}
