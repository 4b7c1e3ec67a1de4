"""Generates the dashboards, rules and alerts in `grafana/` from the exporter's catalogue of metrics.

`make docs` writes them; a test compares the committed files with `contents`.
The package carries them, and its command `dashboards` copies them to users.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import yaml

from tools.dashboards import campaign_alerts, cost, delivery, deploy, health, operation_alerts, recording
from tools.dashboards.alert import FOR, KEEP_FIRING_FOR, Alert
from tools.dashboards.constants import EVALUATION_INTERVAL
from tools.dashboards.panels import Json

_HEADER = "# Made by `smsbat-exporter dashboards`; changes here are lost.\n"


class _Dumper(yaml.SafeDumper):
    """Writes long expressions as they were laid out."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def contents() -> dict[str, str]:
    """What each file holds, by its path below the folder of all."""
    dashboards = {str(board["uid"]): board for board in (delivery.build(), cost.build(), health.build())}
    return {
        **{f"dashboards/{uid}.json": _json(board) for uid, board in dashboards.items()},
        "provisioning/dashboards/smsbat.yaml": _yaml(deploy.dashboard_provider()),
        "provisioning/datasources/smsbat.yaml": _yaml(deploy.datasource()),
        **{f"prometheus/smsbat.{name}.yaml": _yaml(_rules(name, topic)) for name, topic in topics().items()},
        "prometheus/prometheus.example.yaml": _yaml(deploy.prometheus()),
        "alertmanager/alertmanager.example.yaml": _yaml(deploy.alertmanager()),
    }


class Topic(NamedTuple):
    """Rules that belong together: what is recorded, and the alerts that read it."""

    recorded: tuple[recording.Recorded, ...]
    alerts: tuple[Alert, ...]


def topics() -> dict[str, Topic]:
    """All rules, by the file that they are in."""
    return {
        "delivery": Topic(recording.delivery(), campaign_alerts.delivery()),
        "cost": Topic(recording.cost(), campaign_alerts.cost()),
        "provider": Topic(recording.provider(), operation_alerts.provider()),
        "exporter": Topic((), operation_alerts.exporter()),
    }


def _json(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _yaml(value: Json) -> str:
    return _HEADER + yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _rules(name: str, topic: Topic) -> Json:
    """A file of rules: one group, so that alerts see what was recorded in the same round."""
    recorded: list[Json] = [{"record": rule.record, "expr": rule.expr} for rule in topic.recorded]
    rules = recorded + [_alert(alert) for alert in topic.alerts]
    return {"groups": [{"name": f"smsbat-{name}", "interval": EVALUATION_INTERVAL, "rules": rules}]}


def _alert(alert: Alert) -> Json:
    keeping: Json = {"keep_firing_for": KEEP_FIRING_FOR} if alert.keeps_firing else {}
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": FOR[alert.severity],
        **keeping,
        "labels": {"severity": alert.severity, **alert.extra_labels},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook_url,
            "dashboard_url": alert.dashboard_url,
        },
    }
