"""The simulated provider with a record of all status requests, as a process or in one that runs already.

Beside the paths of the simulator itself it has

- `GET /-/requests`: `{"total": N, "most_in_flight": N}`
- `GET /-/arrivals?since=N`: `[[at_us, id, code], ...]`, a page from number N on; empty at the end
- `GET /-/totals`, `GET /-/totals?seen=1`: `[[campaign, what, label..., value], ...]`, of all messages,
  or of those whose final status was in an answer (see `tests.kit.totals`)
"""

from __future__ import annotations

import argparse
import asyncio
import json

import uvloop
from aiohttp import web

from exporter.domain.model import FINAL_BY_PROVIDER
from exporter.runtime.clock import Clock
from exporter.simulator.server import STATUS_PATH, Simulator
from exporter.simulator.settings import SimulatorSettings
from tests.kit.arrivals import NO_ANSWER, Arrival
from tests.kit.totals import sum_totals

ARRIVALS_PAGE = 20_000
"""Small enough to be written out between two status requests."""
_FINAL_WORDS = frozenset(status.word for status in FINAL_BY_PROVIDER)


class RecordingSimulator(Simulator):
    """A simulated provider that remembers what it was asked."""

    def __init__(
        self, settings: SimulatorSettings, *, clock: Clock | None = None, wire_clock: Clock | None = None
    ) -> None:
        """Prepare it with an empty record."""
        super().__init__(settings, clock=clock, wire_clock=wire_clock)
        self.arrivals: list[Arrival] = []
        self.most_in_flight = 0
        """The most requests that were under way at one time: arrived, not answered, their connection open."""
        self._in_flight = 0
        self._seen: set[str] = set()
        """The ids of messages whose end was in an answer."""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, and record it if it is for a status."""
        if request.path.startswith(STATUS_PATH):
            return await self._record(request, request.path.removeprefix(STATUS_PATH))
        match request.path:
            case "/-/requests":
                counts = {"total": len(self.arrivals), "most_in_flight": self.most_in_flight}
                return web.json_response(counts)
            case "/-/arrivals":
                since = int(request.query.get("since", "0"))
                return web.json_response(self.arrivals[since : since + ARRIVALS_PAGE])
            case "/-/totals":
                among = self._seen if "seen" in request.query else None
                totals = await sum_totals(self.sent_messages, among=among)
                return web.json_response([[*key, value] for key, value in totals.items()])
        return await super().answer(request)

    async def _record(self, request: web.BaseRequest, message_id: str) -> web.Response:
        number = len(self.arrivals)
        arrival = Arrival(self._wire_clock.monotonic(), message_id, NO_ANSWER)
        self.arrivals.append(arrival)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            response = await super().answer(request)
        finally:
            self._in_flight -= 1
        self.arrivals[number] = arrival._replace(code=response.status)
        if _has_final_status(response):
            self._seen.add(message_id)
        return response


def _has_final_status(response: web.Response) -> bool:
    assert isinstance(response.body, bytes)
    try:
        return json.loads(response.body)["deliverystatus"] in _FINAL_WORDS
    except (ValueError, KeyError):
        return False


async def serve(settings: SimulatorSettings) -> None:
    """Run it until the process ends."""
    async with RecordingSimulator(settings):
        await asyncio.Event().wait()


def main() -> None:
    """Run it with settings from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kit.recording_simulator")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--scenario", default="calm")
    parser.add_argument("--requests-per-second", type=float, default=0.0, help="0: no limit")
    uvloop.run(serve(SimulatorSettings(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
