"""A provider that plants canaries in every part of its answers, well-formed or not."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.torture.forked_program import Child, until


class HostileProvider:
    """It listens, in a process of its own, while the context is entered.

    The first part of a path says how an account fares: /ok, /limited, /refused, /failing.
    """

    def __init__(self, folder: Path, plant: Callable[[], str]) -> None:
        """Take what is planted from `plant`."""
        self._port_file = folder / "provider.port"
        self._output = folder / "provider.log"
        self._plant = plant

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._child = Child(self._serve, self._output)
        assert until(self._child, self._port_file.exists), self._child.said()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._child.kill()

    @property
    def url(self) -> str:
        """The base URL of no account in particular."""
        return f"http://127.0.0.1:{self._port_file.read_text('ascii')}"

    def _serve(self) -> int:
        plant, rng, lock = self._plant, random.Random(1), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    answer = answered(self.path, plant, rng)
                self.wfile.write(answer)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        draft = self._port_file.with_suffix(".tmp")
        draft.write_text(str(server.server_address[1]), "ascii")
        draft.rename(self._port_file)
        server.serve_forever()
        return 0


def answered(path: str, plant: Callable[[], str], rng: random.Random) -> bytes:
    """The bytes of an answer to a request for `path`."""
    account, message_id = path.split("/")[1], path.rsplit("/", 1)[1]
    extra = {name: plant() for name in ("to", "text", "from", plant())}
    told: dict[str, object] = {"messageId": message_id, "deliverystatus": "delivered", "cost": 0.5}
    told |= {"extendedStatuses": {plant(): plant()}, "fallbacks": [{"type": plant(), "status": plant()}]}
    told |= {"billCurrency": plant(), "partscount": plant(), **extra}
    good = json.dumps(told).encode()
    match account:
        case "limited":
            return _response(429, plant().encode(), f"Retry-After: {plant()}\r\n")
        case "refused":
            return _response(401, plant().encode(), f'WWW-Authenticate: Basic realm="{plant()}"\r\n')
        case "failing":
            return _response(500, plant().encode(), f"X-Error: {plant()}\r\n")
    odd = (
        _response(200, plant().encode()),
        _response(200, json.dumps({**told, "messageId": plant()}).encode()),
        _response(200, json.dumps({**told, "deliverystatus": plant()}).encode()),
        _response(200, good[: len(good) // 2]),
        _response(302, b"", f"Location: http://{plant()}/{plant()}\r\n"),
        _response(404, plant().encode()),
        _response(200, good, f"Content-Encoding: {plant()}\r\n"),
        f"HTTP/1.1 {plant()}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{plant()}\r\n\r\n".encode(),
        plant().encode(),
        b"",
    )
    return rng.choice(odd) if rng.random() < 0.5 else _response(200, good, f"Set-Cookie: a={plant()}\r\n")


def _response(status: int, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
