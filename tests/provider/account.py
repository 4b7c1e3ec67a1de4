"""What a client needs: a key, a clock that stands still, and a resolver whose answers a test chooses."""

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
"""For an answer that never comes; others have as long as they need."""


class Key:
    """A key in memory, which a test can replace or remove."""

    def __init__(self, text: str | None = KEY) -> None:
        """Hold `text`; without one, reading fails as for a file that doesn't exist."""
        self.text = text
        self.reads = 0

    def read(self) -> Key:
        """Return itself, or raise OSError."""
        self.reads += 1
        if self.text is None:
            raise FileNotFoundError
        return self

    def reveal(self) -> str:
        """Return the text."""
        assert self.text is not None
        return self.text


class StillClock:
    """Stands at noon until it is moved."""

    def __init__(self) -> None:
        self.elapsed_us = 0

    def now(self) -> int:
        """Return noon, plus what has been added."""
        return NOON_US + self.elapsed_us

    def monotonic(self) -> int:
        """Return what has been added."""
        return self.elapsed_us

    async def sleep(self, duration_us: int) -> None:
        """Move on by the duration."""
        self.elapsed_us += duration_us

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Move on by the limit, unless the event is set."""
        if not event.is_set():
            self.elapsed_us += limit_us
        return event.is_set()


class Names(AbstractResolver):
    """Resolves each name to the addresses that a test gives it; there are no others."""

    def __init__(self, **addresses: list[str]) -> None:
        """Know `addresses` by name, a dot written as an underscore."""
        self._addresses = {name.replace("_", "."): found for name, found in addresses.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; OSError as for a name that doesn't exist."""
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
        """Do nothing: nothing is open."""


def make_client(  # noqa: PLR0913 - each is a setting of an account, and a test varies one
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
    """Make a client like that of an account."""
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
