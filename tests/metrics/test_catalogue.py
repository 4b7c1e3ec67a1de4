"""The catalogue holds what Prometheus' naming rules and our own promises ask of every metric."""

from __future__ import annotations

import re

import pytest

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type

BOUNDED_LABELS = {
    "account",
    "campaign",
    "channel",
    "currency",
    "directory",
    "label",
    "outcome",
    "priority",
    "python",
    "reason",
    "result",
    "source",
    "status",
    "type",
    "version",
    "window",
}
SUFFIXES = {
    Type.COUNTER: ("_total", "_created"),
    Type.GAUGE: ("",),
    Type.HISTOGRAM: ("", "_bucket", "_count", "_sum", "_created"),
}
each_family = pytest.mark.parametrize("family", catalogue.ALL, ids=lambda family: family.name)


@each_family
def test_a_name_says_prefix_type_and_unit(family: Family) -> None:
    """Counters, and nothing else, end in `_total`; every name begins with ours."""
    assert re.fullmatch(r"smsbat(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.type is Type.COUNTER)
    assert not family.base_name.endswith(("_count", "_sum", "_bucket", "_created"))
    assert family.unit == "seconds" or "_seconds" not in family.name
    assert family.unit == "ratio" or "_ratio" not in family.name


@each_family
def test_a_help_text_is_one_line_that_needs_no_escapes(family: Family) -> None:
    """The renderer prints help texts as they are."""
    assert re.fullmatch(r'[^\\\n"]{10,}\.', family.help)


@each_family
def test_labels_are_bounded_and_distinct(family: Family) -> None:
    """No label can carry an id, a phone number, a file name, a URL or an error text."""
    assert set(family.labels) <= BOUNDED_LABELS
    assert len(set(family.labels)) == len(family.labels)


@each_family
def test_only_histograms_have_buckets_and_those_rise(family: Family) -> None:
    """Bounds are distinct, sorted, and without +Inf, which every histogram has."""
    assert bool(family.buckets) == (family.type is Type.HISTOGRAM)
    assert list(family.buckets) == sorted({*family.buckets} - {float("inf")})


def test_no_two_families_print_the_same_name() -> None:
    """Not even with the suffixes of their samples: OpenMetrics takes that for one broken family."""
    printed = [family.base_name + suffix for family in catalogue.ALL for suffix in SUFFIXES[family.type]]
    assert len(set(printed)) == len(printed)
    assert len({family.base_name for family in catalogue.ALL}) == len(catalogue.ALL)


def test_help_texts_of_state_say_that_values_are_cached() -> None:
    """Only what is configured, not gathered, is excepted."""
    not_gathered = {catalogue.SLO_DEADLINE, catalogue.SLO_OBJECTIVE, catalogue.STATE_CREATED}
    for family in catalogue.STATE:
        assert ("Gathered in the background and cached." in family.help) == (family not in not_gathered)


def test_help_texts_warn_of_sums_and_averages_that_lie() -> None:
    """Never summed over currencies, never averaged."""
    assert "Never sum over currencies." in catalogue.COST.help
    for family in (catalogue.DELIVERY_RATIO, catalogue.FALLBACK_RATIO):
        assert "Never average ratios" in family.help
    assert "Never average quantiles" in catalogue.DELIVERY_DURATION.help


def test_the_two_halves_are_the_whole() -> None:
    """State first, this process's own after it; nothing is in both."""
    assert catalogue.ALL == catalogue.STATE + catalogue.SELF
    assert catalogue.STATE[0] is catalogue.MESSAGES
    assert catalogue.STATE[-1] is catalogue.STATE_CREATED
    assert catalogue.SELF[0] is catalogue.API_UP
