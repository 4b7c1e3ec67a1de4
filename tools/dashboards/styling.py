"""How a panel differs from its kind's usual look: size, colours, thresholds, words, units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from exporter.metrics.thresholds import Threshold
from tools.dashboards import constants
from tools.dashboards.panels import Json, Panel

LEGEND: Json = {"displayMode": "table", "placement": "bottom", "showLegend": True}
NARROW = 8


def resize(panel: Panel, width: int, height: int) -> Panel:
    """Give the panel another size; a narrow one keeps less in its legend, so that names stay whole."""
    panel = replace(panel, width=width, height=height)
    legend = (panel.options or {}).get("legend")
    if width > NARROW or panel.kind != "timeseries" or not isinstance(legend, dict):
        return panel
    calcs = [calc for calc in legend["calcs"] if calc != "mean"]
    return replace(panel, options=dict(panel.options or {}) | {"legend": legend | {"calcs": calcs}})


def map_values(panel: Panel, words: Mapping[int, tuple[str, str]]) -> Panel:
    """Show words, in their colours, for values."""
    options = {
        str(value): {"color": colour, "index": i, "text": text}
        for i, (value, (text, colour)) in enumerate(words.items())
    }
    return replace(panel, mappings=({"type": "value", "options": options},), colour={"mode": "thresholds"})


def set_thresholds(panel: Panel, *steps: tuple[float | None, str], background: bool = False) -> Panel:
    """Colour a number by thresholds; `background` only where red needs action."""
    options = dict(panel.options or {}) | ({"colorMode": "background"} if background else {})
    return replace(panel, steps=steps, colour={"mode": "thresholds"}, options=options)


def draw_threshold(panel: Panel, limit: Threshold) -> Panel:
    """Draw an alert's threshold: dashed, the area above it tinted."""
    custom = dict(panel.custom or {}) | {"thresholdsStyle": {"mode": "dashed+area"}}
    return replace(panel, steps=((None, "transparent"), (limit.value, constants.RED)), custom=custom)


def stack(panel: Panel) -> Panel:
    """Stack the parts of one whole."""
    custom = dict(panel.custom or {}) | {
        "fillOpacity": 70,
        # A line would edge the whole stack in the colour of a part that is 0.
        "lineWidth": 0,
        "stacking": {"mode": "normal", "group": "A"},
    }
    return list_legend(replace(panel, custom=custom))


def list_legend(panel: Panel) -> Panel:
    """Name the series in a line instead of a table."""
    legend = LEGEND | {"calcs": [], "displayMode": "list"}
    return replace(panel, options=dict(panel.options or {}) | {"legend": legend})


def sort_lowest_first(panel: Panel) -> Panel:
    """List the lowest series first, where low is bad."""
    options = dict(panel.options or {})
    worst: Json = {"calcs": ["min", "mean", "lastNotNull"], "sortBy": "Min", "sortDesc": False}
    return replace(panel, options=options | {"legend": LEGEND | worst})


def use_log_scale(panel: Panel, low: float | None = None) -> Panel:
    """Give each order of magnitude the same height, from `low` on."""
    custom = dict(panel.custom or {}) | {"scaleDistribution": {"type": "log", "log": 10}}
    return replace(panel, custom=custom, bounds=(low, None))


def shorten_paths(panel: Panel) -> Panel:
    """Name directories by the last two parts of their paths: the beginning is cut off otherwise."""
    rename: Json = {
        "id": "renameByRegex",
        "options": {"regex": "^.*/([^/]+/[^/]+)/?$", "renamePattern": "$1"},
    }
    return replace(panel, transformations=(*panel.transformations, rename))


def arrange_vertically(panel: Panel) -> Panel:
    """Show several headlines below each other, where they have more room."""
    return replace(panel, options=dict(panel.options or {}) | {"orientation": "horizontal"})


def colour_series(panel: Panel, colours: Mapping[str, str], pattern: str = "{}") -> Panel:
    """Fix the colours of series whose names are `pattern` with a key of `colours`.

    The name's pattern is part of a regular expression: `.* {}` colours by the last word.
    """
    rules: Iterable[Json] = (
        _build_override(
            "byRegexp", f"/^{pattern.format(name)}$/", color={"mode": "fixed", "fixedColor": colour}
        )
        for name, colour in colours.items()
    )
    return replace(panel, overrides=(*panel.overrides, *rules))


def format_currencies(panel: Panel, decimals: int) -> Panel:
    """Write amounts of money with the sign of the currency that ends the series' name."""
    rules = (
        _build_override("byRegexp", f"/{code}$/", unit=f"currency{code}", decimals=decimals)
        for code in constants.CURRENCIES
    )
    # Prices are often far below 1, where an axis for counts would begin.
    custom = {key: value for key, value in (panel.custom or {}).items() if key != "axisSoftMax"}
    # Colours by name are few: of ten campaigns and currencies, several would look alike.
    colour = {"mode": "palette-classic"} if panel.kind == "timeseries" else panel.colour
    return replace(
        panel, decimals=decimals, custom=custom, colour=colour, overrides=(*panel.overrides, *rules)
    )


def override_field(panel: Panel, field: str, properties: Mapping[str, object]) -> Panel:
    """Draw one column or series differently."""
    rule: Json = {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }
    return replace(panel, overrides=(*panel.overrides, rule))


def draw_thin(panel: Panel, pattern: str) -> Panel:
    """Draw the series whose names fit the pattern thin and dashed, and leave them out of the legend."""
    rule = _build_override(
        "byRegexp",
        f"/^{pattern}$/",
        **{
            "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False},
            "custom.lineStyle": {"fill": "dash", "dash": [6, 6]},
            "custom.lineWidth": 1,
        },
    )
    return replace(panel, overrides=(*panel.overrides, rule))


def _build_override(matcher: str, what: str, **properties: object) -> Json:
    return {
        "matcher": {"id": matcher, "options": what},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }
