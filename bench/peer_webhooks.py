"""A bare aiohttp handler that parses a webhook and does nothing with it: `python -m bench.peer_webhooks`.

Prints the address on which it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from aiohttp import web


async def _handle(request: web.Request) -> web.Response:
    json.loads(await request.read())
    return web.Response(status=204)


async def _serve() -> None:
    app = web.Application()
    app.add_routes([web.post("/webhook/{token}", _handle)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run(_serve())
