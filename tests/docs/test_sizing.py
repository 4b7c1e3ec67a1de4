"""The page about sizing: its figures are those that were measured, and its sums are right."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from exporter.domain.model import SECOND_US, Priority, Source
from exporter.domain.snapshot import CampaignName, Kind, Objective, SeriesKey, Snapshot
from exporter.metrics.exposition import Format, Renderer
from exporter.metrics.instruments import Instruments
from exporter.store import Arrival
from exporter.store.sqlite import SqliteStore
from tests.docs.pages import Page
from tests.engine.settings import make_settings

PAGE = Page("docs/sizing.md")
BENCH = Page("bench/README.md")
SERIES = dict(PAGE.table("for").rows)
PAIRS = "each pair of channel and status, or fallback and status, that occurred, per campaign"
WINDOWS = ("5m", "1h", "24h")
MESSAGES = 20_000


def number(text: str) -> float:
    """The first number in a text."""
    found = re.search(r"[0-9][0-9,]*(\.[0-9]+)?", text)
    assert found is not None
    return float(found[0].replace(",", ""))


def stated(pattern: str) -> list[float]:
    """The numbers in the page's prose that the groups of a pattern find; spaces stand for any space."""
    found = re.search(pattern.replace(" ", r"\s+"), PAGE.path.read_text("utf-8"))
    assert found is not None, pattern
    return [number(group) for group in found.groups()]


def samples_of(campaigns: int, *occurred: SeriesKey) -> int:
    """How many samples the state has, once these series have counted something."""
    numbers = range(1, campaigns + 1)
    values = {SeriesKey(one, Kind.COST_NANOS, "UAH"): 0 for one in numbers} | dict.fromkeys(occurred, 1)
    of_windows = {(one, window): 0.5 for one in numbers for window in WINDOWS}
    snapshot = Snapshot(
        commit=1,
        created_at=SECOND_US,
        campaigns={one: CampaignName("main", f"c{one}") for one in numbers},
        values=values,
        objectives={f"c{one}": Objective(SECOND_US, 0.95) for one in numbers},
        delivery_ratios=of_windows,
        fallback_ratios=of_windows,
        oldest_pending_at=dict.fromkeys(numbers, SECOND_US),
    )
    return lines(Renderer(Format.TEXT, created=False).render(snapshot))


def lines(text: bytes) -> int:
    """How many samples there are, without those that say when a counter was born."""
    return sum(not re.match(rb"#|\w+_created\b", line) for line in text.splitlines())


def test_series_of_a_campaign_are_counted_right() -> None:
    """What one campaign more, one window more, and each kind of news add to a scrape."""
    one = samples_of(2) - samples_of(1)
    windows = len(WINDOWS) * int(SERIES["each window of `windows`, per campaign"])
    assert one == int(SERIES["each campaign of an account"]) + windows
    assert [one] == stated(r"three default windows has (\d+)")
    for row, series in {
        "each further currency, per campaign": SeriesKey(1, Kind.COST_NANOS, "EUR"),
        "once webhooks tell deliveries, per campaign": SeriesKey(1, Kind.DURATION_BUCKET, "webhook", "0"),
        PAIRS: SeriesKey(1, Kind.CHANNELS, "sms", "delivered"),
    }.items():
        assert samples_of(1, series) - samples_of(1) == int(SERIES[row]), row


def test_series_of_an_account_and_the_process_are_about_as_many() -> None:
    """Those that stand there from the start; some gauges come when there is something to measure."""

    def shown(*accounts: str) -> int:
        instruments = Instruments()
        instruments.configure(make_settings(*accounts))
        return lines(generate_latest(instruments.registry))

    account = shown("one", "two") - shown("one")
    assert account <= int(SERIES["each account"]) <= account + 20
    assert abs(shown("one") - account - int(SERIES["the process"])) <= 10


def test_a_message_takes_as_much_disk_as_is_said(tmp_path: Path) -> None:
    """Messages with UUIDs for ids, written as they come in, take less than what the page plans with."""
    store = SqliteStore(tmp_path, now=SECOND_US)
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "orders")
    ids = [str(uuid.UUID(int=number * (2**128 // MESSAGES))) for number in range(MESSAGES)]
    for start in range(0, MESSAGES, 1_000):
        arrivals = [
            Arrival(campaign, one, SECOND_US, SECOND_US, Priority.NORMAL)
            for one in ids[start : start + 1_000]
        ]
        store.track(account, arrivals, Source.DROP, now=SECOND_US, uptime_us=0, room=MESSAGES, file=None)
    store.close()
    (planned,) = stated(r"(\d+) bytes . messages kept")
    assert 0.6 * planned < (tmp_path / "state.sqlite3").stat().st_size / MESSAGES < planned


def test_figures_are_those_that_were_measured() -> None:
    """Requests for a message and bytes a message are those of the benchmarks."""
    measured = {row[0]: row[1] for row in BENCH.table("every 5 s").rows}
    needed = {
        row[0].strip("`"): row[1] for row in PAGE.table("messages an hour at 10 requests a second").rows
    }
    for profile, benchmark in (("otp", "otp"), ("default", "order"), ("campaign", "campaign")):
        assert needed[profile] == measured[f"{benchmark}: requests/message"]
    memory = {row[0]: row[1] for row in BENCH.table("dictionary and heap").rows}
    assert (
        number(memory["resident MiB (goal 200)"]) == stated(r"A million pending messages took (\d+) MiB")[0]
    )
    assert (
        number(memory["bytes/message, beyond the idle process"])
        <= stated(r"(\d+) bytes . messages pending")[0]
    )


def test_sums_are_right() -> None:
    """Every number of the tables and of the example follows from the formulas above it."""
    for _, each, hourly in PAGE.table("messages an hour at 10 requests a second").rows:
        assert number(hourly) == pytest.approx(10 * 3600 / number(each), rel=1e-4)
    *rows, total = PAGE.table("requests a second").rows
    rates = [number(hourly) * number(each) / 3600 for _, hourly, each, _ in rows]
    assert [number(row[3]) for row in rows] == [round(rate, 2) for rate in rates]
    assert number(total[3]) == pytest.approx(sum(rates), abs=0.01)
    (third_free,) = stated(r"With a third free that is (\d+)")
    assert third_free == round(sum(rates) * 1.5)
    daily, kept = stated(r"In a day (\S+) messages come, so (\S+) are kept")
    assert daily == pytest.approx(24 * sum(number(row[1]) for row in rows), rel=1e-3)
    assert kept == 7 * daily
    messages, tombstones, log, together = stated(r"(\d+) MB, (\d+) MB and (\d+) MiB, or (\d+) MB")
    assert (messages, tombstones) == (round(kept * 200 / 1e6), round(kept * 40 / 1e6))
    assert together == round(messages + tombstones + log * 1.048576)
    campaigns, with_process = stated(
        r"Three campaigns are (\d+) series, with the account and the process (\d+)"
    )
    assert campaigns == 3 * stated(r"three default windows has (\d+)")[0]
    assert with_process == campaigns + int(SERIES["each account"]) + int(SERIES["the process"])
