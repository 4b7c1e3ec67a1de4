"""The files of `grafana/`: those that are committed, and those that a command wrote."""

from __future__ import annotations

from pathlib import Path

from tests.kit.processes import ROOT

_RULE_TESTS = "prometheus/tests/"
"""The unit tests of the rules are beside them, and not for users."""


def read_files(folder: Path) -> dict[str, bytes]:
    """What each file below `folder` holds, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read_committed() -> dict[str, bytes]:
    """What the command `dashboards` must write, by its path in the folder."""
    files = read_files(ROOT / "grafana")
    return {name: content for name, content in files.items() if not name.startswith(_RULE_TESTS)}
