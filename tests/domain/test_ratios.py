"""The ratios of windows: of what came of age in them, and of what finished in them."""

from __future__ import annotations

import pytest

from exporter.domain import lifecycle
from exporter.domain.aggregates import COHORT_US, CommittedState, StateDelta, cohort_of
from exporter.domain.lifecycle import Observed, Step
from exporter.domain.model import SECOND_US, Answer, Source, Status, Via
from exporter.domain.snapshot import CampaignName, Hour, Objective, Snapshot
from tests.domain.example import DEFAULT, HOUR_US, MESSAGE, MINUTE_US, SENT_AT, saw

CAMPAIGN = 1
DEADLINE_US = DEFAULT.deadline_us
WINDOWS = {"5m": 5 * MINUTE_US, "1h": HOUR_US, "24h": 24 * HOUR_US}
BEGAN_AT = cohort_of(CAMPAIGN, SENT_AT).began_at


def deadline_us(campaign: str) -> int:
    """The deadline of the only profile."""
    assert campaign == "default"
    return DEADLINE_US


def state() -> CommittedState:
    """A state that knows one campaign."""
    fresh = CommittedState(created_at=7)
    fresh.campaigns[CAMPAIGN] = CampaignName("main", "default")
    return fresh


def snapshot(of: CommittedState, now: int) -> Snapshot:
    """What `/metrics` shows at `now`."""
    return of.snapshot(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95), {})


def track(of: CommittedState, sent_at: int, amount: int = 1) -> None:
    """Accept messages."""
    changes = StateDelta()
    changes.tracked(CAMPAIGN, Source.DROP, sent_at, amount)
    of.apply(changes)


def take(of: CommittedState, *steps: Step) -> StateDelta:
    """Commit steps together."""
    changes = StateDelta()
    for step in steps:
        changes.step(step)
    of.apply(changes)
    return changes


def ended(status: Status, after_us: int, *, sent_at: int = SENT_AT, fell_back: bool = False) -> Step:
    """A message sent at `sent_at` is seen to end that long after it."""
    answer = Answer(status, fallbacks=(("sms", "delivered"),) if fell_back else ())
    message = MESSAGE._replace(sent_at=sent_at, accepted_at=sent_at)
    return lifecycle.advance(message, Observed(1, sent_at + after_us, 0, answer), DEFAULT, "UAH")


def delivery(of: CommittedState, now: int) -> dict[str, float]:
    """The delivery ratios by window."""
    return {window: ratio for (_, window), ratio in snapshot(of, now).delivery_ratios.items()}


# --- ratios -----------------------------------------------------------------------------------------

AGE_US = DEADLINE_US + 2 * COHORT_US
"""After this long every message of a cohort has passed its deadline."""


def test_no_ratio_without_messages_to_judge() -> None:
    """Where no message is old enough there is no sample, neither 0 nor NaN."""
    book = state()
    assert delivery(book, SENT_AT) == {}
    track(book, SENT_AT)
    take(book, ended(Status.DELIVERED, SECOND_US))
    assert delivery(book, SENT_AT + DEADLINE_US) == {}


def test_the_share_delivered_by_now() -> None:
    """Of what was sent and is of age, what is delivered by now; pending messages are in the whole."""
    book = state()
    track(book, SENT_AT, 4)
    take(book, ended(Status.DELIVERED, SECOND_US), ended(Status.UNDELIVERABLE, SECOND_US))
    now = SENT_AT + AGE_US
    assert delivery(book, now) == {"5m": 0.25, "1h": 0.25, "24h": 0.25}
    late = lifecycle.advance(MESSAGE, saw(Status.DELIVERED, AGE_US), DEFAULT, "UAH")
    take(book, late)
    assert delivery(book, now) == {"5m": 0.5, "1h": 0.5, "24h": 0.5}


def test_a_stall_shows_when_its_messages_are_of_age() -> None:
    """When everything hangs the ratio of a window goes to 0, though nothing finishes."""
    book = state()
    for minute in range(60):
        track(book, SENT_AT + minute * MINUTE_US, 10)
        if minute < 30:
            take(book, *[ended(Status.DELIVERED, SECOND_US, sent_at=SENT_AT + minute * MINUTE_US)] * 10)
    assert delivery(book, SENT_AT + 30 * MINUTE_US)["5m"] == 1.0
    assert delivery(book, SENT_AT + 42 * MINUTE_US)["5m"] == 0.0
    assert 0.5 < delivery(book, SENT_AT + 42 * MINUTE_US)["1h"] < 1


@pytest.mark.parametrize("window", list(WINDOWS))
def test_a_window_holds_what_came_of_age_in_it(window: str) -> None:
    """A window is as long as it says: what came of age just inside is in, just before it is out."""
    book = state()
    track(book, BEGAN_AT)
    of_age_at = BEGAN_AT + COHORT_US + DEADLINE_US
    assert window not in delivery(book, of_age_at - 1)
    assert window in delivery(book, of_age_at)
    assert window in delivery(book, of_age_at + WINDOWS[window] - 1)
    assert window not in delivery(book, of_age_at + WINDOWS[window])


def test_a_cohort_comes_of_age_without_an_event() -> None:
    """Time alone brings the sample, when nothing else happens in the campaign."""
    book = state()
    track(book, SENT_AT)
    assert delivery(book, SENT_AT + COHORT_US) == {}
    assert delivery(book, SENT_AT + AGE_US) != {}


def test_fallback_ratio_of_what_finished_in_the_window() -> None:
    """The share of finished messages whose answer shows a used fallback, by when they finished."""
    book = state()
    take(
        book,
        ended(Status.DELIVERED, SECOND_US, fell_back=True),
        ended(Status.UNDELIVERABLE, SECOND_US),
        ended(Status.DELIVERED, 10 * MINUTE_US),
        ended(Status.PROCESSING, MINUTE_US),
    )
    ratios = snapshot(book, SENT_AT + 11 * MINUTE_US).fallback_ratios
    assert ratios == {(CAMPAIGN, "5m"): 0.0, (CAMPAIGN, "1h"): 1 / 3, (CAMPAIGN, "24h"): 1 / 3}
    assert snapshot(book, SENT_AT + 25 * HOUR_US).fallback_ratios == {}


def test_what_ended_without_the_provider_is_no_delivery() -> None:
    """A message that we gave up stays in the whole until its delivery is learned after all."""
    book = state()
    track(book, SENT_AT, 1)
    given_up = lifecycle.advance(MESSAGE, saw(Status.PROCESSING, 25 * HOUR_US), DEFAULT, "UAH")
    take(book, given_up)
    now = SENT_AT + AGE_US
    assert delivery(book, now)["1h"] == 0.0
    event = saw(Status.DELIVERED, 26 * HOUR_US, via=Via.WEBHOOK)
    take(book, lifecycle.advance(given_up.message, event, DEFAULT, "UAH"))
    assert delivery(book, now)["1h"] == 1.0


def test_forgotten_cohorts_leave_no_sample() -> None:
    """Cohorts that no window reaches are dropped; those it reaches stay."""
    book = state()
    track(book, SENT_AT)
    track(book, SENT_AT + 2 * HOUR_US)
    book.prune_cohorts(SENT_AT + HOUR_US)
    now = SENT_AT + 3 * HOUR_US
    assert delivery(book, now) == {"1h": 0.0, "24h": 0.0}
    take(book, ended(Status.DELIVERED, SECOND_US, sent_at=SENT_AT + 2 * HOUR_US))
    assert delivery(book, now) == {"1h": 1.0, "24h": 1.0}


# --- what a ratio is of, and the hours of the day ------------------------------------------------------


def test_a_ratio_says_how_many_messages_it_is_of() -> None:
    """Those that came of age in the window, whatever became of them."""
    book = state()
    track(book, SENT_AT, 3)
    take(book, ended(Status.DELIVERED, SECOND_US))
    shown = snapshot(book, SENT_AT + DEADLINE_US + COHORT_US)
    assert shown.judged == dict.fromkeys(shown.delivery_ratios, 3)
    assert shown.judged


def test_the_hours_of_a_day_end_with_the_one_that_runs() -> None:
    """By when messages were sent, whenever their ends are known; and they move on without an event."""
    book = state()
    this_hour = SENT_AT - SENT_AT % HOUR_US
    for age_hours, amount in ((0, 5), (1, 4), (23, 3), (24, 2)):
        track(book, this_hour - age_hours * HOUR_US, amount)
    take(book, ended(Status.DELIVERED, HOUR_US, sent_at=this_hour - HOUR_US))
    shown = snapshot(book, this_hour + HOUR_US - 1)
    assert shown.hours == {CAMPAIGN: (Hour(3, 0), *[Hour(0, 0)] * 21, Hour(4, 1), Hour(5, 0))}
    later = snapshot(book, this_hour + HOUR_US)
    assert later.hours == {CAMPAIGN: (*[Hour(0, 0)] * 21, Hour(4, 1), Hour(5, 0), Hour(0, 0))}
    assert later.taken_at == this_hour + HOUR_US


def test_hours_that_nobody_can_see_are_forgotten() -> None:
    """With the cohorts that they were made of."""
    book = state()
    track(book, SENT_AT, 5)
    assert snapshot(book, SENT_AT).hours[CAMPAIGN][-1] == Hour(5, 0)
    book.prune_cohorts(SENT_AT + 2 * HOUR_US)
    track(book, SENT_AT + 2 * HOUR_US)
    assert snapshot(book, SENT_AT + 2 * HOUR_US).hours[CAMPAIGN][-3:] == (Hour(0, 0), Hour(0, 0), Hour(1, 0))
