"""Labels that are left: what names a series, and what an alert says, was not summed away."""

from __future__ import annotations

import re

import pytest

from tests.dashboards.asked import queries
from tests.dashboards.labels import labels_of
from tests.dashboards.test_promql import RECORDED, concrete, possible_labels
from tools.dashboards import build_rule_groups
from tools.dashboards.alert import Alert


def _kept(name: str) -> frozenset[str]:
    """The labels of a metric, or what a rule has left of them."""
    return labels_of(RECORDED[name], _kept) if name in RECORDED else possible_labels(name)


@pytest.mark.parametrize(
    "place", [name for name, asked in queries().items() if "{{" in asked.legend], ids=lambda place: place
)
def test_what_names_a_series_is_left_of_its_labels(place: str) -> None:
    """A legend uses no label that the query has summed away: it would be empty."""
    asked = queries()[place]
    used = set(re.findall(r"\{\{(\w+)\}\}", asked.legend))
    assert used <= labels_of(concrete(asked.expression), _kept)


@pytest.mark.parametrize(
    "alert",
    [alert for topic in build_rule_groups().values() for alert in topic.alerts],
    ids=lambda alert: " ".join((alert.name, *alert.extra_labels.values())),
)
def test_what_an_alert_says_is_left_of_its_labels(alert: Alert) -> None:
    """Texts and links use no label that the expression has summed away."""
    assert set(alert.labels) <= labels_of(alert.expr, _kept)
