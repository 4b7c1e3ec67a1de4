"""HTTP as a test speaks it: one request, one answer, and ports that are free."""

from __future__ import annotations

import http.client
import json
import random
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kit.waiting import HANG_SECONDS

BELOW_OUTGOING = range(16_384, 32_768)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` is 0 when nothing did."""

    status: int
    text: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:  # noqa: ANN401 - whatever the JSON holds
        """The body as JSON, money included: compare it in its smallest unit."""
        return json.loads(self.text)


def ask(
    address: str,
    path: str,
    *,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask `address` (host:port) once; a `body` goes as JSON. A server that isn't there is an answer too."""
    connection = http.client.HTTPConnection(address, timeout=HANG_SECONDS)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, dict(headers or {}))
        response = connection.getresponse()
        text, told = response.read().decode("utf-8"), response.headers
        return Answer(response.status, text, told.get("Content-Type", ""), dict(told.items()))
    except (OSError, http.client.HTTPException):
        return Answer(0)
    finally:
        connection.close()


def encode_basic(user: str, password: str | bytes) -> str:
    """The value of `Authorization` for HTTP Basic."""
    secret = password if isinstance(password, bytes) else password.encode()
    return f"Basic {b64encode(user.encode() + b':' + secret).decode()}"


def free_port() -> int:
    """A port of the loopback address that nobody listens on, and that stays free while nobody asks for it.

    One from the system's own range would not: any outgoing connection may be given it.
    """
    while True:
        port = random.choice(BELOW_OUTGOING)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
