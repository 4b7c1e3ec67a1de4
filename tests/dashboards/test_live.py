"""The demo, a real Prometheus with the shipped rules, a real Alertmanager, and somebody who is told.

The demo's clock runs `SPEED` times as fast, and the rules' durations are divided by
`DIVISOR`: what takes two hours in earnest takes less than a minute here.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter import families
from exporter.dashboards import contents, topics
from exporter.dashboards.constants import JOB
from exporter.families import Type
from tests.dashboards.accelerated import Accelerated
from tests.kit.alerting import Receiver, Told, alertmanager, receiving
from tests.kit.daemon import sum_of
from tests.kit.processes import EXPORTER, START_SECONDS, Running
from tests.kit.prometheus import Prometheus, prometheus
from tests.kit.waiting import until
from tests.kit.web import ask

SPEED = 30
DIVISOR = 120
PATIENCE_SECONDS = 120.0
"""For what should take half a minute, on a machine that is busy with other things too."""
RANGE_SECONDS = 10
LOOK_EVERY_SECONDS = 1.0
JOB_THAT_HANGS = "smsbat-hanging"
QUIET = {
    # Has a sample only while the provider asks for a pause: for seconds, now and then.
    "smsbat-exporter: Pauses and probes A",
}
"""Queries that may have nothing to show in the demo, by panel."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs."""

    address: str
    provider: str

    def switch(self, scenario: str) -> None:
        """Let the provider go through something else from now on."""
        assert ask(self.provider, f"/-/scenario/{scenario}", method="POST").status == 200


@dataclass(frozen=True, slots=True)
class World:
    """All that runs."""

    demos: dict[str, Demo]
    """By job."""
    prometheus: Prometheus
    receiver: Receiver
    accelerated: Accelerated


def _demo(stack: ExitStack, folder: Path) -> Demo:
    folder.mkdir()
    argv = [*EXPORTER, "demo", f"--speed={SPEED}", "--web.listen-address=127.0.0.1:0"]
    running = stack.enter_context(Running(argv, folder / "demo.log"))

    def opened() -> Demo | None:
        assert running.runs, running.said()
        found = re.search(
            r"metrics +http://(\S+)/metrics\n.*provider +http://([^/]+)/", running.printed(), re.DOTALL
        )
        return Demo(found[1], found[2]) if found else None

    demo = until(opened, "the demo says what to open", within_seconds=2 * START_SECONDS)
    assert demo is not None
    return demo


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two demos, and all that looks at them."""
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as stack:
        demos = {job: _demo(stack, folder / job) for job in (JOB, JOB_THAT_HANGS)}
        began_at = sum_of(demos[JOB_THAT_HANGS].address, families.STATE_CREATED.name)
        assert began_at is not None
        accelerated = Accelerated(DIVISOR, clock_speed=SPEED, began_at_seconds=began_at)
        for name, text in accelerated.rules().items():
            (folder / name).write_text(text, "utf-8")
        receiver = stack.enter_context(receiving())
        manager = stack.enter_context(alertmanager(folder, accelerated.alertmanager(receiver.url)))
        targets = {job: demo.address for job, demo in demos.items()}
        running = stack.enter_context(
            prometheus(folder, accelerated.prometheus(manager, targets), "--rules.alert.resend-delay=1s")
        )
        yield World(demos, running, receiver, accelerated)


def _panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else (panel,)


class Query(NamedTuple):
    """One query of a panel."""

    expression: str
    instant: bool


def _queries() -> dict[str, Query]:
    """The queries of all panels, by a name for each."""
    found = {}
    for name, text in contents().items():
        if name.startswith("dashboards/"):
            board = json.loads(text)
            for panel in _panels(board):
                for target in panel["targets"]:
                    found[f"{board['uid']}: {panel['title']} {target['refId']}"] = Query(
                        target["expr"], target["instant"]
                    )
    return found


VARIABLES = {
    "$__rate_interval": "4s",
    "$__range": "60s",
    "$__interval": "1s",
    "$job": JOB,
    "$account": ".+",
    "$campaign": ".+",
}


def _put_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_what_is_scraped_keeps_the_contract(world: World) -> None:
    """Every metric of the catalogue that has samples has its type, its help and no label but its own."""
    text = ask(world.demos[JOB].address, "/metrics").text
    seen = {one.name: one for one in text_string_to_metric_families(text)}
    for family in families.ALL:
        one = seen.pop(family.base_name)
        assert (one.type, one.documentation) == (family.type, family.help)
        allowed = {*family.labels, *({"le"} if family.type is Type.HISTOGRAM else ())}
        assert all(sample.labels.keys() <= allowed for sample in one.samples), family.name
    assert all(name.startswith(("process_", "python_")) for name in seen)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_prometheus_has_no_trouble_with_the_rules(world: World) -> None:
    """All of them are loaded and evaluated, and none reports an error."""

    def rules() -> list[dict[str, Any]] | None:
        groups = ask(world.prometheus.address, "/api/v1/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None

    found = until(rules, "every rule is evaluated", within_seconds=PATIENCE_SECONDS)
    assert found is not None
    assert [(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"] == []
    assert len(found) == sum(len(topic.recorded) + len(topic.alerts) for topic in topics().values())


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_every_panel_has_something_to_show(world: World) -> None:
    """Each query of each dashboard has a finite sample in the demo, asked as its panel asks it."""
    dark = _queries()
    assert dark.keys() >= QUIET

    def lit(query: Query) -> bool:
        expression = _put_in(world.accelerated.query(query.expression))
        if query.instant:
            found = [one["value"] for one in world.prometheus.query(expression)]
        else:
            now = float(world.prometheus.query("vector(time())")[0]["value"][1])
            series = world.prometheus.over_time(expression, begun_at=now - RANGE_SECONDS, ended_at=now)
            found = [value for one in series for value in one["values"]]
        return any(math.isfinite(float(value)) for _, value in found)

    def still_dark() -> list[str]:
        for name in [name for name, query in dark.items() if lit(query)]:
            del dark[name]
        return sorted(dark.keys() - QUIET)

    deadline_seconds = time.monotonic() + PATIENCE_SECONDS
    while left := still_dark():
        assert time.monotonic() < deadline_seconds, left
        time.sleep(LOOK_EVERY_SECONDS)


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
def test_who_is_on_duty_hears_of_trouble_and_of_its_end(world: World) -> None:
    """The delivery alert arrives after an outage and after a standstill began, and is withdrawn after.

    Whether a standstill is told of as such too: the ratio of finished messages would not show it.
    """
    assert world.receiver.first("firing", alertname="SmsbatDeliveryRateLow") is None

    def hears(job: str, scenario: str, *alerts: str) -> None:
        def told(status: str, after_seconds: float, **labels: str) -> Told:
            found = until(
                lambda: world.receiver.first(status, after_seconds, job=job, **labels),
                f"{scenario}: {labels} is {status}",
                within_seconds=PATIENCE_SECONDS,
            )
            assert found is not None
            return found

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
