"""Starting the process: the environment is safe to serve from, and a slow step is logged."""

from __future__ import annotations

import asyncio
import logging
import re
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from aiohttp import http_parser

from exporter.runtime.errors import ExporterError

_log = logging.getLogger("smsbat.app")

OLDEST_AIOHTTP = (3, 14, 5)
"""Older versions have known holes in their HTTP parsers; pyproject.toml requires the same version."""
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")
SLOW_STEP_SECONDS = 10


def check_environment() -> None:
    """Require a safe HTTP library and disable core dumps; raises ExporterError."""
    compiled = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    reason = find_aiohttp_fault(aiohttp.__version__, compiled=compiled)
    if reason:
        raise ExporterError(
            reason, hint="install the versions of requirements/run.txt, and unset AIOHTTP_NO_EXTENSIONS"
        )
    # A core dump would contain keys, tokens and message ids.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def find_aiohttp_fault(version: str, *, compiled: bool) -> str:
    """Why this aiohttp, with its C parser or without, must not face a network; empty when it may."""
    numbers = _NUMBERS.match(version)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_AIOHTTP:
        oldest = ".".join(map(str, OLDEST_AIOHTTP))
        return f"aiohttp {version} has known security holes; {oldest} is the oldest version without them"
    if not compiled:
        return "aiohttp runs without its C parser; the Python one accepts smuggled requests"
    return ""


@contextmanager
def log_slow_step(step: str, progress: Callable[[], Mapping[str, object]] = dict) -> Iterator[None]:
    """Log every ten seconds that the block still runs, with the fields of `progress`.

    Belongs to the event loop: the block must yield to it regularly.
    """
    loop = asyncio.get_running_loop()
    began_seconds = loop.time()
    handle: asyncio.TimerHandle | None = None

    def log_progress() -> None:
        nonlocal handle
        fields = {"step": step, "seconds": round(loop.time() - began_seconds), **progress()}
        _log.info("Still starting", extra={"event": "still_starting", "fields": fields})
        handle = loop.call_later(SLOW_STEP_SECONDS, log_progress)

    handle = loop.call_later(SLOW_STEP_SECONDS, log_progress)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
