"""What the headlines say is what the provider's totals say over the same range, as far as increase() can.

Daemon and simulated provider share an event loop in virtual time, and a real
Prometheus is asked what the panels ask. Every series is born before the range
begins, and at its edges, each beside a scrape, nothing moves: all that is left
between both is what increase() adds for the time from an edge to its scrape.
"""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import looptime
import pytest

from exporter.app import Daemon, Options
from exporter.config import load
from exporter.domain.model import NANOS_PER_UNIT, SECOND_US
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.server import Simulator
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.timeline import NEVER_AT, TrafficKind
from tests.dashboards.asked import queries
from tests.kit.daemon import KEY, sum_of
from tests.kit.prometheus import Prometheus, prometheus
from tests.kit.totals import Totals, select, sum_totals
from tests.kit.virtual import loop_clock
from tests.kit.waiting import until
from tests.kit.web import free_port
from tools.dashboards.constants import JOB

pytestmark = pytest.mark.needs("prometheus")
SCRAPE_SECONDS = 1
EDGE_SECONDS = 0.001
"""From an edge of the range to its scrape."""
LOOK_EVERY_SECONDS = 20.0
MOST_SECONDS = 3 * 3600.0
"""All is known long before; both in virtual time."""
KINDS = {"otp": TrafficKind.OTP, "orders": TrafficKind.ORDER}
MESSAGES = 300
"""Of each kind, before the range and again in it."""
OBJECTIVE = 0.9
ROUNDING = 1e-6
"""Scrapes are told to the millisecond."""
_CONFIG = """\
accounts:
  - name: main
    base_url: {url}
    auth: {{method: header, api_key_file: {key}}}
    requests_per_second: 100
profiles:
  # Whatever is delivered is so long before: only failures and what hangs are missed.
  calm: {{first_poll: 10s, interval: 20s, max_interval: 20s, deadline: 10m, objective: {objective}}}
campaigns:
  - {{name: otp, profile: calm}}
  - {{name: orders, profile: calm}}
drop:
  - {{directory: {drop}, account: main, settle: 0s}}
storage: {{path: {state}}}
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What the provider's totals say of the messages sent in the range."""

    sent: int
    delivered: int
    ended: int
    cost: dict[str, float]
    """By currency."""
    paid: dict[str, int]
    """Delivered messages of the campaigns that are paid in a currency."""
    used: int
    """Fallbacks."""
    parts: int
    hanging: int
    """Of all that were ever sent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The range, and what is known of it."""

    due: Due
    prometheus: Prometheus
    ended_at: float
    seconds: float
    excess: float
    """How many times too large an increase() over the range may be: scrapes don't fall on its edges."""

    def shown(self, place: str) -> dict[str, float]:
        """What a headline shows at the end of the range, by currency where it has several."""
        (query,) = [asked for name, asked in queries().items() if name == f"{place} A"]
        assert query.instant
        expression = query.about({"$__range": f"{round(self.seconds * 1000)}ms", "$job": JOB})
        found = self.prometheus.query(expression, time=f"{self.ended_at:.3f}")
        return {one["metric"].get("currency", ""): float(one["value"][1]) for one in found}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Two lots of messages, one after the other; the second one's time is the range."""
    folder = tmp_path_factory.mktemp("books")
    address = f"127.0.0.1:{free_port()}"
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [address]}]}],
    }
    with (
        prometheus(folder, config) as running,
        asyncio.Runner(loop_factory=looptime.new_event_loop) as runner,
    ):
        yield runner.run(_two_lots(folder, address, running))


async def _two_lots(folder: Path, address: str, running: Prometheus) -> Seen:
    clock = loop_clock()
    settings = SimulatorSettings(port=0, requests_per_second=0)
    async with (
        Simulator(settings, clock=clock, wire_clock=clock) as provider,
        asyncio.TaskGroup() as tasks,
    ):
        stop = asyncio.Event()
        config = _configured(folder, provider.url)
        daemon = Daemon(Options(config, (address,)), load(config, {}), {}, clock)
        tasks.create_task(daemon.run(stop))
        sent = provider.sent_messages
        _drop(folder, sent)
        begun_at = await _wait_until_settled(sent, address, running) - EDGE_SECONDS
        before = await sum_totals(sent)
        _drop(folder, sent)
        ended_at = await _wait_until_settled(sent, address, running) + EDGE_SECONDS
        after = await sum_totals(sent)
        stop.set()
    seconds = round(ended_at - begun_at, 3)
    excess = seconds / (seconds - 2 * EDGE_SECONDS)
    return Seen(_due(after - before, _hanging(sent)), running, ended_at, seconds, excess)


def _configured(folder: Path, url: str) -> Path:
    (folder / "drop").mkdir()
    (folder / "key").write_text(KEY, "ascii")
    config = folder / "config.yaml"
    paths = {name: folder / name for name in ("key", "drop", "state")}
    config.write_text(_CONFIG.format(url=url, objective=OBJECTIVE, **paths), "utf-8")
    return config


def _drop(folder: Path, sent: SentMessages) -> None:
    """Send a lot, and drop its ids."""
    first = len(sent)
    draft = folder / f"{first}.tmp"
    with draft.open("w", newline="", encoding="ascii") as file:
        rows = csv.writer(file)
        rows.writerow(("message_id", "campaign", "sent_at"))
        for campaign, kind in KINDS.items():
            sent_at = f"{sent.clock.now() / SECOND_US:.6f}"
            rows.writerows((one, campaign, sent_at) for one in sent.send(kind, campaign, MESSAGES))
    draft.rename(folder / "drop" / f"{first}.csv")


def _hanging(sent: SentMessages) -> int:
    return sum(sent.timeline_of(index).final_at == NEVER_AT for index in range(len(sent)))


async def _wait_until_settled(sent: SentMessages, address: str, running: Prometheus) -> float:
    """Wait until all is known that can be; returns when Prometheus has scraped it."""
    ended = len(sent) - _hanging(sent)

    def known() -> bool:
        return sum_of(address, "smsbat_messages_finished_total") == ended and sum_of(
            address, "smsbat_slo_messages_total"
        ) == len(sent)

    async with asyncio.timeout(MOST_SECONDS):
        while not await asyncio.to_thread(known):  # noqa: ASYNC110 - metrics have no event
            await asyncio.sleep(LOOK_EVERY_SECONDS)
    return await asyncio.to_thread(_scraped_now, running)


def _scraped_now(running: Prometheus) -> float:
    """When the first scrape began that begins from now on and succeeds."""
    now = float(running.query("vector(time())")[0]["value"][1])

    def latest() -> float:
        found = running.query("timestamp(up) and up == 1")
        scraped_at = float(found[0]["value"][1]) if found else 0.0
        return scraped_at if scraped_at > now else 0.0

    return until(latest, "another scrape")


def _due(grew: Totals, hanging: int) -> Due:
    cost: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for (campaign, currency), nanos in select(grew, "cost_nanos").items():
        cost[currency] += nanos
        paid[currency] += grew[campaign, "finished", "delivered"]
    finished, fallbacks = select(grew, "finished"), select(grew, "fallbacks")
    return Due(
        sent=select(grew, "messages").total(),
        delivered=sum(count for (_, status), count in finished.items() if status == "delivered"),
        ended=finished.total(),
        cost={currency: nanos / NANOS_PER_UNIT for currency, nanos in cost.items()},
        paid=dict(paid),
        used=sum(count for (_, _, status), count in fallbacks.items() if status != "not_used"),
        parts=select(grew, "parts").total(),
        hanging=hanging,
    )


def test_the_range_is_long_beside_its_edges(seen: Seen) -> None:
    """What increase() may add is a few per cent, or the other tests would say little."""
    assert seen.due.sent == len(KINDS) * MESSAGES
    assert 1 < seen.excess < 1.05
    assert set(seen.due.cost) == {"UAH", "EUR"}
    assert seen.due.used > 0
    assert seen.due.hanging > 0


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("smsbat-delivery: Accepted", "sent"),
        ("smsbat-cost: Finished", "ended"),
        ("smsbat-cost: Spend", "cost"),
    ],
)
def test_counts_and_money_are_those_of_the_provider(seen: Seen, place: str, what: str) -> None:
    """Never less, and no more than the scrapes' distance from the edges explains; each currency alone."""
    due = getattr(seen.due, what)
    due = due if isinstance(due, dict) else {"": due}
    shown = seen.shown(place)
    assert shown.keys() == due.keys()
    for currency, value in shown.items():
        assert due[currency] * (1 - ROUNDING) <= value <= due[currency] * seen.excess * (1 + ROUNDING), (
            currency
        )


def _close(seen: Seen, shown: float, due: float) -> bool:
    """Whether a share of two counts fits, each of which may be too large by itself."""
    return due / seen.excess * (1 - ROUNDING) <= shown <= due * seen.excess * (1 + ROUNDING)


def test_shares_are_those_of_the_provider(seen: Seen) -> None:
    """Missed, budget used, fallbacks, parts and prices are the quotients of the provider's totals."""
    due = seen.due
    missed = due.sent - due.delivered
    assert _close(seen, 1 - seen.shown("smsbat-delivery: In time")[""], missed / due.sent)
    used_up = missed / (due.sent * (1 - OBJECTIVE))
    assert _close(seen, 1 - seen.shown("smsbat-delivery: Budget left")[""], used_up)
    assert _close(seen, seen.shown("smsbat-cost: Fallback share")[""], due.used / due.ended)
    assert _close(seen, seen.shown("smsbat-cost: Parts")[""], due.parts / due.ended)
    for currency, price in seen.shown("smsbat-cost: Per delivery").items():
        assert _close(seen, price, due.cost[currency] / due.paid[currency]), currency


def test_what_is_pending_is_what_hangs(seen: Seen) -> None:
    """A gauge needs no guess: to the last message."""
    assert seen.shown("smsbat-delivery: Pending") == {"": seen.due.hanging}
