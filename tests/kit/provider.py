"""The simulated provider as a process of its own, and what it recorded."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter.domain.model import Status
from exporter.simulator.scenarios import NORMAL
from exporter.simulator.timeline import NEVER_AT, TrafficKind, draw, plan_timeline
from tests.kit.arrivals import Arrival
from tests.kit.processes import Running
from tests.kit.totals import Totals, select
from tests.kit.waiting import until
from tests.kit.web import ask, free_port

RECORDING_SIMULATOR = (sys.executable, "-m", "tests.kit.recording_simulator")


class Provider:
    """A simulated provider that runs; what it recorded takes a `RecordingSimulator`."""

    def __init__(self, address: str, seed: int) -> None:
        """Talk to the simulator at `address` (host:port), whose messages are drawn from `seed`."""
        self._seed = seed
        self.sent = 0
        """How many messages were sent."""
        self.address = address
        self.url = f"http://{address}"

    def _control(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        answer = ask(self.address, f"/-/{path}", method=method, body=body)
        assert answer.status == 200, f"the simulator answers {answer.status} to {path}: {answer.text}"
        return answer.json()

    def send(self, kind: str, campaign: str, count: int) -> list[str]:
        """Send messages; returns their ids."""
        ids: list[str] = self._control("POST", "send", {"kind": kind, "campaign": campaign, "count": count})[
            "ids"
        ]
        self.sent += count
        return ids

    def deliver(self, campaign: str, count: int) -> list[str]:
        """Send one-time passwords until `count` are among them that will be delivered; returns their ids."""
        delivered: list[str] = []
        while len(delivered) < count:
            first = self.sent
            for index, message_id in enumerate(self.send("otp", campaign, count), first):
                timeline = plan_timeline(TrafficKind.OTP, draw(self._seed, index), NORMAL, 0)
                if timeline.final is Status.DELIVERED and timeline.final_at != NEVER_AT:
                    delivered.append(message_id)
        return delivered[:count]

    def fault(self, kind: str, **more: float) -> None:
        """Let something go wrong from now on."""
        self._control("POST", "fault", {"kind": kind, **more})

    def heal(self) -> None:
        """End all faults."""
        self._control("DELETE", "fault")

    def webhooks(self, url: str, **how: float | bool) -> None:
        """Post what becomes of messages from now on to `url`; see `simulator.webhooks`."""
        self._control("POST", "webhook", {"url": url, **how})

    def no_webhooks(self) -> None:
        """Post nothing new."""
        self._control("DELETE", "webhook")

    def webhook_counts(self) -> dict[str, int]:
        """What became of webhooks so far."""
        counts: dict[str, int] = self._control("GET", "webhook")
        return counts

    def totals(self, *, seen: bool = False) -> Totals:
        """What all messages come to, or those whose end was in an answer."""
        rows = self._control("GET", "totals?seen=1" if seen else "totals")
        return Counter({tuple(key): value for *key, value in rows})

    def finished(self) -> int:
        """How many messages have ended."""
        return select(self.totals(), "finished").total()

    def requests(self) -> int:
        """How many status requests have come."""
        total: int = self._control("GET", "requests")["total"]
        return total

    def most_in_flight(self) -> int:
        """The most status requests that were under way at one time."""
        most: int = self._control("GET", "requests")["most_in_flight"]
        return most

    def arrivals(self) -> list[Arrival]:
        """Every status request so far."""
        found: list[Arrival] = []
        while page := self._control("GET", f"arrivals?since={len(found)}"):
            found += [Arrival(*one) for one in page]
        return found


@contextmanager
def simulated(folder: Path, *, speed: float = 1.0, seed: int = 1) -> Iterator[Provider]:
    """A recording simulator that runs until the block ends, without a limit of requests."""
    port = free_port()
    provider = Provider(f"127.0.0.1:{port}", seed)
    argv = [*RECORDING_SIMULATOR, f"--port={port}", f"--speed={speed}", f"--seed={seed}"]
    with Running(argv, folder / "simulator.log") as process:

        def listens() -> bool:
            assert process.runs, process.said()
            return ask(provider.address, "/-/scenario").status == 200

        until(listens, "the simulator listens")
        yield provider
