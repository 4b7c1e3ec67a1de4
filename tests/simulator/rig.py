"""A clock moved by hand, and a simulator on a free port."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

import aiohttp

from exporter.domain.model import SECOND_US
from exporter.simulator.settings import SimulatorSettings
from tests.kit.recording_simulator import RecordingSimulator

NOON_US = 1_764_763_200 * SECOND_US
KEY = {"X-Authorization-Key": "demo-key"}
HOUR_US = 3600 * SECOND_US
LONG_AFTER_US = 100 * HOUR_US


class HandClock:
    """Time stands still until a test moves it; who sleeps moves it too."""

    def __init__(self) -> None:
        """Start at noon of some day."""
        self.passed_us = 0

    def now(self) -> int:
        """Microseconds since the Unix epoch."""
        return NOON_US + self.passed_us

    def monotonic(self) -> int:
        """Microseconds since the start."""
        return self.passed_us

    async def sleep(self, duration_us: int) -> None:
        """Let that much time pass at once."""
        self.passed_us += duration_us

    async def wait(self, event: asyncio.Event, limit_us: int) -> bool:
        """Let that much time pass at once, unless the event has come already."""
        if not event.is_set():
            await self.sleep(limit_us)
        return event.is_set()


class Rig:
    """A simulator whose time is moved by hand, and a client of it."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - any setting of the simulator
        """Take the settings that differ from: any free port, no rate limit."""
        self.clock = HandClock()
        self.wire_clock = HandClock()
        chosen = {"port": 0, "requests_per_second": 0, **settings}
        self.simulator = RecordingSimulator(
            SimulatorSettings(**chosen), clock=self.clock, wire_clock=self.wire_clock
        )

    async def __aenter__(self) -> Self:
        """Start both."""
        await self.simulator.__aenter__()
        self.session = aiohttp.ClientSession(self.simulator.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop both."""
        await self.session.close()
        await self.simulator.__aexit__(None, None, None)

    async def poll(self, message_id: str, headers: Mapping[str, str] = KEY) -> tuple[int, Any]:
        """Return the code and, parsed with exact decimals, the body of the status of one message."""
        response = await self.raw(message_id, headers)
        text = await response.text()
        return response.status, json_exactly(text)

    async def raw(self, message_id: str, headers: Mapping[str, str] = KEY) -> aiohttp.ClientResponse:
        """Return the answer to a status request, read."""
        path = f"/bat/message/{message_id}"
        async with self.session.get(path, headers=headers) as response:
            await response.read()
            return response

    async def control(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the code and the JSON of a control request."""
        async with self.session.request(method, path, json=body) as response:
            return response.status, await response.json()


def json_exactly(text: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Parse JSON without passing money through floats."""
    return json.loads(text, parse_float=Decimal)
