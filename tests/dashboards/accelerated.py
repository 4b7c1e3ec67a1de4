"""The shipped rules and configurations with every duration divided by one number.

What takes hours to fire and to resolve can be watched in seconds. Expressions,
thresholds, labels and texts stay what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.dashboards import render_files

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d+)(ms|[smhdw])")
_IN_QUERY = re.compile(r"\[[0-9a-z:]+\]|\boffset \d+[a-z]+")
_DURATION_KEYS = {
    "for",
    "keep_firing_for",
    "interval",
    "scrape_interval",
    "evaluation_interval",
    "group_wait",
    "group_interval",
    "repeat_interval",
}


class Accelerated:
    """What the files hold when every duration is divided by `divisor`."""

    def __init__(self, divisor: int, *, clock_speed: float, at_seconds: float, shown_seconds: float) -> None:
        """The exporter's clock showed `shown_seconds` at `at_seconds`, and runs `clock_speed` times as fast.

        Expressions that compare its timestamps with the time must know: Prometheus' own clock doesn't hurry.
        """
        self._divisor = divisor
        self._now = f"({shown_seconds:.3f} + {clock_speed} * (time() - {at_seconds:.3f}))"

    def rules(self) -> dict[str, str]:
        """The files of rules, by name."""
        return {
            Path(name).name: json.dumps(self._of(yaml.safe_load(text)))
            for name, text in render_files().items()
            if name.startswith("prometheus/smsbat.")
        }

    def prometheus(self, alertmanager: str, targets: Mapping[str, str]) -> dict[str, Any]:
        """The example for Prometheus, with these targets (host:port) by job."""
        config = self._of(yaml.safe_load(render_files()["prometheus/prometheus.example.yaml"]))
        config["global"]["scrape_timeout"] = config["global"]["scrape_interval"]
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
        config["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ]
        return dict(config)

    def alertmanager(self, receiver_url: str) -> dict[str, Any]:
        """The example for Alertmanager, with everything sent to `receiver_url`."""
        config = self._of(yaml.safe_load(render_files()["alertmanager/alertmanager.example.yaml"]))
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": f"{receiver_url}/{receiver['name']}"}]
        return dict(config)

    def query(self, expression: str) -> str:
        """An expression with its ranges and offsets divided, and the time as the exporter knows it."""
        faster = _IN_QUERY.sub(lambda found: self._durations(found[0]), expression)
        return faster.replace("time()", self._now)

    def _of(self, value: Any, key: str = "") -> Any:  # noqa: ANN401 - whatever the YAML holds
        if isinstance(value, dict):
            return {name: self._of(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._of(item) for item in value]
        if key in _DURATION_KEYS:
            return self._durations(value)
        return self.query(value) if key == "expr" else value

    def _durations(self, text: str) -> str:
        return _DURATION.sub(lambda found: f"{int(found[1]) * _UNIT_MS[found[2]] // self._divisor}ms", text)
