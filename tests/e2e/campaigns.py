"""One run of the daemon from start to end: three campaigns are sent to it, with or without kills.

It leaves evidence: the totals of the simulated provider, its log of requests,
and the metrics of the exporter at the end.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.simulator.timeline import HANG_SHARE, draw
from tests.kit.arrivals import Arrival
from tests.kit.daemon import Home, id_lines, sum_of
from tests.kit.processes import Running
from tests.kit.provider import Provider, simulated
from tests.kit.totals import Totals
from tests.kit.waiting import until
from tests.kit.web import Answer, ask, free_port

SEED = 7
SPEED = 1200.0
"""The slowest message of a campaign ends within seconds."""
RATE = 150.0
IN_FLIGHT = 10
MESSAGES = 2000
KILLS = 5
OTP, ORDERS, SALE = "otp", "orders", "spring-sale"
PROFILES = {OTP: "otp", ORDERS: "swift", SALE: "swift"}
KINDS = {OTP: "otp", ORDERS: "order", SALE: "campaign"}
TRACKED = {
    (OTP, "config"): 150,
    (OTP, "drop"): 650,
    (ORDERS, "drop"): 500,
    (SALE, "config"): 450,
    (SALE, "drop"): 250,
}
"""How many messages are tracked, by campaign and source."""
ENDING = sum(draw(SEED, index).end >= HANG_SHARE for index in range(MESSAGES))
"""How many of them get a final status: the others stay pending, as some always do."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of one run."""

    totals: Totals
    """The provider's."""
    arrivals: Sequence[Arrival]
    most_in_flight: int
    kill_at: Sequence[int]
    text: Answer
    openmetrics: Answer
    log: str
    """The log lines of all its daemons."""
    put_aside: Sequence[str]
    """The names of the processed drop files."""


@dataclass
class Run:
    """A daemon, its provider, and the plan of the run."""

    home: Home
    provider: Provider
    port: int
    kill_at: Sequence[int]
    """The numbers of requests at which the daemon is killed."""
    _daemon: Running | None = None
    _sent: dict[str, list[str]] = field(default_factory=dict)

    def execute(self) -> Evidence:
        """Execute the plan and wait until every message that gets a final status has been counted."""
        # Slow enough that kills interrupt requests; failing often enough to need further polls.
        self.provider.fault("status", code=500, share=0.02)
        self.provider.fault("garbage", share=0.02)
        self.provider.fault("delay", delay_seconds=0.03)
        self._list(OTP, TRACKED[OTP, "config"])
        self._list(SALE, 200)
        self.home.configure()
        self._start()
        for at_requests, act in self._make_plan():
            self._wait_for_requests(at_requests)
            act()
        return self._collect_evidence()

    @property
    def address(self) -> str:
        """The address of the daemon."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Kill the daemon, which serves until then."""
        if self._daemon is not None:
            self._daemon.kill()

    def _make_plan(self) -> list[tuple[int, Callable[[], None]]]:
        """The actions, by the number of requests at which they happen."""
        deliveries: list[tuple[int, Callable[[], None]]] = [
            (40, lambda: self.home.put(f"{ORDERS}/1.txt", id_lines(self._send(ORDERS, 200)))),
            (80, lambda: self.home.put("everything.csv", self._write_table())),
            (160, self._reload),
            (300, lambda: self.home.put(f"{OTP}/lines.jsonl", self._write_objects())),
            (400, lambda: self.home.put(f"{SALE}/answer.json", self._write_answer(SALE, 150))),
            (500, lambda: self.home.put(f"{OTP}/cascade.json", self._write_cascade(OTP, 250))),
            (600, lambda: self.home.put(f"{ORDERS}/again.list", id_lines(self._sent[ORDERS]))),
            (700, lambda: self.home.put(f"{ORDERS}/2.txt", id_lines(self._send(ORDERS, 200)))),
        ]
        kills: list[tuple[int, Callable[[], None]]] = [(at, self._kill) for at in self.kill_at]
        return sorted(deliveries + kills, key=lambda step: step[0])

    # --- what a customer's programs do --------------------------------------------------------------

    def _send(self, campaign: str, count: int) -> list[str]:
        ids = self.provider.send(KINDS[campaign], campaign, count)
        self._sent.setdefault(campaign, []).extend(ids)
        return ids

    def _list(self, campaign: str, count: int) -> None:
        self.home.listed.setdefault(campaign, []).extend(self._send(campaign, count))

    def _write_table(self) -> str:
        """A table for several campaigns, with a column that must not be stored and some known ids."""
        rows = [(message_id, ORDERS) for message_id in self._send(ORDERS, 100)]
        rows += [(message_id, SALE) for message_id in self._send(SALE, 100)]
        rows += [(message_id, OTP) for message_id in self.home.listed[OTP]]
        lines = [f"{message_id};+380501234567;{campaign}\n" for message_id, campaign in rows]
        return "message_id;phone;campaign\n" + "".join(lines)

    def _write_objects(self) -> str:
        return "".join(f"{json.dumps({'messageId': one})}\n" for one in self._send(OTP, 400))

    def _write_answer(self, campaign: str, count: int) -> str:
        """The provider's answer to sending a list."""
        messages = [
            {"messageId": one, "status": "accepted", "parts": 1, "to": "+380501234567"}
            for one in self._send(campaign, count)
        ]
        return json.dumps({"messagelistId": 1, "messages": messages})

    def _write_cascade(self, campaign: str, count: int) -> str:
        """The provider's answer to sending over several channels."""
        return json.dumps([{"messageId": one, "trackinId": "tx"} for one in self._send(campaign, count)])

    # --- what an operator does, and what happens to a machine-----------------------------------------

    def _start(self) -> None:
        self._daemon = self.home.start(port=self.port)

    def _kill(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()
        self._start()

    def _reload(self) -> None:
        """Add ids to the configuration while the daemon runs."""
        assert self._daemon is not None
        self._daemon.event("ready")
        self._list(SALE, 250)
        self.home.configure()
        self._daemon.signal(signal.SIGHUP)

    # --- the end ------------------------------------------------------------------------------------

    def _wait_for_requests(self, count: int) -> None:
        what = f"request number {count}"
        until(lambda: self.provider.requests() >= count, what)

    def _collect_evidence(self) -> Evidence:
        address = self.address

        def all_seen() -> bool:
            return sum_of(address, "smsbat_messages_finished_total") == ENDING

        until(all_seen, "all messages with a final status", every_seconds=0.3)
        assert self.provider.finished() == ENDING
        accept = "application/openmetrics-text; version=1.0.0"
        assert self._daemon is not None
        return Evidence(
            totals=self.provider.totals(),
            arrivals=self.provider.arrivals(),
            most_in_flight=self.provider.most_in_flight(),
            kill_at=self.kill_at,
            text=ask(address, "/metrics"),
            openmetrics=ask(address, "/metrics", headers={"Accept": accept}),
            log=(self.home.folder / "daemon.log").read_text("utf-8"),
            put_aside=sorted(path.name for path in self.home.drop.glob("**/done/*")),
        )


@contextmanager
def prepare_run(folder: Path, *, kills: int) -> Iterator[Run]:
    """A run that is ready to start, in a new `folder`, with so many kills at random times."""
    folder.mkdir()
    with simulated(folder, speed=SPEED, seed=SEED) as provider:
        home = Home(folder / "home", provider.url, RATE, IN_FLIGHT, PROFILES)
        kill_at = sorted(random.Random().sample(range(60, 1900), kills))
        run = Run(home, provider, free_port(), kill_at)
        try:
            yield run
        finally:
            run.close()
