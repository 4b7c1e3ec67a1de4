"""Metrics read back: what people are shown is what a scrape finds, by the same names."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from exporter.metrics.catalogue import Family


class RegistryValues:
    """What some instruments show at one moment, as a scrape would find it."""

    def __init__(self, registry: CollectorRegistry, wanted: Iterable[Family]) -> None:
        """Read all series of the `wanted` metrics, which are counters and gauges."""
        labels = {family.name: family.labels for family in wanted}
        self._values = {
            (sample.name, *(sample.labels[label] for label in labels[sample.name])): sample.value
            for metric in registry.restricted_registry(labels).collect()
            for sample in metric.samples
        }

    def value(self, family: Family, *labels: str) -> float | None:
        """One series, by the values of its labels; None where it has no sample."""
        return self._values.get((family.name, *labels))

    def by_last_label(self, family: Family, *labels: str) -> dict[str, int]:
        """Every series that begins with these values of labels, by its last one; for what counts."""
        begin = (family.name, *labels)
        return {key[-1]: int(value) for key, value in self._values.items() if key[:-1] == begin}
