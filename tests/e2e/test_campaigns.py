"""Two thousand messages, five kills, and the numbers in a real Prometheus equal the provider's books.

Two runs go side by side, one left alone and one killed; Prometheus scrapes
each in both formats, every second.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.domain.model import NANOS_PER_UNIT
from exporter.metrics import catalogue
from exporter.simulator import busiest_second, closest_repeat_us
from exporter.simulator.tally import ACCOUNT_CURRENCY
from tests.conftest import program
from tests.e2e.campaigns import (
    ENDING,
    IN_FLIGHT,
    KILLS,
    MESSAGES,
    RATE,
    TRACKED,
    Evidence,
    prepared,
)
from tests.kit.daemon import sum_in
from tests.kit.prometheus import Prometheus, asked_for_text, scraping
from tests.kit.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.needs("prometheus", "promtool")

RUNS = ("calm", "killed")
JOBS = ("calm-openmetrics", "calm-text", "killed-openmetrics", "killed-text")
DURABLE = "|".join(family.name for family in catalogue.STATE if family.type is catalogue.Type.COUNTER)
"""The counters that must outlive a process."""
PENDING = 'status=~"new|scheduled|processing|other"'
CURRENCY = "UAH"
BURST = max(1.0, RATE * 0.1)
"""What the account's bucket may have saved up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Both runs, and the Prometheus that saw them."""

    evidence: dict[str, Evidence]
    prometheus: Prometheus

    def of(self, job: str) -> Evidence:
        """What is left of the run that this job scrapes."""
        return self.evidence[job.partition("-")[0]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Both runs, gone through to the end."""
    folder = tmp_path_factory.mktemp("campaigns")
    with ExitStack() as exits:
        runs = {
            name: exits.enter_context(prepared(folder / name, kills=kills))
            for name, kills in zip(RUNS, (0, KILLS), strict=True)
        }
        targets = {}
        for name, run in runs.items():
            targets[f"{name}-openmetrics"] = run.address
            targets[f"{name}-text"] = exits.enter_context(asked_for_text(run.address))
        prometheus = exits.enter_context(scraping(folder, targets))
        with ThreadPoolExecutor(len(runs)) as threads:
            going = {name: threads.submit(run.go) for name, run in runs.items()}
        evidence = {name: one.result() for name, one in going.items()}
        ended = dict.fromkeys(((job,) for job in JOBS), float(ENDING))
        query = "sum by (job) (smsbat_messages_finished_total)"
        until(
            lambda: prometheus.values(query, "job") == ended,
            "Prometheus has seen the end",
        )
        yield Seen(evidence, prometheus)


def shown(seen: Seen, job: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """What Prometheus knows of a counter, by campaign and `labels`, without those at 0."""
    query = f'sum by ({", ".join(("campaign", *labels))}) ({name} and on (job) up{{job="{job}"}}) > 0'
    return seen.prometheus.values(query, "campaign", *labels)


def booked(evidence: Evidence, what: str) -> dict[tuple[str, ...], float]:
    """The provider's own sums, by campaign and whatever they are broken down by, without those at 0."""
    found: dict[tuple[str, ...], float] = {}

    def walk(place: tuple[str, ...], value: Any) -> None:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            for name, inner in value.items():
                walk((*place, name), inner)
        elif value:
            found[place] = float(value)

    for campaign, sums in evidence.books.items():
        walk((campaign,), sums[what])
    return found


@pytest.mark.parametrize("job", JOBS)
def test_every_message_is_tracked_once(seen: Seen, job: str) -> None:
    """However it came, and however often its file was shown or read again after a kill."""
    tracked = shown(seen, job, "smsbat_messages_tracked_total", "source")
    assert tracked == TRACKED
    assert sum(tracked.values()) == MESSAGES


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("name", "labels", "what"),
    [
        ("smsbat_messages_finished_total", ("status",), "finished"),
        ("smsbat_message_parts_total", (), "parts"),
        ("smsbat_fallbacks_total", ("type", "status"), "fallbacks"),
        ("smsbat_channel_messages_total", ("channel", "status"), "channels"),
    ],
)
def test_counters_equal_the_books(
    seen: Seen, job: str, name: str, labels: tuple[str, ...], what: str
) -> None:
    """Not one more, not one less, by campaign and by every label."""
    assert shown(seen, job, name, *labels) == booked(seen.of(job), what)


@pytest.mark.parametrize("job", JOBS)
def test_costs_equal_the_books(seen: Seen, job: str) -> None:
    """To the last billionth, by campaign and currency; what names no currency is the account's."""
    due: dict[tuple[str, ...], int] = {}
    for campaign, sums in seen.of(job).books.items():
        for currency, cost in sums["cost"].items():
            key = (campaign, CURRENCY if currency == ACCOUNT_CURRENCY else currency)
            due[key] = due.get(key, 0) + cost["nanos"]
    assert len({currency for _, currency in due}) > 1
    costs = shown(seen, job, "smsbat_cost_total", "currency")
    assert {key: round(cost * NANOS_PER_UNIT) for key, cost in costs.items()} == due


@pytest.mark.parametrize("job", JOBS)
def test_messages_that_hang_stay_pending(seen: Seen, job: str) -> None:
    """What neither ended nor was given up is shown as pending, each campaign's in its place."""
    pending = shown(seen, job, f"smsbat_messages{{{PENDING}}}")
    hanging = {
        (campaign,): float(sum(sums["messages"].values()) - sum(sums["finished"].values()))
        for campaign, sums in seen.of(job).books.items()
    }
    assert pending == {campaign: count for campaign, count in hanging.items() if count}
    assert sum(pending.values()) == MESSAGES - ENDING > 0


def test_kills_change_no_number(seen: Seen) -> None:
    """The provider treated both runs alike, and so what is known of them is the same."""
    calm, killed = (seen.evidence[name] for name in RUNS)
    assert len(killed.kill_at) == KILLS
    assert killed.books == calm.books
    query = f'{{__name__=~"{DURABLE}", __name__!~"smsbat_slo.*", job="%s"}}'
    names = ("__name__", "campaign", "source", "status", "type", "channel", "currency")
    finals = [seen.prometheus.values(query % f"{name}-openmetrics", *names) for name in RUNS]
    assert finals[0] == finals[1]


@pytest.mark.parametrize("job", JOBS)
def test_no_durable_counter_ever_steps_back(seen: Seen, job: str) -> None:
    """Prometheus sees no reset over five kills, in any series."""
    for name in DURABLE.split("|"):
        resets = seen.prometheus.query(f'resets({name}{{job="{job}"}}[15m])')
        assert {float(series["value"][1]) for series in resets} <= {0.0}, name
    for series in seen.prometheus.query(f'{{__name__=~"{DURABLE}", job="{job}"}}[15m]'):
        values = [float(value) for _, value in series["values"]]
        assert values == sorted(values), series["metric"]


@pytest.mark.parametrize("job", JOBS)
def test_tracked_less_finished_is_pending_at_every_scrape(seen: Seen, job: str) -> None:
    """No scrape shows a half-done change, kills or not."""
    selector = f'{{job="{job}"}}'
    differences = (
        f"sum by (campaign) (smsbat_messages_tracked_total{selector})"
        f" - sum by (campaign) (smsbat_messages_finished_total{selector})"
        f" - sum by (campaign) (smsbat_messages{{{PENDING}}} and on (job) up{selector})"
    )
    ended_at = float(seen.prometheus.query(f"timestamp(up{selector})")[0]["value"][1])
    result = seen.prometheus.over_time(differences, begun_at=ended_at - 240, ended_at=ended_at)
    found = [float(value) for series in result for _, value in series["values"]]
    assert len(found) > 10
    assert set(found) == {0.0}


@pytest.mark.parametrize("run", RUNS)
def test_no_message_is_asked_about_twice_within_a_second(seen: Seen, run: str) -> None:
    """I5, by the provider's own log: not over kills, and not over a reload."""
    closest = closest_repeat_us(seen.evidence[run].arrivals)
    assert closest is not None
    assert closest >= 1_000_000


@pytest.mark.parametrize("run", RUNS)
def test_no_second_sees_more_requests_than_agreed(seen: Seen, run: str) -> None:
    """I6, by the provider's own log: the rate and its burst, over kills too.

    The log has arrivals: requests that were under way when a second began may arrive in it.
    """
    arrivals = seen.evidence[run].arrivals
    assert len(arrivals) > MESSAGES
    assert busiest_second(arrivals) <= RATE + BURST + IN_FLIGHT
    ten_seconds = [arrival._replace(at_us=arrival.at_us // 10) for arrival in arrivals]
    assert busiest_second(ten_seconds) <= 10 * RATE + BURST + IN_FLIGHT


@pytest.mark.parametrize("run", RUNS)
def test_no_more_requests_are_in_flight_than_agreed(seen: Seen, run: str) -> None:
    """By the provider's own count, and the limit was reached for: requests did overlap."""
    assert 1 < seen.evidence[run].most_in_hand <= IN_FLIGHT


def test_both_formats_are_scraped_without_a_complaint(seen: Seen) -> None:
    """All targets are up in the end, and Prometheus has logged nothing about any sample."""
    # On a busy machine a scrape may take longer than a second, and the next one has to do.
    all_up = dict.fromkeys(((job,) for job in JOBS), 1.0)
    until(lambda: seen.prometheus.values("up", "job") == all_up, "every target is up")
    assert seen.prometheus.warnings() == []


@pytest.mark.parametrize("run", RUNS)
def test_promtool_finds_nothing_to_mend(seen: Seen, run: str) -> None:
    """`promtool check metrics` is silent about what a busy daemon shows."""
    answer = seen.evidence[run].text
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    checked = subprocess.run(
        [program("promtool") or "promtool", "check", "metrics"],
        input=answer.text,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("run", RUNS)
def test_both_formats_parse_and_name_every_family(seen: Seen, run: str) -> None:
    """The client library's own parsers read them, and nothing of the catalogue is missing."""
    evidence = seen.evidence[run]
    assert evidence.openmetrics.content_type.startswith("application/openmetrics-text; version=1.0.0")
    parsed = parse_openmetrics(evidence.openmetrics.text)  # type: ignore[no-untyped-call] # has no annotations
    open_names = {family.name for family in parsed}
    assert open_names >= {family.base_name for family in catalogue.ALL}
    text_names = {family.name for family in parse_text(evidence.text.text)}
    assert text_names >= {family.base_name for family in catalogue.ALL}


@pytest.mark.parametrize("run", RUNS)
def test_dropped_files_are_put_aside_and_nothing_of_them_but_ids_is_kept(seen: Seen, run: str) -> None:
    """Every file is in done/, and no phone number of theirs shows in the log or the metrics."""
    evidence = seen.evidence[run]
    assert evidence.put_aside == [
        "1.txt",
        "2.txt",
        "again.list",
        "answer.json",
        "cascade.json",
        "everything.csv",
        "lines.jsonl",
    ]
    assert "Traceback" not in evidence.log
    assert "380501234567" not in evidence.log + evidence.text.text + evidence.openmetrics.text
    assert sum_in(evidence.text.text, "smsbat_drop_lines_total", result="rejected") == 0
