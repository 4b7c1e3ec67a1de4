"""What a client needs around it: a key, a clock that stands still, names that lead where a test wants."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Literal

from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.domain.model import SECOND_US
from exporter.provider.client import Auth, Client, Endpoint, SecretSource
from tests.kit.waiting import HANG_SECONDS

ID = "abc123def456"
KEY = "k3y-" + "0123456789abcdef" * 2
NOON_US = 1_795_435_200 * SECOND_US
"""2026-11-23 12:00 UTC."""
TIMEOUT_US = SECOND_US // 4
"""For what never comes; what does come has as long as it needs."""


class Key:
    """A key in memory, which a test can replace or take away."""

    def __init__(self, text: str | None = KEY) -> None:
        """Hold `text`; without one, reading fails as of a file that isn't there."""
        self.text = text
        self.reads = 0

    def read(self) -> Key:
        """Itself, or OSError."""
        self.reads += 1
        if self.text is None:
            raise FileNotFoundError
        return self

    def reveal(self) -> str:
        """The text."""
        assert self.text is not None
        return self.text


class StillClock:
    """Stands at noon until it is moved."""

    def __init__(self) -> None:
        """Start at noon."""
        self.elapsed_us = 0

    def now(self) -> int:
        """Noon, and what has been added."""
        return NOON_US + self.elapsed_us

    def monotonic(self) -> int:
        """What has been added."""
        return self.elapsed_us

    async def sleep(self, duration_us: int) -> None:
        """Be that much later."""
        self.elapsed_us += duration_us

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Be that much later, unless the event has come."""
        if not event.is_set():
            self.elapsed_us += limit_us
        return event.is_set()


class Names(AbstractResolver):
    """Leads each name to the addresses that a test gives it; there are no others."""

    def __init__(self, **addresses: list[str]) -> None:
        """Know `addresses` by name, a dot written as an underscore."""
        self._addresses = {name.replace("_", "."): found for name, found in addresses.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`; OSError as for a name that doesn't exist."""
        del family
        if host not in self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses[host]
        ]

    async def close(self) -> None:
        """Nothing is open."""


def client(  # noqa: PLR0913 - each is one thing that an account sets, and a test varies one
    base_url: str,
    *,
    key: SecretSource | None = None,
    method: Literal["header", "key-as-password", "basic"] = "header",
    timeout_us: int = int(HANG_SECONDS) * SECOND_US,
    max_in_flight: int = 10,
    ca_file: Path | None = None,
    clock: StillClock | None = None,
    names: Names | None = None,
) -> Client:
    """A client as an account would have it."""
    return Client(
        Endpoint(
            base_url,
            "smsbat-exporter/test",
            timeout_us=timeout_us,
            max_in_flight=max_in_flight,
            ca_file=ca_file,
        ),
        Auth(method, key or Key(), username="" if method != "basic" else "користувач"),
        clock or StillClock(),
        resolver=names,
    )
