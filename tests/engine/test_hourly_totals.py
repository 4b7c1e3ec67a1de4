"""What a campaign sent in each hour of the last day."""

from __future__ import annotations

from pathlib import Path

from exporter.domain.aggregates import Cohort, CohortKey, get_cohort_key
from exporter.engine.hourly_totals import Hour, HourlyTotals
from tests.domain.example import HOUR_US, SENT_AT
from tests.engine.provider import Provider, answer_delivered
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

CAMPAIGN = 1
THIS_HOUR = SENT_AT - SENT_AT % HOUR_US
IDLE = Hour(0, 0)


def make_change(at: int, change: Cohort) -> tuple[CohortKey, Cohort]:
    """A change of the cohort of `at`."""
    return get_cohort_key(CAMPAIGN, at), change


def test_the_hours_of_a_day_end_with_the_current_one() -> None:
    """Messages count in the hour of their sending, whenever they finish; hours pass without an event."""
    totals = HourlyTotals()
    for age_hours, amount in ((0, 5), (1, 4), (23, 3), (24, 2)):
        totals.add([make_change(THIS_HOUR - age_hours * HOUR_US, Cohort(sent=amount))])
    totals.add([make_change(THIS_HOUR - HOUR_US, Cohort(delivered=1)), make_change(THIS_HOUR, Cohort(met=1))])
    assert totals.list_day(CAMPAIGN, THIS_HOUR + HOUR_US - 1) == [
        *(Hour(3, 0), *[IDLE] * 21, Hour(4, 1), Hour(5, 0))
    ]
    assert totals.list_day(CAMPAIGN, THIS_HOUR + HOUR_US) == [*[IDLE] * 21, Hour(4, 1), Hour(5, 0), IDLE]
    assert totals.list_day(CAMPAIGN + 1, THIS_HOUR) == [IDLE] * 24


def test_hours_that_are_not_shown_are_pruned() -> None:
    """The hours that ended before are dropped, the others stay."""
    totals = HourlyTotals()
    totals.add([make_change(THIS_HOUR, Cohort(sent=5)), make_change(THIS_HOUR + HOUR_US, Cohort(sent=1))])
    totals.prune(THIS_HOUR + HOUR_US + 1)
    assert totals.list_day(CAMPAIGN, THIS_HOUR + HOUR_US)[-2:] == [IDLE, Hour(1, 0)]


@VIRTUAL
async def test_hours_survive_a_restart(tmp_path: Path) -> None:
    """They come from what is stored, and go on from there."""
    async with start_rig(tmp_path, Provider(answer_delivered), make_settings()) as rig:
        await rig.send(3)
        await rig.pass_time(60)
        before = rig.tracker.hourly_totals.list_day(CAMPAIGN, rig.clock.now())
        assert Hour(3, 3) in before
        await rig.crash()
        await rig.start()
        assert rig.tracker.hourly_totals.list_day(CAMPAIGN, rig.clock.now()) == before
