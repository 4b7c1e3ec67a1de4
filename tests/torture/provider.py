"""The simulated provider in a process of its own, and its books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from exporter.simulator.arrivals import Arrival
from exporter.simulator.server import Simulator
from exporter.simulator.settings import SimulatorSettings
from tests.kit.waiting import HANG_SECONDS
from tests.torture.nursery import Child, until

KEY = "demo-key"


class Ended(NamedTuple):
    """Sums over messages whose end the provider has told."""

    finished: Mapping[str, int]
    """By final status."""
    cost_nanos: Mapping[str, int]
    """By currency; the account's own is UAH."""
    parts: int


class Provider:
    """It listens while the context is entered."""

    def __init__(self, folder: Path, *, seed: int, speed: float) -> None:
        """Keep its few files in `folder`; messages live `speed` times faster than real time."""
        self._told = folder / "provider.url"
        self._output = folder / "provider.log"
        self._settings = SimulatorSettings(port=0, seed=seed, speed=speed, requests_per_second=0)

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._child = Child(self._serve, self._output)
        assert until(self._child, lambda: self.url != ""), self._child.said()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._child.kill()

    @property
    def url(self) -> str:
        """The base URL; empty before it listens."""
        return self._told.read_text("ascii").strip() if self._told.exists() else ""

    def _serve(self) -> int:
        async def work() -> None:
            async with Simulator(self._settings) as simulator:
                draft = self._told.with_suffix(".tmp")
                draft.write_text(simulator.url, "ascii")
                draft.rename(self._told)
                await asyncio.Event().wait()

        asyncio.run(work())
        return 0

    def send(self, count: int) -> list[str]:
        """Send that many one-time passwords; returns their ids."""
        ids: list[str] = self._ask("POST", "/-/send", {"kind": "otp", "count": count})["ids"]
        return ids

    def fail(self, kind: str, *, share: float, seconds: float) -> None:
        """Let a share of the requests fail for a while."""
        self._ask("POST", "/-/fault", {"kind": kind, "share": share, "seconds": seconds})

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._ask("DELETE", "/-/fault")

    def ended(self) -> Ended:
        """The books over all messages whose end an answer has told."""
        campaigns = self._ask("GET", "/-/books?seen=1")["campaigns"]
        if not campaigns:
            return Ended({}, {}, 0)
        (one,) = campaigns.values()
        cost = {
            "UAH" if currency == "account" else currency: amount["nanos"]
            for currency, amount in one["cost"].items()
        }
        return Ended(one["finished"], cost, one["parts"])

    def ends(self) -> int:
        """How many messages have ended, seen or not."""
        campaigns = self._ask("GET", "/-/books")["campaigns"]
        return sum(sum(one["finished"].values()) for one in campaigns.values())

    def arrivals(self) -> list[Arrival]:
        """Every status request that came in."""
        found: list[Arrival] = []
        while True:
            page: Sequence[Sequence[Any]] = self._ask("GET", f"/-/arrivals?since={len(found)}")["arrivals"]
            if not page:
                return found
            found += [Arrival(*one) for one in page]

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=HANG_SECONDS)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 200, answer
        return answer
