"""Generates the dashboards, rules and alerts in `grafana/` from the exporter's catalogue of metrics.

`make docs` writes them; a test compares the committed files with `render_files`.
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


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def render_files() -> dict[str, str]:
    """What each file holds, by its path in `grafana/`."""
    dashboards = {str(board["uid"]): board for board in (delivery.build(), cost.build(), health.build())}
    return {
        **{f"dashboards/{uid}.json": _format_json(board) for uid, board in dashboards.items()},
        "provisioning/dashboards/smsbat.yaml": _format_yaml(deploy.build_dashboard_provider()),
        "provisioning/datasources/smsbat.yaml": _format_yaml(deploy.build_datasource()),
        **{
            f"prometheus/smsbat.{name}.yaml": _format_yaml(_build_rule_file(name, group))
            for name, group in build_rule_groups().items()
        },
        "prometheus/prometheus.example.yaml": _format_yaml(deploy.build_prometheus()),
        "alertmanager/alertmanager.example.yaml": _format_yaml(deploy.build_alertmanager()),
    }


class RuleGroup(NamedTuple):
    """Rules that belong together: what is recorded, and the alerts that read it."""

    recorded: tuple[recording.RecordingRule, ...]
    alerts: tuple[Alert, ...]


def build_rule_groups() -> dict[str, RuleGroup]:
    """All rules, by the file that they are in."""
    return {
        "delivery": RuleGroup(recording.build_delivery(), campaign_alerts.build_delivery()),
        "cost": RuleGroup(recording.build_cost(), campaign_alerts.build_cost()),
        "provider": RuleGroup(recording.build_provider(), operation_alerts.build_provider()),
        "exporter": RuleGroup((), operation_alerts.build_exporter()),
    }


def _format_json(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _format_yaml(value: Json) -> str:
    return _HEADER + yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _build_rule_file(name: str, group: RuleGroup) -> Json:
    """A file of rules: one group, so that alerts see what was recorded in the same round."""
    recorded: list[Json] = [{"record": rule.record, "expr": rule.expr} for rule in group.recorded]
    rules = recorded + [_build_alert(alert) for alert in group.alerts]
    return {"groups": [{"name": f"smsbat-{name}", "interval": EVALUATION_INTERVAL, "rules": rules}]}


def _build_alert(alert: Alert) -> Json:
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
