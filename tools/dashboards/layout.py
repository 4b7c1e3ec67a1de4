"""A dashboard around its panels: the grid, variables, links and annotations that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.metrics import catalogue
from tools.dashboards.constants import AMBER, BLUE, DELIVERY, RED, TAG, Board
from tools.dashboards.panels import DATASOURCE, Json, Panel
from tools.dashboards.promql import select_shown

WIDTH = 24
SCHEMA_VERSION = 39
"""Of Grafana 10.4; later versions migrate it by themselves when they load it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and its lines of panels; each line is 24 wide and of one height."""

    title: str
    lines: tuple[tuple[Panel, ...], ...]
    collapsed: bool = False


def link_campaign(panel: Panel) -> Panel:
    """Let a click on a campaign's series show that campaign alone on the delivery dashboard."""
    return replace(panel, links=(*panel.links, build_campaign_link("${__field.labels.campaign}")))


def build_campaign_link(campaign: str) -> Json:
    """A data link to the delivery dashboard, with the same time and variables but one campaign."""
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "account"))
    return {
        "title": "Only this campaign",
        "url": f"/d/{DELIVERY.uid}?${{__url_time_range}}&{kept}&var-campaign={campaign}",
    }


def build_dashboard(board: Board, description: str, rows: Sequence[Row]) -> Json:
    """The whole dashboard, as Grafana provisions and imports it."""
    return {
        "annotations": {"list": _build_annotations()},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [_build_dropdown_link()],
        "panels": _place_rows(rows),
        "refresh": "1m",
        "schemaVersion": SCHEMA_VERSION,
        "tags": [TAG],
        "templating": {"list": _build_variables()},
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": board.title,
        "uid": board.uid,
        "weekStart": "",
    }


def _place_rows(rows: Sequence[Row]) -> list[Json]:
    """Rows and panels in the grid, top down; a collapsed row holds its panels."""
    placed: list[Json] = []
    y = 0
    for number, row in enumerate(rows, start=1):
        heading: Json = {
            "collapsed": row.collapsed,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            # Panels have ids from a checksum of up to a million.
            "id": 1_000_000 + number,
            "panels": [],
            "title": row.title,
            "type": "row",
        }
        inside, below = _place_lines(row, y + 1)
        placed += [heading | {"panels": inside}] if row.collapsed else [heading, *inside]
        # What a collapsed row holds takes no room until somebody opens it.
        y = y + 1 if row.collapsed else below
    return placed


def _place_lines(row: Row, y: int) -> tuple[list[Json], int]:
    """The panels of a row from `y` on, and where the next row begins."""
    placed: list[Json] = []
    for line in row.lines:
        heights = {panel.height for panel in line}
        if sum(panel.width for panel in line) != WIDTH or len(heights) != 1:
            raise ValueError(f"{row.title}: a line is not {WIDTH} wide and of one height")
        x = 0
        for panel in line:
            placed.append(panel.to_json(x, y))
            x += panel.width
        y += heights.pop()
    return placed, y


def _build_variables() -> list[Json]:
    source: Json = {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 2,
        "regex": "",
        "type": "datasource",
    }
    # Requests are counted from the start, also before the first message; campaigns come with messages.
    return [
        source,
        _build_label_variable("job", "Job", catalogue.BUILD_INFO.name),
        _build_label_variable("account", "Account", f'{catalogue.API_REQUESTS.name}{{job=~"$job"}}'),
        _build_label_variable(
            "campaign", "Campaign", f'{catalogue.SLO_MESSAGES.name}{{job=~"$job", account=~"$account"}}'
        ),
    ]


def _build_label_variable(name: str, label: str, selector: str) -> Json:
    """A variable with all values of the label that the selector's series have."""
    query = f"label_values({selector}, {name})"
    return {
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }


def _build_annotations() -> list[Json]:
    # Grafana marks only where a value is above 0.
    return [
        _build_annotation(
            "Provider down",
            RED,
            f"({select_shown(catalogue.API_UP)} == bool 0) > 0",
            "{{account}}: provider down",
        ),
        _build_annotation(
            "Exporter restarts",
            BLUE,
            'changes(process_start_time_seconds{job=~"$job"}[$__interval]) > 0',
            "{{instance}}: restarted",
        ),
        _build_annotation(
            "Critical alerts",
            AMBER,
            # One mark an alert, and not one a campaign: an outage would cover the graphs with them.
            'group by (alertname) (ALERTS{job=~"$job", alertname=~"Smsbat.*", alertstate="firing", '
            'severity="critical"})',
            "{{alertname}}",
        ),
    ]


def _build_annotation(name: str, colour: str, expr: str, text: str) -> Json:
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "step": "60s",
        "titleFormat": text,
    }


def _build_dropdown_link() -> Json:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "SMSBAT dashboards",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }
