"""The dashboards' structure: what Grafana needs, and what makes them readable, rule by rule."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from exporter.domain.model import Status
from tests.dashboards.asked import panels
from tests.dashboards.schema import BOARD_KEYS, PANEL_KEYS, TARGET_KEYS, UNITS
from tools.dashboards import constants, render_files
from tools.dashboards.constants import STATUS_COLOURS

BOARDS: dict[str, dict[str, Any]] = {
    name: json.loads(text) for name, text in render_files().items() if name.endswith(".json")
}
MOST_WORDS_OF_A_TITLE = 5
UNITS_IN_A_TITLE = re.compile(r"\((s|ms|%|seconds|UAH|USD|EUR)\)|\bin (seconds|percent)\b")
LIMITS_DRAWN = {
    "Without an answer": constants.STUCK_SHARE,
    "Not looked at in time": constants.UNOBSERVED_SHARE,
    "Fallback share by campaign": constants.FALLBACK_SHARE,
    "Requests that failed": constants.FAILING_SHARE,
    "Poll lag": next(iter(constants.LAG_SECONDS.values())),
}
PARTS_OF_A_WHOLE = {"{{status}}", "{{type}} {{status}}", "{{outcome}}", "{{priority}}", "{{source}}"}
KINDS = {"stat", "timeseries", "heatmap", "table", "state-timeline"}


EVERY_PANEL = [
    pytest.param(panel, id=f"{board['uid']}: {panel['title']}")
    for board in BOARDS.values()
    for panel in panels(board)
]
EVERY_BOARD = [pytest.param(board, id=name) for name, board in BOARDS.items()]


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_a_dashboard_imports_with_nothing_to_edit(board: dict[str, Any]) -> None:
    """It has a fixed uid, no id, version or input, a schema of Grafana 10.4 or later; it is not editable."""
    assert set(board) == BOARD_KEYS
    assert board["uid"].startswith("smsbat-")
    assert board["id"] is None
    assert 39 <= board["schemaVersion"] <= 42
    assert board["editable"] is False
    assert board["tags"] == ["smsbat"]
    assert len(board["description"]) > 40
    assert (board["time"], board["refresh"], board["timezone"]) == (
        {"from": "now-24h", "to": "now"},
        "1m",
        "browser",
    )
    assert board["graphTooltip"] == 1


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_dashboards_lead_to_each_other(board: dict[str, Any]) -> None:
    """A dropdown by tag keeps the time range and the variables."""
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["asDropdown"]) == ("dashboards", ["smsbat"], True)
    assert link["keepTime"]
    assert link["includeVars"]


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_every_data_source_is_the_variable(board: dict[str, Any]) -> None:
    """No query names a data source of its own."""
    found: list[object] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            found.extend(item for key, item in value.items() if key == "datasource")
            for item in value.values():
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    collect(board)
    assert len(found) > 20
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in found)


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_variables_are_chained_and_choose_all(board: dict[str, Any]) -> None:
    """Data source, job, account and campaign follow each other, sorted, refreshed with the time range."""
    source, *choices = board["templating"]["list"]
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")
    assert [one["name"] for one in choices] == ["job", "account", "campaign"]
    assert all(one["refresh"] == 2 for one in (source, *choices))
    for number, one in enumerate(choices):
        assert one["multi"]
        assert one["includeAll"]
        assert one["sort"] == 1
        assert "allValue" not in one
        for earlier in choices[:number]:
            assert f'{earlier["name"]}=~"${earlier["name"]}"' in one["query"]["query"]


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_ids_are_unique(board: dict[str, Any]) -> None:
    """Ids and titles of panels and rows are unique within a dashboard."""
    named = [*panels(board), *(panel for panel in board["panels"] if panel["type"] == "row")]
    for key in ("id", "title"):
        assert max(Counter(panel[key] for panel in named).values()) == 1


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_the_grid_has_no_overlap_and_no_hole(board: dict[str, Any]) -> None:
    """Every cell of the grid down to the last panel belongs to exactly one panel."""
    groups = [board["panels"], *(row["panels"] for row in board["panels"] if row.get("collapsed"))]
    for group in groups:
        cells = Counter(
            (x, y)
            for grid in (panel["gridPos"] for panel in group)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        )
        rows = [y for _, y in cells]
        whole = {(x, y) for x in range(24) for y in range(min(rows), max(rows) + 1)}
        assert set(cells) == whole
        assert max(cells.values()) == 1


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_annotations_can_be_seen_and_switched_off(board: dict[str, Any]) -> None:
    """Provider outages, restarts and firing alerts are marked, each with a switch."""
    marks = board["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["Provider down", "Exporter restarts", "Critical alerts"]
    assert all(mark["enable"] and not mark["hide"] for mark in marks)


@pytest.mark.parametrize("board", EVERY_BOARD)
def test_the_first_row_answers_whether_all_is_fine(board: dict[str, Any]) -> None:
    """A dashboard begins with headlines; at most two of them shout with their background."""
    assert board["panels"][0]["title"] == "Is it fine now?"
    stats = [panel for panel in board["panels"][1:] if panel["type"] == "stat"]
    assert stats == board["panels"][1 : 1 + len(stats)]
    assert 5 <= len(stats) <= 6
    assert sum(panel["options"]["colorMode"] == "background" for panel in stats) <= 2


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """The title is short and has no unit; the description is a sentence or more."""
    assert set(panel) <= PANEL_KEYS | {"transformations"}
    assert panel["type"] in KINDS
    assert len(panel["title"].split()) <= MOST_WORDS_OF_A_TITLE
    assert not UNITS_IN_A_TITLE.search(panel["title"])
    assert len(panel["description"]) >= 40
    assert panel["description"].endswith(".")


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_has_units_that_grafana_knows(panel: dict[str, Any]) -> None:
    """Units and decimals are set, shares go from 0 to 1, and overrides use known units too."""
    defaults = panel["fieldConfig"]["defaults"]
    overridden = [
        item["value"]
        for rule in panel["fieldConfig"]["overrides"]
        for item in rule["properties"]
        if item["id"] == "unit"
    ]
    assert {defaults["unit"], *overridden} <= UNITS
    assert 0 <= defaults["decimals"] <= 3
    if defaults["unit"] == "percentunit" and panel["type"] == "timeseries":
        assert (defaults["min"], defaults["max"]) == (0, 1)


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_series_have_names_of_our_choice(panel: dict[str, Any]) -> None:
    """Queries name their series, headlines say what no value means, graphs have legends and tooltips."""
    for target in panel["targets"]:
        assert target["legendFormat"] not in {"", "__auto"}
        assert target["range"] != target["instant"]
    if panel["type"] == "stat":
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert panel["options"]["graphMode"] == "none"
    if panel["type"] == "timeseries":
        legend, tooltip = panel["options"]["legend"], panel["options"]["tooltip"]
        assert (legend["placement"], legend["showLegend"]) == ("bottom", True)
        assert (legend["displayMode"] == "table") == bool(legend["calcs"])
        assert tooltip == {"mode": "multi", "sort": "desc"}


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_queries_are_written_with_what_grafana_reads(panel: dict[str, Any]) -> None:
    """Targets have known keys only, and graphs of shares have a step that quiet campaigns can bear."""
    for target in panel["targets"]:
        assert TARGET_KEYS <= set(target) <= TARGET_KEYS | {"interval"}
        share = panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and "/" in target["expr"]
        assert ("interval" in target) >= (share and panel["type"] == "timeseries")


def test_colours_of_statuses_mean_what_they_always_mean() -> None:
    """Delivered is green, given up orange, failed red and purple, and no two statuses look alike."""
    expected = {"delivered": "green", "expired": "orange", "undeliverable": "red", "permanenterror": "purple"}
    assert expected.items() <= STATUS_COLOURS.items()
    words = [status.word for status in Status]
    assert len({STATUS_COLOURS[word] for word in words}) == len(words)


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_only_parts_of_a_whole_are_stacked(panel: dict[str, Any]) -> None:
    """Shares and durations are never stacked; what is stacked is counted by status, outcome and the like."""
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal":
        assert defaults["unit"] in {"short", "locale"}
        assert {target["legendFormat"] for target in panel["targets"]} <= PARTS_OF_A_WHOLE


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_status_has_its_colour_everywhere(panel: dict[str, Any]) -> None:
    """Wherever series are named by status, each status has its own fixed colour."""
    if not any(target["legendFormat"].endswith("{{status}}") for target in panel["targets"]):
        return
    colours = {
        rule["matcher"]["options"]: item["value"]["fixedColor"]
        for rule in panel["fieldConfig"]["overrides"]
        for item in rule["properties"]
        if item["id"] == "color"
    }
    for status, colour in STATUS_COLOURS.items():
        fitting = {
            found for pattern, found in colours.items() if re.search(pattern.strip("/"), f"sms {status}")
        }
        fitting |= {found for pattern, found in colours.items() if re.search(pattern.strip("/"), status)}
        assert fitting == {colour}


def test_graphs_draw_the_thresholds_of_alerts() -> None:
    """The dashed lines stand where the alerts do, and no other panel draws one."""
    drawn = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for board in BOARDS.values()
        for panel in panels(board)
        if panel["fieldConfig"]["defaults"]["custom"].get("thresholdsStyle", {}).get("mode") == "dashed+area"
    }
    assert drawn == {title: limit.value for title, limit in LIMITS_DRAWN.items()}


def test_a_click_on_a_campaign_shows_it_alone() -> None:
    """Graphs by campaign, and tables of campaigns, link to the delivery dashboard with that campaign."""
    by_campaign = 0
    for panel in (panel for board in BOARDS.values() for panel in panels(board)):
        if panel["type"] == "timeseries" and "{{campaign}}" in panel["targets"][0]["legendFormat"]:
            by_campaign += 1
            (link,) = panel["fieldConfig"]["defaults"]["links"]
            assert link["url"].startswith("/d/smsbat-delivery?${__url_time_range}&")
            assert link["url"].endswith("&var-campaign=${__field.labels.campaign}")
    assert by_campaign >= 9
    tables = [json.dumps(panel) for board in BOARDS.values() for panel in panels(board)]
    assert sum("var-campaign=${__value.raw}" in text for text in tables) == 2
