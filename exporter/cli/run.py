"""`run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace

from exporter.app import Daemon, Options
from exporter.cli.signals import run_until_stopped
from exporter.config import load
from exporter.runtime import log
from exporter.runtime.clock import SteadyClock


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon."""
    options = Options(
        config_file=arguments.config_file,
        listen_addresses=tuple(arguments.web_listen_address),
        web_config_file=arguments.web_config_file,
        enable_lifecycle=arguments.web_enable_lifecycle,
        storage_path=arguments.storage_path,
    )
    settings = load(options.config_file, environ)

    async def daemon(stop: asyncio.Event, handle: log.LogHandle) -> None:
        running = Daemon(
            replace(options, lines_dropped=handle.count_dropped), settings, environ, SteadyClock()
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, running.reload)
        await running.run(stop)

    return run_until_stopped(arguments, daemon)
