"""`dashboards`: those of this version, with their rules, as files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from exporter.cli.flags import PROGRAM
from exporter.runtime.errors import Code, ExporterError


def dashboards(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The dashboards and rules of this version, as files."""
    files = {arguments.out / name: content for name, content in _read_dashboards().items()}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise ExporterError(
            f"{arguments.out} can't be written: {error.strerror}",
            hint=f"choose another place; try: {PROGRAM} dashboards --out=grafana",
            code=Code.OUTPUT,
        ) from None
    for path in files:
        print(path)
    return 0


def _read_dashboards() -> dict[Path, bytes]:
    """The files of `grafana/` that users need, by their path in it."""
    package = Path(__file__).parents[1]
    # An installed package contains the folder; in a checkout it is beside the package.
    for folder in (package / "grafana", package.parent / "grafana"):
        if folder.is_dir():
            names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
            # Unit tests of the rules are for those who change the rules.
            return {name: (folder / name).read_bytes() for name in names if "tests" not in name.parts}
    raise ExporterError(
        f"this installation is incomplete: {package / 'grafana'} is missing",
        hint=f"install {PROGRAM} again",
    )
