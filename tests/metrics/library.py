"""The same state in the client library's own families: our bytes are compared with those it prints.

Written from the meaning of the metrics, sample by sample, and with no code of
the renderer: labels go in by name, and sorting, escaping and numbers are left
to the library.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from exporter.domain.model import FINISHED, Source, Status
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Kind, SeriesKey, Snapshot
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type

FAMILIES: dict[Type, type[CounterMetricFamily | GaugeMetricFamily]] = {
    Type.COUNTER: CounterMetricFamily,
    Type.GAUGE: GaugeMetricFamily,
}
COUNTED: dict[Family, tuple[Kind, list[tuple[str, ...]]]] = {
    catalogue.MESSAGES: (Kind.MESSAGES, [(status.name.lower(),) for status in Status]),
    catalogue.MESSAGES_TRACKED: (Kind.TRACKED, [(source,) for source in Source]),
    catalogue.MESSAGES_FINISHED: (
        Kind.FINISHED,
        [(status.name.lower(),) for status in Status if status in FINISHED],
    ),
    catalogue.MESSAGES_LATE: (Kind.LATE, [("delivered",), ("undeliverable",), ("permanenterror",)]),
    catalogue.SLO_MESSAGES: (Kind.SLO_MESSAGES, [()]),
    catalogue.SLO_MISSED: (Kind.SLO_MISSED, [()]),
    catalogue.SLO_UNOBSERVED: (Kind.SLO_UNOBSERVED, [()]),
    catalogue.COST: (Kind.COST_NANOS, []),
    catalogue.MESSAGE_PARTS: (Kind.PARTS, [()]),
    catalogue.FALLBACKS: (Kind.FALLBACKS, []),
    catalogue.CHANNEL_MESSAGES: (Kind.CHANNELS, []),
}


class LibraryState:
    """A collector of const families, for `generate_latest`."""

    def __init__(self, snapshot: Snapshot, *, created: bool = False, exemplars: bool = False) -> None:
        """Show `snapshot`, with `_created` samples where the library can print them, and exemplars."""
        self._exemplars = snapshot.exemplars if exemplars else {}
        self._snapshot = snapshot
        self._created = snapshot.created_at / 1e6 if created else None
        self._names = sorted(snapshot.campaigns.items(), key=lambda item: item[1])

    def collect(self) -> Iterator[Metric]:
        """All state families in the catalogue's order."""
        for family in catalogue.STATE:
            if family in COUNTED:
                yield self._collect_counted(family)
            elif family is catalogue.DELIVERY_DURATION:
                yield self._collect_durations()
            else:
                yield self._collect_gauge(family)

    def _collect_counted(self, family: Family) -> Metric:
        kind, fixed = COUNTED[family]
        metric = FAMILIES[family.type](family.name, family.help, labels=family.labels, unit=family.unit)
        values = self._snapshot.values
        for campaign_id, name in self._names:
            extra = len(family.labels) - 2
            seen = {
                (key.label1, key.label2)[:extra]
                for key in values
                if (key.campaign_id, key.kind) == (campaign_id, kind)
            }
            for labels in [*fixed, *sorted(seen.difference(fixed))]:
                value = values.get(SeriesKey(campaign_id, kind, *labels), 0)
                self._add_sample(metric, [*name, *labels], value / 1e9 if kind is Kind.COST_NANOS else value)
        return metric

    def _collect_durations(self) -> Metric:
        family = catalogue.DELIVERY_DURATION
        metric = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
        values = self._snapshot.values
        for campaign_id, name in self._names:
            for via in ("poll", "webhook"):
                counts = [
                    values.get(SeriesKey(campaign_id, Kind.DURATION_BUCKET, via, str(index)), 0)
                    for index in range(16)
                ]
                if via == "webhook" and not any(counts):
                    continue
                bounds = [*(floatToGoString(bound / 1e6) for bound in BUCKETS_US), "+Inf"]  # type: ignore[no-untyped-call]  # the library leaves it untyped
                buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
                for index, bound in enumerate(bounds):
                    count = float(sum(counts[: index + 1]))
                    found = self._find_exemplar(SeriesKey(campaign_id, Kind.DURATION_BUCKET, via, str(index)))
                    buckets.append((bound, count, found) if found else (bound, count))
                total_us = values.get(SeriesKey(campaign_id, Kind.DURATION_SUM_US, via), 0)
                metric.add_metric([*name, via], buckets, total_us / 1e6)
                if self._created is not None:
                    labels = dict(zip(family.labels, [*name, via], strict=True))
                    metric.add_sample(f"{family.name}_created", labels, self._created)
        return metric

    def _find_exemplar(self, key: SeriesKey) -> Exemplar | None:
        found = self._exemplars.get(key)
        if found is None or len("message_id") + len(found.message_id) > 128:
            return None
        return Exemplar({"message_id": found.message_id}, found.duration_us / 1e6, found.at / 1e6)

    def _collect_gauge(self, family: Family) -> Metric:
        metric = FAMILIES[family.type](family.name, family.help, labels=family.labels, unit=family.unit)
        for labels, value in self._list_samples(family):
            self._add_sample(metric, labels, value)
        return metric

    def _list_samples(self, family: Family) -> Iterator[tuple[list[str], float]]:
        snapshot = self._snapshot
        if family is catalogue.STATE_CREATED:
            yield [], snapshot.created_at / 1e6
        elif family in {catalogue.SLO_DEADLINE, catalogue.SLO_OBJECTIVE}:
            for name, (deadline_us, ratio) in sorted(snapshot.objectives.items()):
                yield [name], deadline_us / 1e6 if family is catalogue.SLO_DEADLINE else ratio
        elif family is catalogue.FIRST_KNOWLEDGE:
            for account in sorted({name.account for name in snapshot.campaigns.values()}):
                for via in ("poll", "webhook"):
                    yield [account, via], self._sum_first_knowledge(account, via)
        else:
            yield from self._list_by_campaign(family)

    def _list_by_campaign(self, family: Family) -> Iterator[tuple[list[str], float]]:
        snapshot = self._snapshot
        for campaign_id, name in self._names:
            if family is catalogue.OLDEST_PENDING:
                if campaign_id in snapshot.oldest_pending_at:
                    yield [*name], snapshot.oldest_pending_at[campaign_id] / 1e6
                continue
            ratios = (
                snapshot.delivery_ratios if family is catalogue.DELIVERY_RATIO else snapshot.fallback_ratios
            )
            for (of_campaign, window), ratio in ratios.items():
                if of_campaign == campaign_id:
                    yield [*name, window], ratio

    def _sum_first_knowledge(self, account: str, via: str) -> int:
        names: dict[int, CampaignName] = dict(self._snapshot.campaigns)
        return sum(
            value
            for key, value in self._snapshot.values.items()
            if key.kind is Kind.FIRST_KNOWLEDGE
            and key.label1 == via
            and names[key.campaign_id].account == account
        )

    def _add_sample(self, metric: Metric, labels: list[str], value: float) -> None:
        if isinstance(metric, CounterMetricFamily):
            metric.add_metric(labels, value, created=self._created)
        elif isinstance(metric, GaugeMetricFamily):
            metric.add_metric(labels, value)
