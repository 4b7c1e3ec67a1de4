"""The demo as a stage: every panel is lit, every rule is sound, and who is on duty hears of trouble."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Type
from tests.conftest import program
from tests.dashboards.asked import Asked, queries
from tests.dashboards.stage import HURRIED, Stage, staged
from tests.kit.alerting import Told
from tests.kit.waiting import until
from tests.kit.web import ask
from tools.dashboards import build_rule_groups
from tools.dashboards.constants import JOB

RANGE_SECONDS = 10
LOOK_EVERY_SECONDS = 1.0
JOB_THAT_HANGS = "smsbat-hanging"
QUIET = {
    # Has a sample only while the provider asks for a pause: for seconds, now and then.
    "smsbat-exporter: Pauses and probes A",
    # Nobody posts ids over HTTP.
    "smsbat-exporter: Ids offered B",
}
"""Queries that may have nothing to show in the demo, by panel."""


VARIABLES = {"$__rate_interval": "4s", "$__range": "60s", "$__interval": "1s", "$job": JOB}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two demos, and all that looks at them."""
    with staged(tmp_path_factory.mktemp("live"), (JOB, JOB_THAT_HANGS), HURRIED) as stage:
        yield stage


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_what_is_scraped_keeps_the_contract(world: Stage) -> None:
    """Every metric of the catalogue that has samples has its type, its help and no label but its own."""
    text = ask(world.demos[JOB].address, "/metrics").text
    seen = {one.name: one for one in text_string_to_metric_families(text)}
    for family in catalogue.ALL:
        one = seen.pop(family.base_name)
        assert (one.type, one.documentation) == (family.type, family.help)
        allowed = {*family.labels, *({"le"} if family.type is Type.HISTOGRAM else ())}
        assert all(sample.labels.keys() <= allowed for sample in one.samples), family.name
    assert all(name.startswith(("process_", "python_")) for name in seen)


@pytest.mark.needs("prometheus", "prometheus-alertmanager", "promtool")
def test_promtool_finds_nothing_to_mend_in_what_is_scraped(world: Stage) -> None:
    """`promtool check metrics` is silent about the demo."""
    checked = subprocess.run(
        [program("promtool") or "promtool", "check", "metrics"],
        input=ask(world.demos[JOB].address, "/metrics").text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_prometheus_has_no_trouble_with_the_rules(world: Stage) -> None:
    """All of them are loaded and evaluated, and none reports an error."""

    def rules() -> list[dict[str, Any]] | None:
        groups = ask(world.prometheus.address, "/api/v1/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None

    found = until(rules, "every rule is evaluated")
    assert found is not None
    assert [(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"] == []
    assert len(found) == sum(
        len(topic.recorded) + len(topic.alerts) for topic in build_rule_groups().values()
    )


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_every_panel_has_something_to_show(world: Stage) -> None:
    """Each query of each dashboard has a finite sample in the demo, asked as its panel asks it."""
    dark = queries()
    assert dark.keys() >= QUIET

    def lit(query: Asked) -> bool:
        expression = query._replace(expression=world.accelerated.query(query.expression)).about(VARIABLES)
        if query.instant:
            found = [one["value"] for one in world.prometheus.query(expression)]
        else:
            now = float(world.prometheus.query("vector(time())")[0]["value"][1])
            series = world.prometheus.over_time(expression, begun_at=now - RANGE_SECONDS, ended_at=now)
            found = [value for one in series for value in one["values"]]
        return any(math.isfinite(float(value)) for _, value in found)

    def all_lit() -> bool:
        for name in [name for name, query in dark.items() if lit(query)]:
            del dark[name]
        return dark.keys() <= QUIET

    until(all_lit, dark.keys(), every_seconds=LOOK_EVERY_SECONDS)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_who_is_on_duty_hears_of_trouble_and_of_its_end(world: Stage) -> None:
    """The delivery alert arrives after an outage and after a standstill began, and is withdrawn after.

    Whether a standstill is told of as such too: the ratio of finished messages would not show it.
    """

    def calm(job: str, *alerts: str) -> bool:
        return not any(world.receiver.fires(job=job, alertname=name) for name in alerts)

    def hears(job: str, scenario: str, *alerts: str) -> None:
        def told(status: str, after_seconds: float, **labels: str) -> Told:
            found = until(
                lambda: world.receiver.first(status, after_seconds, job=job, **labels),
                f"{scenario}: {labels} is {status}",
            )
            assert found is not None
            return found

        # On a machine that is busy enough even a calm demo is late.
        until(lambda: calm(job, *alerts), f"{job} is calm")
        began_seconds = time.monotonic()
        world.demos[job].switch(scenario)
        first, *_ = [told("firing", began_seconds, alertname=name) for name in alerts]
        ended_seconds = time.monotonic()
        world.demos[job].switch("calm")
        told("resolved", ended_seconds, alertname=alerts[0], campaign=first.labels["campaign"])

    with ThreadPoolExecutor() as threads:
        outage = threads.submit(hears, JOB, "viber-outage", "SmsbatDeliveryRateLow")
        standstill = threads.submit(
            hears, JOB_THAT_HANGS, "hanging", "SmsbatDeliveryRateLow", "SmsbatMessagesStuck"
        )
        outage.result()
        standstill.result()
