"""The address at which whoever looks reached this process, for the scrape configuration on the page."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


def target_of(request: web.Request) -> str:
    """`host:port` from the Host header if that is one; else the address that took the connection."""
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return hosts[0]
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not name:
        return "localhost:10978"
    host, port = name[:2]
    host = host.removeprefix("::ffff:")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
