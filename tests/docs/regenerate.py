"""Write anew what is made by program: `make docs`.

What is made stands in whole files, between two marks of a page, or above the
keys of the example.
"""

from __future__ import annotations

from pathlib import Path

from tests.dashboards import regenerate as dashboards
from tests.docs import configuration, json_schema, metrics, states
from tests.kit.processes import ROOT

EXAMPLE = "config.example.yaml"


def expected() -> dict[str, str]:
    """What each file must hold, by its path in the checkout."""
    return {
        EXAMPLE: configuration.commented(_read(EXAMPLE)),
        "exporter/config/schema.json": json_schema.text(),
        "docs/configuration.md": between(_read("docs/configuration.md"), "keys", configuration.tables()),
        "docs/metrics.md": between(_read("docs/metrics.md"), "metrics", metrics.tables()),
        "docs/numbers.md": between(_read("docs/numbers.md"), "states", states.diagram()),
    }


def between(page: str, name: str, made: str) -> str:
    """The page with `made` between its marks."""
    begin, end = f"<!-- {name}: made by program -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    assert found
    assert closed
    return f"{before}{begin}\n{made}\n{end}{after}"


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def write(files: dict[str, str], root: Path = ROOT) -> None:
    """Write them."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(dashboards.expected() | expected())
