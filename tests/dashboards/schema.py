"""The part of Grafana's dashboard format that we use: the keys that are written, and the units it knows."""

from __future__ import annotations

from pathlib import Path

UNITS = set((Path(__file__).parent / "units.txt").read_text().split())
"""Every unit that Grafana knows, by its id."""
BOARD_KEYS = {
    "annotations",
    "description",
    "editable",
    "fiscalYearStartMonth",
    "graphTooltip",
    "id",
    "links",
    "panels",
    "refresh",
    "schemaVersion",
    "tags",
    "templating",
    "time",
    "timepicker",
    "timezone",
    "title",
    "uid",
    "weekStart",
}
PANEL_KEYS = {
    "datasource",
    "description",
    "fieldConfig",
    "gridPos",
    "id",
    "options",
    "targets",
    "title",
    "type",
}
TARGET_KEYS = {
    "datasource",
    "editorMode",
    "expr",
    "format",
    "instant",
    "legendFormat",
    "range",
    "refId",
}
