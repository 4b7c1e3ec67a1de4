"""The queries of all panels, as a Prometheus can be asked them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tools.dashboards import render_files

EVERYTHING = {"$account": ".+", "$campaign": ".+"}
"""What the variables hold when All is chosen."""


class Asked(NamedTuple):
    """One query of a panel."""

    expression: str
    instant: bool
    legend: str

    def about(self, variables: Mapping[str, str]) -> str:
        """The query with these for its variables, and All for those that are not given."""
        expression = self.expression
        for name, value in {**EVERYTHING, **variables}.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        return expression


def queries() -> dict[str, Asked]:
    """By dashboard, panel and letter: `smsbat-cost: Spend A`."""
    found = {}
    for name, text in render_files().items():
        if name.startswith("dashboards/"):
            board = json.loads(text)
            for panel in panels(board):
                for target in panel["targets"]:
                    place = f"{board['uid']}: {panel['title']} {target['refId']}"
                    found[place] = Asked(target["expr"], target["instant"], target["legendFormat"])
    return found


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but the rows, those of collapsed rows too."""
    for panel in board["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else (panel,)
