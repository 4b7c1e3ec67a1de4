"""Write anew what is made by program: `python -m tests.dashboards.regenerate`.

The files for users come from the exporter itself. The unit tests of the rules
lie beside them, since promtool runs them without Python, and the runbooks hold
the table of thresholds.
"""

from __future__ import annotations

from pathlib import Path

from exporter.metrics.thresholds import LAG_SECONDS, Threshold
from tests.dashboards import cost_scenes, delivery_scenes, operation_scenes
from tests.dashboards.scenes import Scene, documents
from tools.dashboards import constants, render_files

ROOT = Path(__file__).parents[2]
RUNBOOKS = "docs/runbooks.md"
SCENES: dict[str, tuple[Scene, ...]] = {
    "delivery": delivery_scenes.DELIVERY,
    "cost": cost_scenes.COST,
    "provider": operation_scenes.PROVIDER,
    "exporter": operation_scenes.EXPORTER,
}
_BEGIN, _END = "<!-- thresholds: made by program -->\n", "<!-- end of thresholds -->\n"


def expected() -> dict[str, str]:
    """What each file must hold, by its path in the checkout."""
    files = {f"grafana/{name}": text for name, text in render_files().items()}
    for topic, scenes in SCENES.items():
        tests = documents(topic, scenes)
        files |= {f"grafana/prometheus/tests/{name}": text for name, text in tests.items()}
    return files | {RUNBOOKS: _with_table((ROOT / RUNBOOKS).read_text("utf-8"))}


def limits() -> tuple[Threshold, ...]:
    """Every threshold, in order of appearance."""
    named = (value for value in vars(constants).values() if isinstance(value, Threshold))
    return (*named, *LAG_SECONDS.values())


def _with_table(runbooks: str) -> str:
    before, _, rest = runbooks.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = ["| Threshold | Value |", "|---|---|"]
    lines += [f"| {limit.meaning} | {_written(limit)} |" for limit in limits()]
    return f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n\n{_END}{after}"


def _written(limit: Threshold) -> str:
    return f"{limit.value:.0%}" if limit.unit == "ratio" else f"{limit} {limit.unit}".strip()


if __name__ == "__main__":
    for name, text in expected().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
