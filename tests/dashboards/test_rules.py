"""The rules: their form, their texts and links, and that each alert does what its scenes say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import promql_parser
import pytest
import yaml
from promql_parser import BinaryExpr, Call, Expr

from tests.conftest import program
from tests.dashboards.regenerate import ROOT, RUNBOOKS, SCENES
from tests.dashboards.scenes import KINDS, documents
from tools.dashboards import build_rule_groups, burn, constants, render_files
from tools.dashboards.alert import FOR, Alert
from tools.dashboards.burn import ObjectiveClass

PROMETHEUS = ROOT / "grafana" / "prometheus"
CONTENTS = render_files()
ALERTS = [alert for topic in build_rule_groups().values() for alert in topic.alerts]
EVERY_ALERT = [
    pytest.param(alert, id=" ".join((alert.name, *alert.extra_labels.values()))) for alert in ALERTS
]
MOST_ALERTS = 14
LONGEST_SUMMARY = 80
COMPARISONS = {">", "<", ">=", "<=", "==", "!="}


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    name, *rest = map(str, arguments)
    return subprocess.run([program(name) or name, *rest], capture_output=True, text=True, check=False)


# --- form ---------------------------------------------------------------------------------------------


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    """Every file of rules passes the checks, lint included, and the example configuration loads them all."""
    checked = _run(
        "promtool", "check", "rules", "--lint=all", "--lint-fatal", *PROMETHEUS.glob("smsbat.*.yaml")
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    example = _run("promtool", "check", "config", PROMETHEUS / "prometheus.example.yaml")
    assert example.returncode == 0, example.stdout + example.stderr
    assert example.stdout.count("rules found") == len(build_rule_groups())


@pytest.mark.needs("amtool")
def test_amtool_finds_nothing_wrong_with_the_example() -> None:
    """Alertmanager takes the example."""
    checked = _run("amtool", "check-config", ROOT / "grafana" / "alertmanager" / "alertmanager.example.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_recorded_series_are_named_for_level_metric_and_operation() -> None:
    """Each recorded name has the three parts that Prometheus recommends, and is unique."""
    names = [rule.record for topic in build_rule_groups().values() for rule in topic.recorded]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"(campaign|account):[a-z_]+:[a-z_0-9]+", name) for name in names)


def test_alerts_are_few() -> None:
    """There are no more names than a person can know."""
    assert len({alert.name for alert in ALERTS}) <= MOST_ALERTS


@pytest.mark.parametrize("alert", EVERY_ALERT)
def test_an_alert_compares_something(alert: Alert) -> None:
    """An expression without a comparison would fire for every series."""
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(alert.expr), found.append)
    assert any(
        (isinstance(node, BinaryExpr) and str(node.op) in COMPARISONS)
        or (isinstance(node, Call) and node.func.name == "absent")
        for node in found
    )


@pytest.mark.parametrize("alert", EVERY_ALERT)
def test_an_alert_is_named_and_graded_like_the_others(alert: Alert) -> None:
    """Names begin with the product, severities are known, and no label holds a value that changes."""
    assert re.fullmatch(r"Smsbat[A-Z][A-Za-z]+", alert.name)
    assert alert.severity in FOR
    assert not any("$" in value for value in alert.extra_labels.values())


@pytest.mark.parametrize("alert", EVERY_ALERT)
def test_an_alert_says_whom_how_much_and_what_to_do(alert: Alert) -> None:
    """The summary is short, the description has a first step, and both use labels that the alert has."""
    assert len(re.sub(r"\{\{.*?\}\}", "a-long-name", alert.summary)) <= LONGEST_SUMMARY
    assert "First step: " in alert.description
    used = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description + alert.dashboard_url))
    assert used <= set(alert.labels)


# --- links --------------------------------------------------------------------------------------------


def _sections() -> dict[str, str]:
    """The runbooks' sections about alerts, by their anchor."""
    parts = re.split(r"^## ", (ROOT / RUNBOOKS).read_text("utf-8"), flags=re.MULTILINE)[1:]
    named = {part.partition("\n")[0]: part for part in parts}
    return {title.lower(): text for title, text in named.items() if title.startswith("Smsbat")}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The links' anchors are the runbooks' headings, and none is left over."""
    anchors = {urlsplit(alert.runbook_url).fragment for alert in ALERTS}
    assert anchors == _sections().keys()
    assert {urlsplit(alert.runbook_url).path for alert in ALERTS} == {RUNBOOKS}


@pytest.mark.parametrize("anchor", _sections())
def test_a_runbook_says_what_it_means_and_what_to_do(anchor: str) -> None:
    """Each section has its four parts, in order."""
    parts = re.findall(r"^\*\*(\w+)\.\*\*", _sections()[anchor], flags=re.MULTILINE)
    assert parts == ["Meaning", "Impact", "Check", "Fix"]


@pytest.mark.parametrize("alert", EVERY_ALERT)
def test_an_alert_leads_to_a_dashboard_that_exists(alert: Alert) -> None:
    """The link's dashboard is one of ours, and its variables are the dashboard's."""
    link = urlsplit(alert.dashboard_url)
    assert f"dashboards/{link.path.removeprefix('/d/')}.json" in CONTENTS
    assert parse_qs(link.query).keys() <= {"var-job", "var-account", "var-campaign"}


def test_inhibition_names_alerts_that_exist() -> None:
    """The causes and consequences in the example of Alertmanager are names of alerts."""
    example = yaml.safe_load(CONTENTS["alertmanager/alertmanager.example.yaml"])
    names = {alert.name for alert in ALERTS}
    for rule in example["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = matcher.partition('"')[2].rstrip('"')
            assert all(any(re.fullmatch(one, name) for name in names) for one in pattern.split("|"))


# --- burn rates ---------------------------------------------------------------------------------------


def test_a_burn_rate_that_can_not_be_reached_is_refused() -> None:
    """14.4 times what an objective of 0.95 allows is 72 % of all messages: nobody would ever be told."""
    with pytest.raises(ValueError, match="waits for 72% misses"):
        burn.check_classes((ObjectiveClass(0.95, 1.01, (14.4, 6, 1)),))


def test_every_objective_has_one_class() -> None:
    """Classes without a gap from 0.4 to 1; a table with a gap is refused."""
    for percent in range(40, 101):
        assert sum(one.low <= percent / 100 < one.high for one in burn.check_classes()) == 1
    with pytest.raises(ValueError, match=r"no class for objectives from 0\.9 to 0\.95"):
        burn.check_classes((ObjectiveClass(0.95, 1.01, (1, 1, 1)), ObjectiveClass(0.4, 0.9, (1, 1, 1))))


@pytest.mark.parametrize("one", burn.check_classes(), ids=lambda one: f"from {one.low}")
def test_a_faster_pace_asks_for_more(one: ObjectiveClass) -> None:
    """The shorter the window, the larger the factor, and none is below the budget itself."""
    assert list(one.factors) == sorted(one.factors, reverse=True)
    assert min(one.factors) == 1
    assert one.largest_share <= constants.BURN_CEILING.value + 1e-9


# --- what alerts do -----------------------------------------------------------------------------------


def test_scenes_show_every_alert_in_every_way() -> None:
    """Each alert has scenes of firing, just below, low volume and a restart, and ends with nobody firing."""
    scenes = [scene for topic in SCENES.values() for scene in topic]
    for name in {alert.name for alert in ALERTS}:
        mine = [scene for scene in scenes if scene.alert == name]
        assert frozenset[str]().union(*(scene.kinds for scene in mine)) >= KINDS
        assert any(not list(scene.firing.values())[-1] for scene in mine)
        assert any(scene.text is not None for scene in mine)
    assert {scene.matcher for scene in scenes if scene.matcher} == {
        f',pace="{pace.name}"' for pace in burn.PACES
    }


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    "name", [name for topic, scenes in SCENES.items() for name in documents(topic, scenes)]
)
def test_alerts_fire_when_they_should_and_only_then(name: str) -> None:
    """Prometheus plays every scene: who fires, who doesn't, what is said, and that it ends."""
    played = _run("promtool", "test", "rules", PROMETHEUS / "tests" / name)
    assert played.returncode == 0, played.stdout + played.stderr
