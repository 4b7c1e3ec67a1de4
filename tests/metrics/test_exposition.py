"""A snapshot prints the bytes that the client library would print, whatever is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.domain.model import Source, Via
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Kind, Objective, SeriesKey, Snapshot
from exporter.domain.states import FINISHED, Status
from exporter.metrics import catalogue
from exporter.metrics.exposition import Format, Renderer
from tests.conftest import program
from tests.metrics.example import CREATED_AT, EMPTY, EXAMPLE, make_large_snapshot
from tests.metrics.library import LibraryState

FOLDER = Path(__file__).parent
GOLDEN = {
    "example.prom": (Format.TEXT, False, False),
    "example.om": (Format.OPENMETRICS, False, False),
    "example-created.prom": (Format.TEXT, True, False),
    "example-created.om": (Format.OPENMETRICS, True, False),
    "example-exemplars.om": (Format.OPENMETRICS, False, True),
}


def render(snapshot: Snapshot, form: Format, *, created: bool = False, exemplars: bool = False) -> bytes:
    """What we print, complete."""
    ending = b"# EOF\n" if form is Format.OPENMETRICS else b""
    return Renderer(form, created=created, exemplars=exemplars).render(snapshot) + ending


def render_by_library(
    snapshot: Snapshot, form: Format, *, created: bool = False, exemplars: bool = False
) -> bytes:
    """What the client library prints of the same state."""
    state = LibraryState(snapshot, created=created, exemplars=exemplars)
    if form is Format.TEXT:
        return generate_latest(state)
    text: bytes = openmetrics.generate_latest(state)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return text


def parse_samples(snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What the library's parser reads in our text."""
    text = render(snapshot, Format.TEXT).decode()
    read = [sample for family in parse_text(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in read}
    assert len(found) == len(read)
    return found


# --- the same bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN)
def test_the_example_prints_its_golden_file(name: str) -> None:
    """A change of what users scrape is a change of these files; `GOLDEN=write pytest ...` writes them."""
    form, created, exemplars = GOLDEN[name]
    actual = render(EXAMPLE, form, created=created, exemplars=exemplars)
    if os.environ.get("GOLDEN") == "write":
        (FOLDER / name).write_bytes(actual)
    assert actual == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("created", [False, True])
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    "snapshot", [EXAMPLE, EMPTY, make_large_snapshot(20)], ids=["example", "empty", "large"]
)
def test_our_bytes_are_those_of_the_library(snapshot: Snapshot, form: Format, created: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """In both formats, with and without `_created`."""
    assert render(snapshot, form, created=created) == render_by_library(snapshot, form, created=created)


def test_exemplars_are_those_of_the_library_and_within_the_limit_of_openmetrics() -> None:
    """An id stands with its bucket, unless it is so long that Prometheus would refuse the scrape."""
    text = render(EXAMPLE, Format.OPENMETRICS, exemplars=True)
    assert text == render_by_library(EXAMPLE, Format.OPENMETRICS, exemplars=True)
    parsed = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # the library leaves it untyped
    found = [sample.exemplar for family in parsed for sample in family.samples if sample.exemplar]
    assert [one.labels["message_id"] for one in found] == ["z", "abc123def456", "y" * 118]
    assert render(EXAMPLE, Format.TEXT, exemplars=True) == render(EXAMPLE, Format.TEXT)


texts = st.text(st.characters(codec="utf-8") | st.sampled_from('\\"\n{}%'), max_size=8)
counts = st.integers(0, 9) | st.integers(999_990, 1_000_010) | st.integers(0, 2**63 - 1)
kinds_with_texts = {Kind.COST_NANOS: 1, Kind.FALLBACKS: 2, Kind.CHANNELS: 2}


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Any state: all kinds, hostile label values, small and huge numbers."""
    names = draw(
        st.lists(st.tuples(texts, texts).map(lambda pair: CampaignName(*pair)), max_size=4, unique=True)
    )
    campaigns = dict(enumerate(names))
    values: dict[SeriesKey, int] = {}
    for campaign in campaigns:
        for kind, labels in kinds_with_texts.items():
            for _ in range(draw(st.integers(0, 2))):
                key = SeriesKey(campaign, kind, *(draw(texts) for _ in range(labels)))
                values[key] = draw(counts)
        for status in draw(st.sets(st.sampled_from(Status))):
            values[SeriesKey(campaign, Kind.MESSAGES, status.word)] = draw(counts)
        for via in draw(st.sets(st.sampled_from(Via))):
            for index in range(len(BUCKETS_US) + 1):
                values[SeriesKey(campaign, Kind.DURATION_BUCKET, via, str(index))] = draw(counts) + 1
            values[SeriesKey(campaign, Kind.DURATION_SUM_US, via)] = draw(counts)
            values[SeriesKey(campaign, Kind.FIRST_KNOWLEDGE, via)] = draw(counts)
    ratios = (
        st.dictionaries(st.tuples(st.sampled_from(sorted(campaigns)), texts), st.floats(0, 1))
        if campaigns
        else st.just({})
    )
    return Snapshot(
        commit=1,
        created_at=draw(st.integers(0, 2**52)),
        campaigns=campaigns,
        values=values,
        objectives={name.campaign: Objective(draw(counts), draw(st.floats(0, 1))) for name in names},
        delivery_ratios=draw(ratios),
        fallback_ratios=draw(ratios),
        oldest_pending_at={campaign: draw(counts) for campaign in campaigns if draw(st.booleans())},
    )


@given(snapshot=snapshots(), form=st.sampled_from(Format), created=st.booleans())
@settings(max_examples=100)
def test_any_state_prints_as_the_library_prints_it(snapshot: Snapshot, form: Format, created: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Escapes, sorting, cumulated buckets, fractions and exponents, for all inputs."""
    assert render(snapshot, form, created=created) == render_by_library(snapshot, form, created=created)


@given(value=counts)
def test_any_count_prints_as_the_library_prints_it(value: int) -> None:
    """Go's exponents begin at a million, and a float's digits end at 2 to the 53."""
    snapshot = replace(EMPTY, campaigns={1: CampaignName("a", "c")}, values={SeriesKey(1, Kind.PARTS): value})
    assert render(snapshot, Format.TEXT) == render_by_library(snapshot, Format.TEXT)


# --- what stands at 0, and what does not stand ------------------------------------------------------


def test_a_new_campaign_has_all_its_counters_at_zero() -> None:
    """A series that is born at 1 is invisible to `increase()`."""
    found = parse_samples(replace(EMPTY, campaigns={5: CampaignName("main", "otp")}))
    for name, label, words in (
        ("smsbat_messages", "status", [status.word for status in Status]),
        ("smsbat_messages_tracked_total", "source", list(Source)),
        ("smsbat_messages_finished_total", "status", [status.word for status in FINISHED]),
        ("smsbat_messages_late_total", "status", ["delivered", "undeliverable", "permanenterror"]),
    ):
        for word in words:
            assert found[name, frozenset({("account", "main"), ("campaign", "otp"), (label, word)})] == 0
    for name in ("slo_messages", "slo_missed", "slo_unobserved", "message_parts"):
        assert found[f"smsbat_{name}_total", frozenset({("account", "main"), ("campaign", "otp")})] == 0
    for via in Via:
        assert found["smsbat_first_knowledge_total", frozenset({("account", "main"), ("source", via)})] == 0
    polls = frozenset({("account", "main"), ("campaign", "otp"), ("source", "poll")})
    assert found["smsbat_delivery_duration_seconds_count", polls] == 0


def test_what_is_unknown_has_no_sample() -> None:
    """No ratio of no messages, no oldest of none, no currency that was never seen: never 0, never NaN."""
    found = {name for name, _ in parse_samples(replace(EMPTY, campaigns={5: CampaignName("main", "otp")}))}
    assert found.isdisjoint(
        {
            catalogue.DELIVERY_RATIO.name,
            catalogue.FALLBACK_RATIO.name,
            catalogue.OLDEST_PENDING.name,
            catalogue.COST.name,
        }
    )


def test_series_of_a_campaign_without_a_name_are_left_out() -> None:
    """A snapshot names all its campaigns; should one not, its series have no labels to stand under."""
    key = SeriesKey(9, Kind.PARTS)
    odd = replace(EMPTY, values={key: 3}, delivery_ratios={(9, "5m"): 0.5}, oldest_pending_at={9: CREATED_AT})
    assert render(odd, Format.TEXT) == render(EMPTY, Format.TEXT)


# --- the layout is kept, and never outlives its series ----------------------------------------------


@given(before=snapshots(), after=snapshots(), form=st.sampled_from(Format))
@settings(max_examples=50)
def test_a_renderer_prints_each_snapshot_as_if_it_were_its_first(
    before: Snapshot, after: Snapshot, form: Format
) -> None:
    """Whatever came before: other series, other names, another order, another birth."""
    renderer = Renderer(form, created=True)
    shuffled = replace(after, values=dict(reversed([*after.values.items()])))
    for snapshot in (before, after, shuffled, before):
        ending = b"# EOF\n" if form is Format.OPENMETRICS else b""
        assert renderer.render(snapshot) + ending == render(snapshot, form, created=True)


def test_counters_that_begin_again_show_their_new_birth() -> None:
    """With the same series as before."""
    renderer = Renderer(Format.TEXT, created=True)
    renderer.render(EXAMPLE)
    reborn = replace(EXAMPLE, created_at=CREATED_AT + 1)
    assert renderer.render(reborn) == render_by_library(reborn, Format.TEXT, created=True)


def test_a_kept_layout_shows_new_values() -> None:
    """Only the values change from one commit to the next."""
    renderer = Renderer(Format.TEXT, created=False)
    for step in range(3):
        assert renderer.render(make_large_snapshot(2, step)) == render_by_library(
            make_large_snapshot(2, step), Format.TEXT
        )


def test_rendering_again_is_several_times_less_work_than_for_the_library() -> None:
    """Counted in calls of functions: the library makes several for each sample."""
    first, second = make_large_snapshot(100), make_large_snapshot(100, 1)
    second = replace(second, values=dict(zip(first.values, second.values.values(), strict=True)))
    renderer = Renderer(Format.TEXT, created=False)
    renderer.render(first)
    ours = _count_calls(lambda: renderer.render(second))
    assert ours * 5 < _count_calls(lambda: render_by_library(second, Format.TEXT))


def _count_calls(work: Callable[[], bytes]) -> int:
    """Count the functions that are called, those of the interpreter too."""
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


# --- parsers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", [False, True])
def test_the_reference_parser_reads_openmetrics(created: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It is stricter than Prometheus: units, order of families, cumulated buckets."""
    text = render(EXAMPLE, Format.OPENMETRICS, created=created).decode()
    parsed = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]  # the library leaves it untyped
    assert list(parsed) == [family.base_name for family in catalogue.STATE]
    assert {name: family.unit for name, family in parsed.items()} == {
        family.base_name: family.unit for family in catalogue.STATE
    }


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("created", [False, True])
def test_promtool_finds_nothing_to_mend(created: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Prometheus' own linter reads the text format."""
    promtool = program("promtool") or "promtool"
    text = render(EXAMPLE, Format.TEXT, created=created)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
