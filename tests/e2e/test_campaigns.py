"""Two thousand messages, five kills, and the numbers in a real Prometheus equal the provider's totals.

Two runs go side by side, one undisturbed and one killed; Prometheus scrapes
each in both formats, every second.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.domain.model import NANOS_PER_UNIT
from exporter.metrics import catalogue
from tests.conftest import program
from tests.e2e.campaigns import (
    ENDING,
    IN_FLIGHT,
    KILLS,
    MESSAGES,
    RATE,
    TRACKED,
    Evidence,
    prepare_run,
)
from tests.kit.arrivals import count_busiest_second, find_closest_repeat_us
from tests.kit.daemon import sum_in
from tests.kit.prometheus import Prometheus, asked_for_text, scraping
from tests.kit.totals import select
from tests.kit.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.needs("prometheus", "promtool")

RUNS = ("calm", "killed")
JOBS = ("calm-openmetrics", "calm-text", "killed-openmetrics", "killed-text")
DURABLE = "|".join(family.name for family in catalogue.STATE if family.type is catalogue.Type.COUNTER)
"""The counters that must survive a restart."""
PENDING = 'status=~"new|scheduled|processing|other"'
BURST = max(1.0, RATE * 0.1)
"""The capacity of the account's token bucket."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Both runs, and the Prometheus that scraped them."""

    evidence: dict[str, Evidence]
    prometheus: Prometheus

    def of(self, job: str) -> Evidence:
        """The evidence of the run that this job scrapes."""
        return self.evidence[job.partition("-")[0]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Both runs, finished."""
    folder = tmp_path_factory.mktemp("campaigns")
    with ExitStack() as exits:
        by_name = {
            name: exits.enter_context(prepare_run(folder / name, kills=kills))
            for name, kills in zip(RUNS, (0, KILLS), strict=True)
        }
        targets = {}
        for name, run in by_name.items():
            targets[f"{name}-openmetrics"] = run.address
            targets[f"{name}-text"] = exits.enter_context(asked_for_text(run.address))
        prometheus = exits.enter_context(scraping(folder, targets))
        with ThreadPoolExecutor(len(by_name)) as threads:
            going = {name: threads.submit(run.execute) for name, run in by_name.items()}
        evidence = {name: one.result() for name, one in going.items()}
        ended = dict.fromkeys(((job,) for job in JOBS), float(ENDING))
        query = "sum by (job) (smsbat_messages_finished_total)"
        until(
            lambda: prometheus.values(query, "job") == ended,
            "Prometheus has scraped the last counts",
        )
        yield Runs(evidence, prometheus)


def query_counter(runs: Runs, job: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """A counter in Prometheus, by campaign and `labels`, without series at 0."""
    query = f'sum by ({", ".join(("campaign", *labels))}) ({name} and on (job) up{{job="{job}"}}) > 0'
    return runs.prometheus.values(query, "campaign", *labels)


@pytest.mark.parametrize("job", JOBS)
def test_every_message_is_tracked_once(runs: Runs, job: str) -> None:
    """From any source, and however often its file was dropped or read again after a kill."""
    tracked = query_counter(runs, job, "smsbat_messages_tracked_total", "source")
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
def test_counters_equal_the_totals_of_the_provider(
    runs: Runs, job: str, name: str, labels: tuple[str, ...], what: str
) -> None:
    """Exactly, by campaign and by every label."""
    assert query_counter(runs, job, name, *labels) == select(runs.of(job).totals, what)


@pytest.mark.parametrize("job", JOBS)
def test_costs_equal_the_totals_of_the_provider(runs: Runs, job: str) -> None:
    """To the last billionth, by campaign and currency; a cost without currency has the account's."""
    due = select(runs.of(job).totals, "cost_nanos")
    assert len({currency for _, currency in due}) > 1
    costs = query_counter(runs, job, "smsbat_cost_total", "currency")
    assert {key: round(cost * NANOS_PER_UNIT) for key, cost in costs.items()} == due


@pytest.mark.parametrize("job", JOBS)
def test_messages_without_a_final_status_stay_pending(runs: Runs, job: str) -> None:
    """Messages that are neither finished nor given up are pending, in each campaign."""
    pending = query_counter(runs, job, f"smsbat_messages{{{PENDING}}}")
    hanging: Counter[tuple[str, ...]] = Counter()
    for (campaign, what, *_), count in runs.of(job).totals.items():
        hanging[campaign,] += {"messages": count, "finished": -count}.get(what, 0)
    assert pending == +hanging
    assert sum(pending.values()) == MESSAGES - ENDING > 0


def test_kills_change_no_number(runs: Runs) -> None:
    """The provider treated both runs alike, so their counters are the same."""
    calm, killed = (runs.evidence[name] for name in RUNS)
    assert len(killed.kill_at) == KILLS
    assert killed.totals == calm.totals
    query = f'{{__name__=~"{DURABLE}", __name__!~"smsbat_slo.*", job="%s"}}'
    names = ("__name__", "campaign", "source", "status", "type", "channel", "currency")
    finals = [runs.prometheus.values(query % f"{name}-openmetrics", *names) for name in RUNS]
    assert finals[0] == finals[1]


@pytest.mark.parametrize("job", JOBS)
def test_no_durable_counter_ever_decreases(runs: Runs, job: str) -> None:
    """Prometheus sees no reset over five kills, in any series."""
    for name in DURABLE.split("|"):
        resets = runs.prometheus.query(f'resets({name}{{job="{job}"}}[15m])')
        assert {float(series["value"][1]) for series in resets} <= {0.0}, name
    for series in runs.prometheus.query(f'{{__name__=~"{DURABLE}", job="{job}"}}[15m]'):
        values = [float(value) for _, value in series["values"]]
        assert values == sorted(values), series["metric"]


@pytest.mark.parametrize("job", JOBS)
def test_pending_is_tracked_minus_finished_in_every_scrape(runs: Runs, job: str) -> None:
    """No scrape shows a partial change, with or without kills."""
    selector = f'{{job="{job}"}}'
    differences = (
        f"sum by (campaign) (smsbat_messages_tracked_total{selector})"
        f" - sum by (campaign) (smsbat_messages_finished_total{selector})"
        f" - sum by (campaign) (smsbat_messages{{{PENDING}}} and on (job) up{selector})"
    )
    ended_at = float(runs.prometheus.query(f"timestamp(up{selector})")[0]["value"][1])
    result = runs.prometheus.over_time(differences, begun_at=ended_at - 240, ended_at=ended_at)
    found = [float(value) for series in result for _, value in series["values"]]
    assert len(found) > 10
    assert set(found) == {0.0}


@pytest.mark.parametrize("run", RUNS)
def test_no_message_is_polled_twice_within_a_second(runs: Runs, run: str) -> None:
    """I5, by the provider's log: across kills, and across a reload."""
    closest = find_closest_repeat_us(runs.evidence[run].arrivals)
    assert closest is not None
    assert closest >= 1_000_000


@pytest.mark.parametrize("run", RUNS)
def test_no_second_sees_more_requests_than_agreed(runs: Runs, run: str) -> None:
    """I6, by the provider's log: the rate and its burst, across kills too.

    The log has times of arrival: requests in flight at the begin of a second may arrive in it.
    """
    arrivals = runs.evidence[run].arrivals
    assert len(arrivals) > MESSAGES
    assert count_busiest_second(arrivals) <= RATE + BURST + IN_FLIGHT
    ten_seconds = [arrival._replace(at_us=arrival.at_us // 10) for arrival in arrivals]
    assert count_busiest_second(ten_seconds) <= 10 * RATE + BURST + IN_FLIGHT


@pytest.mark.parametrize("run", RUNS)
def test_no_more_requests_are_in_flight_than_agreed(runs: Runs, run: str) -> None:
    """By the provider's count; and requests did overlap."""
    assert 1 < runs.evidence[run].most_in_flight <= IN_FLIGHT


def test_both_formats_are_scraped_without_a_complaint(runs: Runs) -> None:
    """All targets are up in the end, and Prometheus has logged no warning about a sample."""
    # On a busy machine a scrape may take longer than a second; then the next one has to do.
    all_up = dict.fromkeys(((job,) for job in JOBS), 1.0)
    until(lambda: runs.prometheus.values("up", "job") == all_up, "every target is up")
    assert runs.prometheus.warnings() == []


@pytest.mark.parametrize("run", RUNS)
def test_promtool_finds_nothing_to_fix(runs: Runs, run: str) -> None:
    """`promtool check metrics` has no complaint about the metrics of a busy daemon."""
    answer = runs.evidence[run].text
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
def test_both_formats_parse_and_name_every_family(runs: Runs, run: str) -> None:
    """The parsers of the client library read them, and no family of the catalogue is missing."""
    evidence = runs.evidence[run]
    assert evidence.openmetrics.content_type.startswith("application/openmetrics-text; version=1.0.0")
    parsed = parse_openmetrics(evidence.openmetrics.text)  # type: ignore[no-untyped-call] # has no annotations
    open_names = {family.name for family in parsed}
    assert open_names >= {family.base_name for family in catalogue.ALL}
    text_names = {family.name for family in parse_text(evidence.text.text)}
    assert text_names >= {family.base_name for family in catalogue.ALL}


@pytest.mark.parametrize("run", RUNS)
def test_dropped_files_are_moved_and_only_their_ids_are_stored(runs: Runs, run: str) -> None:
    """Every file is in done/, and none of their phone numbers is in the log or the metrics."""
    evidence = runs.evidence[run]
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
