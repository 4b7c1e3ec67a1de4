"""Go through every scenario of the demo and see which alerts fire: `python -m tests.dashboards.scenarios`.

Each begins with a calm demo of its own, whose hours are as many times shorter as the rules' are (see
`stage`). Prints what fired and what got through Alertmanager, and ends with 1 when an alert that belongs
to a scenario doesn't fire, when one fires in calm, or when one fires nowhere. Takes half an hour in all;
names of scenarios as arguments run only those.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from exporter.simulator.scenarios import SCENARIOS
from tests.dashboards.stage import SPEED, Demo, Stage, staged
from tests.kit.waiting import until
from tools.dashboards import build_rule_groups
from tools.dashboards.constants import JOB

CALM_SECONDS = 90.0
"""Three quarters of an hour of the demo: what is normal must be known before."""
LONG_SECONDS = 240.0
"""Two hours of it."""
SHORT_SECONDS = 15.0
"""Where nothing must be known; long enough for Prometheus to find its targets."""
LONGER_SECONDS = 20.0
"""After the last one that was waited for, others may follow."""
_FIRED = 'group by (alertname) (last_over_time(ALERTS{alertstate="firing"}[1h]))'


class Case(NamedTuple):
    """One thing that happens to a calm demo, and who must hear of it."""

    happens: Callable[[Demo], None]
    alerts: frozenset[str]
    calm_seconds: float = CALM_SECONDS


def _switched(scenario: str, *alerts: str) -> Case:
    return Case(lambda demo: demo.switch(scenario), frozenset(f"Smsbat{name}" for name in alerts))


def _hide_drop(demo: Demo) -> None:
    demo.drop.rename(demo.drop.with_suffix(".hidden"))


def _nothing(_: Demo) -> None:
    """Watch a calm demo go on."""


def _stop(demo: Demo) -> None:
    demo.running.kill()


CASES: Mapping[str, Case] = {
    "calm": Case(_nothing, frozenset()),
    "campaign": _switched("campaign", "PollingBehind"),
    "viber-outage": _switched(
        "viber-outage", "DeliveryRateLow", "DeliveryRateDropped", "DeliveryBudgetBurn", "FallbackHigh"
    ),
    "slow-sms": _switched("slow-sms", "DeliveryRateLow", "DeliveryRateDropped", "DeliveryBudgetBurn"),
    "key-revoked": _switched("key-revoked", "KeyRevoked", "DataStale", "MessagesUnobserved"),
    "failing": _switched("failing", "ProviderFailing"),
    # An hour is dear only beside earlier ones.
    "cost-spike": _switched("cost-spike", "SpendHigh")._replace(calm_seconds=LONG_SECONDS),
    "hanging": _switched("hanging", "DeliveryRateLow", "MessagesStuck"),
    "drop directory hidden": Case(_hide_drop, frozenset({"SmsbatDropDirectoryFailing"}), SHORT_SECONDS),
    "process stopped": Case(_stop, frozenset({"SmsbatExporterDown"}), SHORT_SECONDS),
    "not scraped": Case(_nothing, frozenset({"SmsbatExporterAbsent"}), SHORT_SECONDS),
}
assert CASES.keys() >= SCENARIOS.keys()


def fired(stage: Stage) -> frozenset[str]:
    """The names of all alerts that have fired since Prometheus runs."""
    return frozenset(name for (name,) in stage.prometheus.values(_FIRED, "alertname"))


def told(stage: Stage) -> frozenset[str]:
    """The names of those that got through: what follows from another one is muted."""
    return frozenset(one.labels["alertname"] for one in list(stage.receiver.told) if one.status == "firing")


class Outcome(NamedTuple):
    """What became of one case."""

    early: frozenset[str]
    """What fired in the calm before."""
    fired: frozenset[str]
    told: frozenset[str]


def play(name: str, folder: Path) -> Outcome:
    """Let one case happen, wait for its alerts, and a little longer."""
    # Alerts of exporters that Prometheus doesn't know can't name another job.
    job = f"not-{JOB}" if name == "not scraped" else JOB
    with staged(folder, (job,), SPEED) as stage:
        time.sleep(CASES[name].calm_seconds)
        early = fired(stage) - CASES[name].alerts
        CASES[name].happens(stage.demos[job])
        with contextlib.suppress(AssertionError):
            until(
                lambda: fired(stage) >= CASES[name].alerts,
                "its alerts fire",
                every_seconds=0.5,
            )
        time.sleep(LONGER_SECONDS if CASES[name].alerts else CALM_SECONDS)
        return Outcome(early, fired(stage) - early, told(stage) - early)


def main() -> int:
    """Play the cases that are asked for, or all; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(CASES)}")
    chosen = parser.parse_args().scenario or list(CASES)
    if unknown := set(chosen) - CASES.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    bad, all_fired = 0, frozenset[str]()
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="smsbat-scenario-") as folder:
            outcome = play(name, Path(folder))
        all_fired |= outcome.fired
        missing = CASES[name].alerts - outcome.fired
        bad += bool(missing or outcome.early or (name == "calm" and outcome.fired))
        print(f"{name}\n  fired   {_words(outcome.fired)}\n  told    {_words(outcome.told)}")
        for label, names in (("MISSING", missing), ("EARLY", outcome.early)):
            if names:
                print(f"  {label} {_words(names)}")
        sys.stdout.flush()
    if chosen == list(CASES):
        every = {alert.name for topic in build_rule_groups().values() for alert in topic.alerts}
        never = frozenset(every - all_fired)
        print(f"fired nowhere: {_words(never)}")
        bad += bool(never)
    return 1 if bad else 0


def _words(names: frozenset[str]) -> str:
    return ", ".join(sorted(name.removeprefix("Smsbat") for name in names)) or "-"


if __name__ == "__main__":
    sys.exit(main())
