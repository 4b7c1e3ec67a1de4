"""`dashboards`: those of this version, with their rules, as files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from exporter.cli.flags import PROGRAM
from exporter.dashboards import write
from exporter.runtime.errors import Code, ExporterError


def dashboards(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The dashboards and rules of this version, as files."""
    try:
        written = write(arguments.out)
    except OSError as error:
        raise ExporterError(
            f"{arguments.out} can't be written: {error.strerror}",
            hint=f"choose another place; try: {PROGRAM} dashboards --out=grafana",
            code=Code.OUTPUT,
        ) from None
    for path in written:
        print(path)
    return 0
