"""The example of the page about numbers, played by the real tracker, poller and store in virtual time."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.config.units import parse_duration_us
from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Answer, NewMessage, Outcome, Reply, Source
from exporter.domain.states import Status
from exporter.metrics.exposition import Format, Renderer
from tests.docs.pages import Page
from tests.engine.provider import Provider
from tests.engine.rig import Rig, start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

PAGE = Page("docs/numbers.md")
CAMPAIGN = "orders"
MESSAGES = {row[0].strip("`"): row for row in PAGE.table("what became of it").rows}
SAMPLES = PAGE.table("sample")
COST_NANOS = NANOS_PER_UNIT // 2


def minutes(clock: str) -> int:
    """The time since 12:00."""
    hours, rest = clock.split(":")
    return (int(hours) - 12) * 60 + int(rest)


def told(message_id: str, after_us: int) -> Reply:
    """What the provider says of a message that long after it was sent."""
    _, _, fate, fallback = MESSAGES[message_id]
    end = re.fullmatch(r"(\w+) after (\w+)", fate)
    if end is None or after_us < (parse_duration_us(end[2]) or 0):
        return Reply(Outcome.OK, Answer(Status.PROCESSING))
    status = Status[end[1].upper()]
    fallbacks = ((fallback, "delivered"),) if fallback else ()
    cost_nanos = COST_NANOS if status is Status.DELIVERED else 0
    return Reply(Outcome.OK, Answer(status, cost_nanos=cost_nanos, fallbacks=fallbacks))


def shown(rig: Rig, sample: str) -> str:
    """A cell of the table, from what `/metrics` shows: the sum of all samples with these labels."""
    name, _, written = sample.strip("`").partition("{")
    labels = {("campaign", CAMPAIGN), *re.findall(r'(\w+)="([^"]*)"', written)}
    text = Renderer(Format.TEXT, created=False).render(rig.snapshot).decode()
    values = [
        found.value
        for family in text_string_to_metric_families(text)
        for found in family.samples
        if found.name == name and labels <= found.labels.items()
    ]
    return f"{sum(values):.3g}" if values else "none"


@VIRTUAL
async def test_the_example_is_what_the_program_counts(tmp_path: Path) -> None:
    """Every number of its table is what `/metrics` shows at that time."""
    (profiles,) = (
        loaded for block in PAGE.of_language("yaml") if "profiles" in (loaded := yaml.safe_load(block.text))
    )
    # To the configuration every value is text, as it is written.
    texts = {
        name: {key: str(value) for key, value in profile.items()}
        for name, profile in profiles["profiles"].items()
    }
    settings = make_settings(campaigns={CAMPAIGN: "order"}, windows=["1h"], profiles=texts)
    loop = asyncio.get_running_loop()
    noon_seconds = loop.time()

    def answer(message_id: str) -> Reply:
        return told(message_id, round((loop.time() - noon_seconds) * SECOND_US))

    async with start_rig(tmp_path, Provider(answer), settings) as rig:
        noon = rig.clock.now()
        found = {}
        for clock in sorted({row[1] for row in MESSAGES.values()} | set(SAMPLES.header[1:]), key=minutes):
            await rig.pass_time(noon_seconds + minutes(clock) * 60 - loop.time())
            fresh = [
                NewMessage(name, CAMPAIGN, "main", noon) for name, row in MESSAGES.items() if row[1] == clock
            ]
            if fresh:
                await rig.tracker.track(fresh, Source.DROP)
            found[clock] = [shown(rig, row[0]) for row in SAMPLES.rows]
    for column, clock in enumerate(SAMPLES.header[1:], 1):
        assert found[clock] == [row[column] for row in SAMPLES.rows], clock
