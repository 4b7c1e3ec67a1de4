"""Which module may know which: arrows between modules go one way, and a test holds them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"

RANKS = {
    # Words and values.
    "errors": 0,
    "model": 0,
    "snapshot": 0,
    "ids": 0,
    "clock": 0,
    # Pure: no clock, no randomness, no input or output of their own.
    "counts": 1,
    "events": 1,
    "lifecycle": 1,
    "schedule": 1,
    "fusion": 1,
    "hearsay": 1,
    "instants": 1,
    "ratelimit": 1,
    "agenda": 1,
    "recent": 1,
    "readings": 1,
    "ledger": 1,
    "wire": 1,
    "families": 1,
    "exposition": 1,
    "config": 1,
    "secret": 1,
    "campaigns": 1,
    # Made from the declared metrics.
    "dashboards": 2,
    # The edges.
    "instruments": 2,
    "client": 2,
    "log": 2,
    # What a command line is made of, and what people see of one.
    "flags": 2,
    "progress": 2,
    "store": 2,
    "webconfig": 2,
    # What is made sure of before anything runs.
    "precautions": 2,
    # Asks a listener from outside.
    "healthcheck": 2,
    "supervisor": 2,
    # What the door keeps of each account.
    "accounts": 3,
    # What an event does, as the door lets the store decide it.
    "decisions": 4,
    # The door that all changes of state go through.
    "tracker": 5,
    # The loops and the listeners.
    "sources": 6,
    "poller": 6,
    "collector": 6,
    "server": 6,
    "upkeep": 6,
    "waiting": 6,
    # What people are shown.
    "view": 6,
    "page": 7,
    # What comes in over HTTP.
    "strangers": 7,
    "hearing": 8,
    "intake": 8,
    # The wiring, and what starts it.
    "feeds": 9,
    "webhook": 9,
    "app": 10,
    "inquiry": 10,
    "demo": 11,
    "completion": 11,
    "commands": 12,
    "arguments": 13,
    "cli": 14,
    "__main__": 15,
}
SIBLINGS = {0, 1}
"""Within these ranks a module may import another, as long as nothing goes in circles."""
BESIDE = "simulator"
"""Stands in for the provider: knows words and pure modules, and is known by the wiring only."""
BESIDE_KNOWS = {0, 1}
BESIDE_KNOWN_BY = {11, 12, 13}


def _modules(package: Path) -> dict[str, list[Path]]:
    """The files of each top-level module; a folder is one module."""
    modules: dict[str, list[Path]] = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).parts[0].removesuffix(".py")
        if name != "__init__":
            modules.setdefault(name, []).append(path)
    return modules


def _imported(path: Path) -> Iterator[str]:
    """The top-level modules of the package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "exporter":
            names = [f"exporter.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "exporter" and rest and not rest.startswith("__version__"):
                yield rest.split(".")[0]


def _arrows(package: Path) -> dict[str, set[str]]:
    """What each module imports of the others."""
    return {
        name: {imported for path in paths for imported in _imported(path)} - {name}
        for name, paths in _modules(package).items()
    }


def _may_import(importer: str, imported: str) -> bool:
    if importer == BESIDE:
        return RANKS[imported] in BESIDE_KNOWS
    if imported == BESIDE:
        return RANKS[importer] in BESIDE_KNOWN_BY
    if RANKS[importer] == RANKS[imported]:
        return RANKS[importer] in SIBLINGS
    return RANKS[importer] > RANKS[imported]


def _wrong(package: Path) -> list[str]:
    """Every breach of the order, as sentences."""
    arrows = _arrows(package)
    known = RANKS.keys() | {BESIDE}
    wrong = [f"{name} has no rank" for name in arrows if name not in known]
    for importer, imports in arrows.items():
        wrong += [
            f"{importer} must not import {imported}"
            for imported in sorted(imports)
            if importer in known and not (imported in known and _may_import(importer, imported))
        ]
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        wrong.append(f"in a circle: {' -> '.join(error.args[1])}")
    return wrong


def test_modules_import_lower_ranks_only() -> None:
    """Every module has a rank, imports only what is below it, and nothing goes in circles."""
    assert _wrong(PACKAGE) == []


@pytest.mark.parametrize(
    ("files", "breach"),
    [
        ({"store/sqlite.py": "from exporter.engine.tracker import accept"}, "store must not import tracker"),
        ({"client.py": "import exporter.runtime.log.lines"}, "client must not import log"),
        ({"wire.py": "def f():\n    from exporter import store"}, "wire must not import store"),
        ({"tracker.py": "from exporter.simulator import run"}, "tracker must not import simulator"),
        ({"simulator/web.py": "from exporter.http import Server"}, "simulator must not import server"),
        ({"novelty.py": "import os"}, "novelty has no rank"),
        (
            {"wire.py": "import exporter.config", "config.py": "import exporter.provider.parsing"},
            "in a circle: ",
        ),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, files: dict[str, str], breach: str) -> None:
    """The check sees a wrong import of every kind, at the top of a file or inside a function."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert [sentence for sentence in _wrong(tmp_path) if sentence.startswith(breach)] != []
