"""Pieces of PromQL, made from the catalogue of metrics, so that no name or label is spelled twice.

`increase`, `rate` and `sum_by` are PromQL's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from exporter.metrics.catalogue import Family, Type
from tools.dashboards.constants import REPLICA_LABELS

RATE = "$__rate_interval"
RANGE = "$__range"
_VARIABLES = ("account", "campaign")


def select(family: Family, *matchers: str, part: str = "") -> str:
    """A selector for a rule: every series of the metric, or those that match.

    `part` is `_bucket`, `_count` or `_sum` of a histogram.
    """
    if (family.type is Type.HISTOGRAM) != bool(part):
        raise ValueError(f"{family.name} is a {family.type}: part {part!r} doesn't fit")
    return f"{family.name}{part}" + (f"{{{', '.join(matchers)}}}" if matchers else "")


def select_shown(family: Family, *matchers: str, part: str = "") -> str:
    """A selector for a panel: what the dashboard's variables leave of the metric."""
    chosen = [f'{name}=~"${name}"' for name in ("job", *_VARIABLES) if name == "job" or name in family.labels]
    return select(family, *chosen, *matchers, part=part)


def match_any(label: str, values: Iterable[str]) -> str:
    """A matcher for any of these values."""
    return f'{label}=~"{"|".join(values)}"'


def increase(selector: str, window: str) -> str:
    """How much a counter grew in the window."""
    return f"increase({selector}[{window}])"


def rate(selector: str) -> str:
    """How fast a counter grows, per second, as smooth as the graph's step."""
    return f"rate({selector}[{RATE}])"


def sum_by(expression: str, *labels: str) -> str:
    """The sum, by these labels."""
    return f"sum by ({', '.join(labels)}) ({expression})" if labels else f"sum({expression})"


def rate_per_minute(family: Family, *labels: str) -> str:
    """How much a counter grows in a minute, by these labels."""
    return f"{sum_by(rate(select_shown(family)), *labels)} * 60"


def aggregate_replicas(operator: str, expression: str, *dropped: str) -> str:
    """Aggregate over copies of the exporter, and over the labels named, keeping every other one."""
    return f"{operator} without ({', '.join((*REPLICA_LABELS, *dropped))}) ({expression})"


def divide(part: str, whole: str) -> str:
    """A ratio of sums, with a gap where there is nothing to divide by."""
    return f"{part}\n  / ({whole} > 0)"


def complement(ratio: str) -> str:
    """The rest of a share."""
    return f"1 - (\n  {ratio}\n)"


def keep_active(expression: str, family: Family, *labels: str) -> str:
    """Only the series of a counter that grew in the range: the others would crowd the legend."""
    grew = sum_by(increase(select_shown(family), RANGE), *labels)
    return f"{expression}\n  and on ({', '.join(labels)}) ({grew} > 0)"


def estimate_quantile(q: float, selector: str, window: str, *labels: str) -> str:
    """A quantile from classic buckets, with a gap where nothing was observed (NaN is not >= 0)."""
    buckets = sum_by(increase(selector, window), *labels, "le")
    return f"histogram_quantile({q}, {buckets}) >= 0"
