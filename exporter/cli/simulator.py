"""`simulator`: the simulated provider alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from exporter.cli.signals import run_until_stopped
from exporter.simulator.server import serve
from exporter.simulator.settings import SimulatorSettings


def simulator(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The simulator alone."""
    settings = SimulatorSettings(
        host=arguments.listen.host or "127.0.0.1",
        port=arguments.listen.port,
        seed=arguments.seed,
        speed=arguments.speed,
        scenario=arguments.scenario,
        requests_per_second=arguments.requests_per_second,
        webhook=arguments.webhook_url,
    )
    return run_until_stopped(arguments, lambda stop, _: serve(settings, stop))
