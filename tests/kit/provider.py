"""The simulated provider as a process of its own, and its books and logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter.domain.model import Status
from exporter.simulator import Arrival
from exporter.simulator.fate import NEVER_AT, TrafficKind, draw, live
from exporter.simulator.scenarios import NORMAL
from tests.kit.processes import EXPORTER, Running
from tests.kit.waiting import until
from tests.kit.web import ask, free_port


class Provider:
    """What a test asks of a simulator that runs."""

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
                fate = live(TrafficKind.OTP, draw(self._seed, index), NORMAL, 0)
                if fate.final is Status.DELIVERED and fate.final_at != NEVER_AT:
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

    def books(self) -> dict[str, Any]:
        """What all messages came to, by campaign (see `simulator.tally`)."""
        campaigns: dict[str, Any] = self._control("GET", "books")["campaigns"]
        return campaigns

    def finished(self) -> int:
        """How many messages have ended."""
        return sum(sum(campaign["finished"].values()) for campaign in self.books().values())

    def requests(self) -> int:
        """How many status requests have come."""
        total: int = self._page(10**15)["total"]
        return total

    def most_in_hand(self) -> int:
        """The most status requests that it had in hand at one time."""
        most: int = self._page(10**15)["most_in_hand"]
        return most

    def arrivals(self) -> list[Arrival]:
        """Every status request so far."""
        found: list[Arrival] = []
        while page := self._page(len(found))["arrivals"]:
            found += [Arrival(*one) for one in page]
        return found

    def _page(self, since: int) -> dict[str, Any]:
        page: dict[str, Any] = self._control("GET", f"arrivals?since={since}")
        return page


@contextmanager
def simulated(folder: Path, *, speed: float = 1.0, seed: int = 1, rate: float = 0) -> Iterator[Provider]:
    """A simulator that runs until the block ends; `rate` 0 sets no limit."""
    provider = Provider(f"127.0.0.1:{free_port()}", seed)
    argv = [*EXPORTER, "simulator", f"--listen={provider.address}", f"--speed={speed}", f"--seed={seed}"]
    with Running([*argv, f"--requests-per-second={rate}"], folder / "simulator.log") as process:

        def listens() -> bool:
            assert process.runs, process.said()
            return ask(provider.address, "/-/scenario").status == 200

        until(listens, "the simulator listens")
        yield provider
