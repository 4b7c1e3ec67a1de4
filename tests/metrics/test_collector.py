"""The state and what the process counts, joined: cached, shared, and the same in every encoding."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.domain.snapshot import Kind, SeriesKey
from exporter.metrics import catalogue
from exporter.metrics.collector import Collector, accepts_gzip
from exporter.metrics.exposition import Format, Renderer, Rendering
from exporter.metrics.instruments import Instruments
from tests.conftest import program
from tests.kit.waiting import HANG_SECONDS
from tests.metrics.example import EMPTY, EXAMPLE, EXAMPLE_VALUES, make_large_snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
LATER = replace(EXAMPLE, commit=42, values=EXAMPLE_VALUES | {SeriesKey(2, Kind.PARTS): 77})
IN_LATER_ONLY = b'smsbat_message_parts_total{account="main",campaign="otp"} 77.0\n'


@pytest.fixture
def registry() -> CollectorRegistry:
    """What this process counts: one counter."""
    registry = CollectorRegistry()
    Counter("smsbat_tests", "Tests.", registry=registry).inc()
    return registry


@pytest.fixture
def collector(registry: CollectorRegistry) -> Iterator[Collector]:
    """A collector that has nothing published yet."""
    with Collector(registry, created=False) as collector:
        yield collector


async def scrape(collector: Collector, accept: str = "", accept_encoding: str = "") -> Rendering:
    """A scrape that is answered."""
    rendering = await collector.render(accept, accept_encoding)
    assert rendering is not None
    return rendering


def read_body(rendering: Rendering) -> bytes:
    """Return what the scraper reads."""
    whole = b"".join(rendering.parts)
    return gzip.decompress(whole) if rendering.gzipped else whole


async def test_there_is_no_answer_before_the_first_snapshot(collector: Collector) -> None:
    """Not even zeros: they would read as a reset."""
    assert await collector.render("", "") is None


async def test_the_state_comes_first_and_the_process_after_it(collector: Collector) -> None:
    """One text of both parts, with the exact content type."""
    collector.publish(EXAMPLE)
    rendering = await scrape(collector)
    assert rendering.content_type == "text/plain; version=0.0.4; charset=utf-8"
    state = Renderer(Format.TEXT, created=False).render(EXAMPLE)
    own = b"# HELP smsbat_tests_total Tests.\n# TYPE smsbat_tests_total counter\nsmsbat_tests_total 1.0\n"
    assert read_body(rendering) == state + own


async def test_openmetrics_ends_once(collector: Collector) -> None:
    """With one `# EOF`, after both parts, and the reference parser reads all of it."""
    collector.publish(EXAMPLE)
    rendering = await scrape(collector, OPENMETRICS)
    assert rendering.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = read_body(rendering).decode()
    assert text.count("# EOF\n") == 1
    names = [family.name for family in parse_openmetrics(text)]  # type: ignore[no-untyped-call]  # the library leaves it untyped
    assert names == [*(family.base_name for family in catalogue.STATE), "smsbat_tests"]


async def test_created_is_the_states_birth_and_never_the_processs(registry: CollectorRegistry) -> None:
    """A direct counter was created at the start of this process, which is of no use."""
    with Collector(registry, created=True) as collector:
        collector.publish(EXAMPLE)
        for accept in ("", OPENMETRICS):
            text = read_body(await scrape(collector, accept))
            assert b"smsbat_messages_tracked_created{" in text
            assert b"smsbat_tests_created" not in text


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_gzip_is_one_member_with_the_same_content(collector: Collector, accept: str) -> None:
    """The parts are compressed apart; a reader that stops after the first member must miss nothing."""
    collector.publish(make_large_snapshot(50))
    plain, gzipped = await scrape(collector, accept), await scrape(collector, accept, "gzip")
    assert (plain.gzipped, gzipped.gzipped) == (False, True)
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert reader.decompress(b"".join(gzipped.parts)) == read_body(plain)
    assert reader.eof
    assert reader.unused_data == b""
    assert sum(map(len, gzipped.parts)) * 5 < sum(map(len, plain.parts))


async def test_every_scrape_sees_what_the_process_counts_now(
    collector: Collector, registry: CollectorRegistry
) -> None:
    """Only the state is cached: a commit that doesn't come is when the exporter's own metrics matter."""
    late = Counter("smsbat_late", "Late.", registry=registry)
    collector.publish(EXAMPLE)
    first = await scrape(collector)
    late.inc(3)
    second = await scrape(collector)
    assert first.parts[0] is second.parts[0]
    assert b"smsbat_late_total 0.0\n" in read_body(first)
    assert b"smsbat_late_total 3.0\n" in read_body(second)


@pytest.mark.parametrize("accept_encoding", ["", "gzip"])
async def test_simultaneous_scrapes_share_one_rendering(collector: Collector, accept_encoding: str) -> None:
    """64 of them get the very same bytes."""
    collector.publish(make_large_snapshot(20))
    async with asyncio.TaskGroup() as together:
        scrapes = [together.create_task(scrape(collector, "", accept_encoding)) for _ in range(64)]
    assert len({id(done.result()) for done in scrapes}) == 1


async def test_a_scrape_after_a_publication_shows_it_even_during_a_rendering(collector: Collector) -> None:
    """A rendering that began before is not shared with later scrapes; all of them share the next."""
    collector.publish(EXAMPLE)
    async with asyncio.TaskGroup() as together:
        before = together.create_task(scrape(collector))
        await asyncio.sleep(0)
        collector.publish(LATER)
        after = [together.create_task(scrape(collector)) for _ in range(20)]
    assert IN_LATER_ONLY not in read_body(before.result())
    assert len({id(done.result()) for done in after}) == 1
    assert IN_LATER_ONLY in read_body(after[0].result())


@pytest.mark.parametrize("accept_encoding", ["", "gzip"])
async def test_the_next_snapshot_replaces_the_one_before(collector: Collector, accept_encoding: str) -> None:
    """In whatever was kept of it."""
    collector.publish(EXAMPLE)
    assert IN_LATER_ONLY not in read_body(await scrape(collector, "", accept_encoding))
    collector.publish(LATER)
    assert IN_LATER_ONLY in read_body(await scrape(collector, "", accept_encoding))


async def test_a_snapshot_is_shown_even_if_its_commit_is_not_new(collector: Collector) -> None:
    """Ratios change with time alone: what is published is what is shown."""
    collector.publish(EXAMPLE)
    await scrape(collector)
    collector.publish(replace(EXAMPLE, delivery_ratios={}))
    assert b"smsbat_delivery_ratio{" not in read_body(await scrape(collector))


async def test_a_scraper_that_leaves_cancels_no_other(collector: Collector) -> None:
    """Even if it is the one whose rendering the others share."""
    collector.publish(EXAMPLE)
    async with asyncio.TaskGroup() as together:
        leaver = together.create_task(scrape(collector))
        stayers = [together.create_task(scrape(collector)) for _ in range(5)]
        await asyncio.sleep(0)
        leaver.cancel()
    assert all(read_body(stayer.result()) for stayer in stayers)
    assert leaver.cancelled()


async def test_the_event_loop_goes_on_while_a_rendering_is_made(
    collector: Collector, registry: CollectorRegistry
) -> None:
    """Rendering has a thread of its own."""
    collector.publish(EXAMPLE)
    begun, released = asyncio.Event(), threading.Event()
    loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()

    class WaitsForTheLoop:
        def collect(self) -> list[Metric]:
            """Be collected in the middle of a rendering."""
            assert threading.get_ident() != loop_thread
            loop.call_soon_threadsafe(begun.set)
            assert released.wait(HANG_SECONDS)
            return []

    registry.register(WaitsForTheLoop())
    async with asyncio.TaskGroup() as together:
        rendering = together.create_task(scrape(collector))
        try:
            await begun.wait()
            assert not rendering.done()
        finally:
            released.set()


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("deflate, GZIP ;q=0.5, br", True),
        ("gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzipped", False),
        ("*", False),
    ],
)
def test_gzip_is_sent_to_those_who_name_it(accept_encoding: str, accepted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Without a word about it the plain text is right for everyone."""
    assert accepts_gzip(accept_encoding) is accepted


@pytest.mark.needs("promtool")
async def test_promtool_finds_nothing_to_fix_in_the_whole() -> None:
    """Both parts together, as a scraper gets them."""
    instruments = Instruments()
    with Collector(instruments.registry, created=False) as collector:
        collector.publish(EMPTY)
        text = read_body(await scrape(collector))
    promtool = program("promtool") or "promtool"
    command = [promtool, "check", "metrics"]
    checked = await asyncio.to_thread(subprocess.run, command, input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
