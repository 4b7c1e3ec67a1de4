"""Files that put dashboards and rules in place: for Grafana, Prometheus and Alertmanager."""

from __future__ import annotations

from tools.dashboards.constants import DATASOURCE_UID, EVALUATION_INTERVAL, JOB, SCRAPE_INTERVAL_SECONDS
from tools.dashboards.panels import Json

_SCRAPE_INTERVAL = f"{SCRAPE_INTERVAL_SECONDS}s"


def build_dashboard_provider() -> Json:
    """Grafana loads every dashboard of the folder, and keeps them as they are."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "smsbat",
                "orgId": 1,
                "type": "file",
                "folder": "SMSBAT",
                "folderUid": "smsbat",
                "disableDeletion": True,
                "allowUiUpdates": False,
                # 10 or less switches to file events, which bind mounts often don't deliver.
                "updateIntervalSeconds": 30,
                "options": {"path": "/etc/grafana/dashboards/smsbat"},
            }
        ],
    }


def build_datasource() -> Json:
    """Grafana finds Prometheus; the scrape interval decides how far a rate looks back."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": DATASOURCE_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": "http://prometheus:9090",
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": _SCRAPE_INTERVAL},
            }
        ],
    }


def build_prometheus() -> Json:
    """An example: scrape the exporter, load the rules, send alerts to Alertmanager."""
    return {
        "global": {"scrape_interval": _SCRAPE_INTERVAL, "evaluation_interval": EVALUATION_INTERVAL},
        "rule_files": ["smsbat.*.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["localhost:9093"]}]}]},
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": ["localhost:10978"]}]}],
    }


def build_alertmanager() -> Json:
    """An example: pages apart from tickets, and causes that mute what follows from them."""
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", "job", "account"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [{"matchers": ['severity="critical"'], "receiver": "pager", "repeat_interval": "4h"}],
        },
        "receivers": [
            {"name": "pager", "webhook_configs": [{"url": "http://localhost:9095/pager"}]},
            {"name": "tickets", "webhook_configs": [{"url": "http://localhost:9095/tickets"}]},
        ],
        "inhibit_rules": [
            # An exporter that is down keeps windows full of the past: distrust all other alerts of its job.
            {
                "source_matchers": ['alertname=~"SmsbatExporterDown|SmsbatExporterAbsent"'],
                "target_matchers": ['alertname=~"Smsbat.*"', 'alertname!~"SmsbatExporter.*"'],
                "equal": ["job"],
            },
            # A provider that refuses or fails is the cause; silence, late polls and unseen messages follow.
            {
                "source_matchers": ['alertname=~"SmsbatKeyRevoked|SmsbatProviderFailing"'],
                "target_matchers": [
                    'alertname=~"SmsbatDataStale|SmsbatPollingBehind|SmsbatMessagesUnobserved|SmsbatMessagesStuck"'
                ],
                "equal": ["job", "account"],
            },
            # Of the alerts about one campaign's delivery the first one says it all.
            {
                "source_matchers": ['alertname="SmsbatDeliveryRateLow"'],
                "target_matchers": ['alertname=~"SmsbatDeliveryRateDropped|SmsbatDeliveryBudgetBurn"'],
                "equal": ["job", "account", "campaign"],
            },
        ],
    }
