"""Every query: it parses in both grammars, asks for what exists, and in a way that can't mislead."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    VectorSelector,
)

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type
from tests.conftest import program
from tools.dashboards import build_rule_groups, render_files
from tools.dashboards.constants import SCRAPE_INTERVAL_SECONDS

NOT_SHOWN = {
    "smsbat_delivery_ratio": "for readers without queries; the panels divide the counters",
    "smsbat_fallback_ratio": "for readers without queries; the panels divide the counters",
}
"""Metrics that no panel draws, and why."""
SUBSTITUTES = {
    # The shortest look back that there can be: four scrapes.
    "$__rate_interval": f"{4 * SCRAPE_INTERVAL_SECONDS}s",
    "$__interval": "60s",
    "$__range": "86400s",
}
TARGET_LABELS = frozenset({"job", "instance", "pod"})
"""What Prometheus adds to every series."""
OTHER_METRICS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "process_start_time_seconds": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_open_fds": frozenset[str](),
    "process_max_fds": frozenset[str](),
}
RECORDED = {rule.record: rule.expr for topic in build_rule_groups().values() for rule in topic.recorded}
RECORDED_LABELS = frozenset({"account", "campaign", "currency"})
RATES = {"rate", "increase", "changes"}
UNGUARDED = re.compile(r":lower_bound|:deviation")
"""Rules that divide by what another rule has made sure of: it has no sample where there is nothing."""


class Query(NamedTuple):
    """One query, and where it stands."""

    place: str
    text: str
    in_dashboard: bool


def _variable_queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in board["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert found is not None
        yield f"variable {variable['name']}", found[1]


def _dashboard_queries() -> Iterator[Query]:
    for name, text in render_files().items():
        if not name.endswith(".json"):
            continue
        board = json.loads(text)
        rows = [panel for panel in board["panels"] if panel["type"] == "row"]
        panels = [*board["panels"], *(panel for row in rows for panel in row["panels"])]
        for panel in panels:
            for target in panel.get("targets", ()):
                yield Query(f"{name}: {panel['title']} {target['refId']}", target["expr"], in_dashboard=True)
        for mark in board["annotations"]["list"]:
            yield Query(f"{name}: annotation {mark['name']}", mark["expr"], in_dashboard=True)
        for place, query in _variable_queries(board):
            yield Query(f"{name}: {place}", query, in_dashboard=True)


def _rule_queries() -> Iterator[Query]:
    for record, expr in RECORDED.items():
        yield Query(f"rule {record}", expr, in_dashboard=False)
    for topic in build_rule_groups().values():
        for alert in topic.alerts:
            yield Query(f"alert {alert.name} {alert.severity}", alert.expr, in_dashboard=False)


def concrete(text: str) -> str:
    """The query as Grafana would send it."""
    for variable, value in SUBSTITUTES.items():
        text = text.replace(variable, value)
    return re.sub(r"\$(job|account|campaign)\b", ".+", text)


QUERIES = [*_dashboard_queries(), *_rule_queries()]
EVERY_QUERY = [pytest.param(query, id=query.place) for query in QUERIES]


@cache
def _nodes(query: Query) -> list[Expr]:
    """Every part of the query, from the outside in."""
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(concrete(query.text)), found.append)
    return found


def _above_zero(divisor: Expr) -> bool:
    """Whether it is `(... > 0)`."""
    inner = divisor.expr if isinstance(divisor, ParenExpr) else divisor
    return (
        isinstance(inner, BinaryExpr)
        and str(inner.op) == ">"
        and isinstance(inner.rhs, NumberLiteral)
        and inner.rhs.val == 0
    )


@cache
def _family(name: str) -> Family | None:
    """The metric that a selector reads, by its name or that of a histogram's part."""
    for family in catalogue.ALL:
        parts = ("_bucket", "_count", "_sum") if family.type is Type.HISTOGRAM else ("",)
        if name in {family.name + part for part in parts}:
            return family
    return None


def possible_labels(name: str) -> frozenset[str]:
    """The labels that a metric can have."""
    family = _family(name)
    if family is not None:
        return TARGET_LABELS | set(family.labels) | ({"le"} if name.endswith("_bucket") else set())
    if name in RECORDED:
        return TARGET_LABELS | RECORDED_LABELS
    return TARGET_LABELS | OTHER_METRICS[name]


def _selectors(query: Query) -> list[VectorSelector]:
    return [node for node in _nodes(query) if isinstance(node, VectorSelector)]


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_query_parses(query: Query) -> None:
    """The grammar of Prometheus 2.45 and later takes it, without any experimental function."""
    calls = [node for node in _nodes(query) if isinstance(node, Call)]
    assert not [call.func.name for call in calls if call.func.experimental]


@pytest.mark.needs("promtool")
def test_every_query_parses_in_prometheus(tmp_path: Path) -> None:
    """The installed Prometheus takes every query too."""
    rules = [
        {"record": f"query:number:{number}", "expr": concrete(query.text)}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    ended = subprocess.run(
        [program("promtool") or "promtool", "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_query_asks_for_what_exists(query: Query) -> None:
    """Metrics and labels are those of the catalogue, of a rule, or of Prometheus."""
    possible: set[str] = set()
    for selector in _selectors(query):
        assert selector.name is not None
        assert _family(selector.name) or selector.name in RECORDED or selector.name in OTHER_METRICS
        labels = possible_labels(selector.name)
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
        possible |= labels
    for node in _nodes(query):
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= possible
        if isinstance(node, BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            assert set(node.modifier.matching.labels) <= possible


@pytest.mark.parametrize(
    "query", [query for query in QUERIES if query.in_dashboard], ids=lambda query: query.place
)
def test_dashboards_never_mix_jobs(query: Query) -> None:
    """Selectors take the chosen jobs only, and the chosen accounts and campaigns where they can."""
    concrete = re.sub(r"\$(job|account|campaign)\b", r"chosen-\1", query.text)
    found: list[Expr] = []
    for variable, value in SUBSTITUTES.items():
        concrete = concrete.replace(variable, value)
    promql_parser.walk(promql_parser.parse(concrete), found.append)
    for selector in (node for node in found if isinstance(node, VectorSelector)):
        chosen = {matcher.value for matcher in selector.matchers.matchers}
        possible = possible_labels(selector.name or "") & {"job", "account", "campaign"}
        if "variable" in query.place:
            # A variable can only look at those before it.
            possible &= set(re.findall(r"chosen-(\w+)", concrete)) | (
                set() if "variable job" in query.place else {"job"}
            )
        assert {f"chosen-{name}" for name in possible} <= chosen


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_counters_are_read_as_rates_and_gauges_never_are(query: Query) -> None:
    """A counter stands in rate or increase only, directly, over four scrapes at least; a gauge never."""
    nodes = _nodes(query)
    rated = [node.args[0] for node in nodes if isinstance(node, Call) and node.func.name in RATES]
    assert all(isinstance(argument, MatrixSelector) for argument in rated)
    names_rated = [argument.vector_selector.name for argument in rated]
    for matrix in (node for node in nodes if isinstance(node, MatrixSelector)):
        assert matrix.range >= timedelta(seconds=4 * SCRAPE_INTERVAL_SECONDS)
    if "variable" in query.place:
        return
    names = [selector.name for selector in _selectors(query)]
    for name in set(names):
        family = _family(name or "")
        if family is not None:
            times_rated = 0 if family.type is Type.GAUGE else names.count(name)
            assert names_rated.count(name) == times_rated


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_ratio_has_a_gap_where_there_is_nothing(query: Query) -> None:
    """Whatever is divided by is a number, or filtered to what is above 0."""
    if UNGUARDED.search(query.place):
        return
    for node in _nodes(query):
        if isinstance(node, BinaryExpr) and str(node.op) == "/" and not isinstance(node.rhs, NumberLiteral):
            assert _above_zero(node.rhs), node.rhs.prettify()
    assert not re.search(r"clamp_min\([^)]*, 1\)|vector\(0\)", query.text)


@pytest.mark.parametrize(
    "query", [query for query in QUERIES if query.in_dashboard], ids=lambda query: query.place
)
def test_graphs_look_back_as_far_as_their_step(query: Query) -> None:
    """Counters of dashboards are read over the step's interval or the whole range, never over a fixed one."""
    windows = set(re.findall(r"\[([^\]]+)\]", query.text))
    assert windows <= set(SUBSTITUTES)


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_shares_within_a_bucket_name_a_bound_that_exists(query: Query) -> None:
    """A matcher on `le` is one of the histogram's bounds, as Prometheus 3 writes it."""
    for selector in _selectors(query):
        family = _family(selector.name or "")
        for matcher in selector.matchers.matchers:
            if matcher.name == "le":
                assert family is not None
                assert matcher.value in {str(float(bound)) for bound in family.buckets}


def test_every_metric_is_in_a_panel_or_said_not_to_be() -> None:
    """What the exporter counts can be seen; what is left out is left out on purpose."""
    shown = {
        family.name
        for query in QUERIES
        if query.in_dashboard and "variable" not in query.place
        for selector in _selectors(query)
        if (family := _family(selector.name or "")) is not None
    }
    assert {family.name for family in catalogue.ALL} - shown == NOT_SHOWN.keys()


def test_every_recorded_series_is_read() -> None:
    """No rule records what no alert and no other rule reads."""
    read = {selector.name for query in QUERIES for selector in _selectors(query)}
    read |= set(
        re.findall(
            r"\b\w+:\w+:\w+\b",
            " ".join(a.description for t in build_rule_groups().values() for a in t.alerts),
        )
    )
    assert RECORDED.keys() <= read
