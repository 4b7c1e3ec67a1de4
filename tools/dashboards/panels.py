"""Panels as frozen values: what is asked, how it is drawn, and the JSON that Grafana reads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tools.dashboards import constants

Json: TypeAlias = dict[str, object]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
NO_TRAFFIC = "no traffic in range"

SHARE, SECONDS, COUNT, TIMES = "percentunit", "s", "short", "none"
WHOLE = "locale"
"""Counts to the last one, for headlines and tables: 12,345."""
DECIMALS: Mapping[str, int] = {SHARE: 1, SECONDS: 1, COUNT: 0, WHOLE: 0, TIMES: 2, "bytes": 1}


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str = ""
    """Template of the series' names; empty for a single value."""
    instant: bool = False
    form: str = "time_series"
    """Or `table`, or `heatmap`."""
    min_step: str = ""

    def to_json(self, ref_id: str) -> Json:
        """One entry of `targets`."""
        answer: Json = {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.form,
            "instant": self.instant,
            "legendFormat": self.legend or ref_id,
            "range": not self.instant,
            "refId": ref_id,
        }
        return answer | ({"interval": self.min_step} if self.min_step else {})


def query_now(expr: str, legend: str = "") -> Target:
    """A single value at the end of the range."""
    return Target(expr, legend, instant=True)


def query_ratio(expr: str, legend: str) -> Target:
    """A share over time, with a step that quiet campaigns can bear."""
    return Target(expr, legend, min_step=constants.RATIO_STEP)


def query_column(expr: str) -> Target:
    """One column of a table."""
    return Target(expr, instant=True, form="table")


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `width` and `height` in grid units, of which a row has 24."""

    kind: str
    title: str
    description: str
    targets: tuple[Target, ...]
    unit: str
    width: int = 12
    height: int = 8
    decimals: int | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    steps: tuple[tuple[float | None, str], ...] = ((None, constants.GREEN),)
    """(from, colour) of the thresholds, the first from minus infinity."""
    colour: Mapping[str, object] | None = None
    custom: Mapping[str, object] | None = None
    mappings: tuple[Json, ...] = ()
    overrides: tuple[Json, ...] = ()
    links: tuple[Json, ...] = ()
    no_value: str = ""
    options: Mapping[str, object] | None = None
    transformations: tuple[Json, ...] = ()

    @property
    def id(self) -> int:
        """The same for as long as the title is: links to single panels survive a new order."""
        return zlib.crc32(self.title.encode()) % 1_000_000 + 1

    def to_json(self, x: int, y: int) -> Json:
        """The panel at this place of the grid."""
        answer: Json = {
            "datasource": DATASOURCE,
            "description": self.description,
            "fieldConfig": {"defaults": self._build_defaults(), "overrides": list(self.overrides)},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": self.id,
            "options": dict(self.options or {}),
            "targets": [target.to_json(chr(ord("A") + i)) for i, target in enumerate(self.targets)],
            "title": self.title,
            "type": self.kind,
        }
        return answer | ({"transformations": list(self.transformations)} if self.transformations else {})

    def _build_defaults(self) -> Json:
        low, high = self.bounds
        answer: Json = {
            "color": dict(self.colour or {"mode": "thresholds"}),
            "custom": dict(self.custom or {}),
            "decimals": DECIMALS.get(self.unit, 2) if self.decimals is None else self.decimals,
            "links": list(self.links),
            "mappings": list(self.mappings),
            "thresholds": {
                "mode": "absolute",
                "steps": [{"color": colour, "value": start} for start, colour in self.steps],
            },
            "unit": self.unit,
        }
        answer |= {"min": low} if low is not None else {}
        answer |= {"max": high} if high is not None else {}
        return answer | ({"noValue": self.no_value} if self.no_value else {})


def build_stat(title: str, description: str, unit: str, *targets: Target) -> Panel:
    """A headline: one number, no sparkline."""
    options: Json = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
        "wideLayout": True,
    }
    fixed = {"mode": "fixed", "fixedColor": "text"}
    return Panel(
        "stat", title, description, targets, unit, 4, 4, no_value=NO_TRAFFIC, options=options, colour=fixed
    )


def build_graph(title: str, description: str, unit: str, *targets: Target) -> Panel:
    """Lines over time, coloured by name, with a table of their values below."""
    custom: Json = {
        "drawStyle": "line",
        "fillOpacity": 0,
        "lineInterpolation": "linear",
        "lineWidth": 2,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "none", "group": "A"},
        "thresholdsStyle": {"mode": "off"},
    }
    options: Json = {
        # The table shows a few lines at a time: the highest first, which is the worst of most.
        "legend": {
            "calcs": ["mean", "max", "lastNotNull"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "sortBy": "Max",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    bounds = (0.0, 1.0) if unit == SHARE else (0.0, None)
    by_name = {"mode": "palette-classic-by-name"}
    # Counts of 0 would stand on an axis up to 100.
    custom |= {"axisSoftMax": 1} if unit in {COUNT, WHOLE, TIMES} else {}
    return Panel(
        "timeseries",
        title,
        description,
        targets,
        unit,
        bounds=bounds,
        colour=by_name,
        custom=custom,
        options=options,
    )


def build_heatmap(title: str, description: str, selector_by_le: str) -> Panel:
    """Cumulative buckets in seconds as a heatmap."""
    options: Json = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": SECONDS, "decimals": 1},
    }
    target = Target(selector_by_le, "{{le}}", form="heatmap")
    return Panel("heatmap", title, description, (target,), SECONDS, options=options)


def build_table(title: str, description: str, columns: Mapping[str, Target], *labels: str) -> Panel:
    """A row for each set of `labels`, a column for each query, in the order given.

    A query named "" only brings labels: its value, as of an info metric, says nothing.
    """
    letters = [chr(ord("A") + i) for i in range(len(columns))]
    fields = {f"Value #{letter}": name for letter, name in zip(letters, columns, strict=True)}
    hidden = [field for field, name in fields.items() if not name]
    headings = {label: label.capitalize() for label in labels}
    organize: Json = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {name: i for i, name in enumerate((*headings, *fields))},
        "renameByName": headings | fields,
    }
    return Panel(
        "table",
        title,
        description,
        tuple(columns.values()),
        WHOLE,
        width=24,
        options={"cellHeight": "sm", "showHeader": True, "footer": {"show": False}},
        # The usual 150 would push the last of nine columns off a laptop's screen.
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False, "minWidth": 76},
        colour={"mode": "thresholds"},
        no_value="-",
        transformations=({"id": "merge", "options": {}}, {"id": "organize", "options": organize}),
    )


def build_timeline(title: str, description: str, target: Target) -> Panel:
    """States over time."""
    options: Json = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    custom: Json = {"fillOpacity": 80, "lineWidth": 0}
    return Panel(
        "state-timeline", title, description, (target,), TIMES, decimals=0, custom=custom, options=options
    )
