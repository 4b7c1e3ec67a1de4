"""Scenes for promtool: made-up series, and who an alert must fire for at which minute.

In a scene several subjects (campaigns, accounts, instances) live side by side,
each named for what it shows: `fires`, `just-below`, `few`, `restarts`, and
whatever else is worth showing. All end healthy, so that the alert resolves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

KINDS = frozenset({"fires", "just-below", "few", "restarts"})
"""What the scenes of every alert must show, besides that it resolves."""

TARGET = 'job="smsbat",instance="one:10978"'
"""What Prometheus adds to every series."""

Series = dict[str, str]
"""Values in promtool's notation, by selector."""
Text = tuple[str, str, str]
"""Summary, description, and the dashboard's link."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One alert, and what must become of it."""

    alert: str
    subject: str
    """The label that tells subjects apart."""
    series: Series
    firing: Mapping[int, frozenset[str]]
    """Whom the alert fires for, by minute."""
    labels: Mapping[str, str]
    """Of the alert that fires, when its texts are checked too."""
    text: Text | None = None
    matcher: str = ""
    """Narrows the alert, where several rules share the name."""
    interval: str = "1m"
    shows: frozenset[str] = frozenset()
    """Kinds shown by something else than a subject of that name."""

    @property
    def kinds(self) -> frozenset[str]:
        """What the scene shows: every value of the subject's label."""
        marker = f'{self.subject}="'
        named = (key.partition(marker)[2].partition('"')[0] for key in self.series)
        return self.shows | {name for name in named if name}


def of_campaign(name: str, campaign: str, values: str, extra: str = "") -> Series:
    """One series of a campaign; `extra` are more labels, with a comma before them."""
    return {f'{name}{{{TARGET},account="main",campaign="{campaign}"{extra}}}': values}


def every(*parts: Series) -> Series:
    """All of these series."""
    return {selector: values for part in parts for selector, values in part.items()}


def at(minute: int, *names: str) -> tuple[int, frozenset[str]]:
    """Who fires at this minute; nobody without names."""
    return minute, frozenset(names)


def documents(topic: str, scenes: tuple[Scene, ...]) -> dict[str, str]:
    """The files that `promtool test rules` reads for a file of rules, by name: one for each interval.

    Rules are evaluated as often as there are samples: a scene of a day would take long by the minute.
    """
    intervals = sorted({scene.interval for scene in scenes})
    return {f"{topic}.{interval}.yaml": _document(topic, interval, scenes) for interval in intervals}


def _document(topic: str, interval: str, scenes: tuple[Scene, ...]) -> str:
    whole = {
        "rule_files": [f"../smsbat.{topic}.yaml"],
        "evaluation_interval": interval,
        "tests": [_test(scene) for scene in scenes if scene.interval == interval],
    }
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=1000)


def _test(scene: Scene) -> dict[str, object]:
    matchers = f'alertname="{scene.alert}",alertstate="firing"{scene.matcher}'
    found = [
        {
            "expr": f"group by ({scene.subject}) (ALERTS{{{matchers}}})",
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{{scene.subject}="{name}"}}', "value": 1} for name in sorted(names)
            ],
        }
        for minute, names in scene.firing.items()
    ]
    test: dict[str, object] = {
        "name": scene.alert + scene.matcher,
        "interval": scene.interval,
        "input_series": [{"series": key, "values": values} for key, values in scene.series.items()],
        "promql_expr_test": found,
    }
    if scene.text is not None:
        test["alert_rule_test"] = [_texts(scene, scene.text)]
    return test


def _texts(scene: Scene, text: Text) -> dict[str, object]:
    summary, description, dashboard_url = text
    annotations = {
        "summary": summary,
        "description": description,
        "runbook_url": f"docs/runbooks.md#{scene.alert.lower()}",
        "dashboard_url": dashboard_url,
    }
    return {
        "eval_time": f"{next(minute for minute, names in scene.firing.items() if names)}m",
        "alertname": scene.alert,
        "exp_alerts": [{"exp_labels": dict(scene.labels), "exp_annotations": annotations}],
    }
