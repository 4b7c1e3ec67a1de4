"""What is made sure of before anything is served: the right HTTP parser, and no core dump."""

from __future__ import annotations

import re
import resource

import aiohttp
from aiohttp import http_parser

from exporter.runtime.errors import ExporterError

AIOHTTP_FLOOR = (3, 14, 5)
"""Below it the parsers of requests and answers have known holes; pyproject.toml asks for the same."""
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def take_precautions() -> None:
    """Take them; raises ExporterError when the HTTP library can't be trusted."""
    compiled = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    reason = distrust(aiohttp.__version__, compiled=compiled)
    if reason:
        raise ExporterError(
            reason, hint="install the versions of requirements/run.txt, and unset AIOHTTP_NO_EXTENSIONS"
        )
    # A dump of the memory would hold keys, tokens and message ids.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def distrust(version: str, *, compiled: bool) -> str:
    """Why aiohttp of this version, with its parser in C or without, can't face a network; or ""."""
    numbers = _NUMBERS.match(version)
    if numbers is None or tuple(map(int, numbers.groups())) < AIOHTTP_FLOOR:
        floor = ".".join(map(str, AIOHTTP_FLOOR))
        return f"aiohttp {version} has known security holes; {floor} is the oldest without"
    if not compiled:
        return "aiohttp runs without its parser in C; the one in Python lets smuggled requests through"
    return ""
