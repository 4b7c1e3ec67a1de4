"""The committed state in memory: counters, cohorts and the ratios of windows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import lifecycle
from exporter.domain.aggregates import (
    COHORT_US,
    Cohort,
    CohortKey,
    CommittedState,
    StateDelta,
    get_cohort_key,
)
from exporter.domain.lifecycle import Observed, Step, compute_tolerance_us
from exporter.domain.model import SECOND_US, Answer, Source, Status, Verdict, Via
from exporter.domain.snapshot import CampaignName, Exemplar, Hour, Kind, Objective, SeriesKey, Snapshot
from tests.domain.example import DEFAULT, HOUR_US, MESSAGE, MINUTE_US, SENT_AT, make_observed

CAMPAIGN = 1
DEADLINE_US = DEFAULT.deadline_us
WINDOWS = {"5m": 5 * MINUTE_US, "1h": HOUR_US, "24h": 24 * HOUR_US}
BEGAN_AT = get_cohort_key(CAMPAIGN, SENT_AT).began_at


def get_deadline_us(campaign: str) -> int:
    """The deadline of the only profile."""
    assert campaign == "default"
    return DEADLINE_US


def make_state() -> CommittedState:
    """A state that knows one campaign."""
    fresh = CommittedState(created_at=7)
    fresh.campaigns[CAMPAIGN] = CampaignName("main", "default")
    return fresh


def take_snapshot(state: CommittedState, now: int) -> Snapshot:
    """What `/metrics` shows at `now`."""
    return state.take_snapshot(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95), {})


def track(state: CommittedState, sent_at: int, amount: int = 1) -> None:
    """Accept messages."""
    changes = StateDelta()
    changes.add_tracked(CAMPAIGN, Source.DROP, sent_at, amount)
    state.apply(changes)


def commit(state: CommittedState, *steps: Step) -> StateDelta:
    """Commit steps together."""
    changes = StateDelta()
    for step in steps:
        changes.add_step(step)
    state.apply(changes)
    return changes


def make_final_step(
    status: Status, after_us: int, *, sent_at: int = SENT_AT, fell_back: bool = False
) -> Step:
    """A poll `after_us` after the sending finds the status `status`."""
    answer = Answer(status, fallbacks=(("sms", "delivered"),) if fell_back else ())
    message = MESSAGE._replace(sent_at=sent_at, accepted_at=sent_at)
    return lifecycle.advance(message, Observed(1, sent_at + after_us, 0, answer), DEFAULT, "UAH")


def get_value(state: CommittedState, kind: Kind, label: str = "") -> int:
    """The value of a series now; 0 where it is not there."""
    return take_snapshot(state, SENT_AT).values.get(SeriesKey(CAMPAIGN, kind, label), 0)


def get_delivery_ratios(state: CommittedState, now: int) -> dict[str, float]:
    """The delivery ratios by window."""
    return {window: ratio for (_, window), ratio in take_snapshot(state, now).delivery_ratios.items()}


# --- counters ---------------------------------------------------------------------------------------


def test_what_was_tracked_is_new_and_pending() -> None:
    """Accepted ids count as tracked, are `new` in the gauge, and are pending."""
    state = make_state()
    track(state, SENT_AT, 3)
    assert get_value(state, Kind.TRACKED, "drop") == 3
    assert get_value(state, Kind.MESSAGES, "new") == 3
    assert state.pending == 3


def test_a_finished_message_is_not_pending_and_removing_it_keeps_counters() -> None:
    """A finished message is not pending; when its retention is over only the gauge falls."""
    state = make_state()
    track(state, SENT_AT)
    step = make_final_step(Status.DELIVERED, SECOND_US)
    commit(state, step)
    assert state.pending == 0
    changes = StateDelta()
    changes.remove_message(step.message)
    state.apply(changes)
    assert get_value(state, Kind.MESSAGES, "delivered") == 0
    assert get_value(state, Kind.FINISHED, "delivered") == 1


def test_a_series_is_there_before_it_counts() -> None:
    """An initialized series shows 0; one that has a value keeps it."""
    state = make_state()
    key = SeriesKey(CAMPAIGN, Kind.COST_NANOS, "UAH")
    state.initialize_series(key)
    assert take_snapshot(state, SENT_AT).values[key] == 0
    state.apply(StateDelta({key: 5}))
    state.initialize_series(key)
    assert take_snapshot(state, SENT_AT).values[key] == 5


def test_a_snapshot_never_changes() -> None:
    """What was published stays as it was, whatever is committed later."""
    state = make_state()
    track(state, SENT_AT)
    before = take_snapshot(state, SENT_AT)
    values = dict(before.values)
    track(state, SENT_AT)
    assert before.values == values
    assert take_snapshot(state, SENT_AT).commit > before.commit


def test_a_restart_restores_everything() -> None:
    """A state restored from what another committed shows the same and matures the same cohorts."""
    state, delta = make_state(), StateDelta()
    for sent_at in (SENT_AT, SENT_AT + MINUTE_US):
        delta.add_tracked(CAMPAIGN, Source.DROP, sent_at, 2)
        delta.add_step(make_final_step(Status.DELIVERED, SECOND_US, sent_at=sent_at))
    state.apply(delta)
    later = CommittedState(created_at=7)
    later.restore(state.campaigns, delta.counts.items(), delta.cohorts.items())
    now = SENT_AT + HOUR_US
    assert take_snapshot(later, now).values == take_snapshot(state, now).values
    assert take_snapshot(later, now).delivery_ratios == take_snapshot(state, now).delivery_ratios
    assert later.mature_cohorts(now, get_deadline_us) == state.mature_cohorts(now, get_deadline_us)
    assert later.pending == 2


def test_no_changes_are_falsy() -> None:
    """A delta is true when there is something to commit."""
    changes = StateDelta()
    assert not changes
    changes.add_cohort(CohortKey(1, 0), Cohort(sent=1))
    assert changes


# --- mature cohorts ---------------------------------------------------------------------------------

MATURE_AT = BEGAN_AT + COHORT_US + DEADLINE_US + compute_tolerance_us(DEADLINE_US)


def test_verdicts_wait_until_their_cohort_is_mature() -> None:
    """Early successes count only when the failures among the same messages can be known too."""
    state = make_state()
    track(state, SENT_AT, 2)
    commit(
        state, make_final_step(Status.DELIVERED, SECOND_US), make_final_step(Status.UNDELIVERABLE, SECOND_US)
    )
    assert not state.mature_cohorts(MATURE_AT - 1, get_deadline_us)
    assert get_value(state, Kind.SLO_MESSAGES) == 0
    state.apply(state.mature_cohorts(MATURE_AT, get_deadline_us))
    assert get_value(state, Kind.SLO_MESSAGES) == 2
    assert get_value(state, Kind.SLO_MISSED) == 1


def test_the_verdicts_of_a_cohort_are_counted_once() -> None:
    """Committed verdicts are not counted again; those not committed are offered again."""
    state = make_state()
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    offered = state.mature_cohorts(MATURE_AT, get_deadline_us)
    assert state.mature_cohorts(MATURE_AT, get_deadline_us) == offered
    state.apply(offered)
    assert not state.mature_cohorts(MATURE_AT, get_deadline_us)
    assert not state.mature_cohorts(MATURE_AT + 100 * HOUR_US, get_deadline_us)


def test_a_verdict_between_offer_and_commit_is_not_lost() -> None:
    """A verdict that is committed while others are being written is counted the next time."""
    state = make_state()
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    offered = state.mature_cohorts(MATURE_AT, get_deadline_us)
    commit(state, make_final_step(Status.UNDELIVERABLE, SECOND_US))
    state.apply(offered)
    state.apply(state.mature_cohorts(MATURE_AT, get_deadline_us))
    assert (get_value(state, Kind.SLO_MESSAGES), get_value(state, Kind.SLO_MISSED)) == (2, 1)


def test_unobserved_counts_at_once() -> None:
    """A message that was not polled in time is counted as unobserved only, and needs no mature cohort."""
    state = make_state()
    step = make_final_step(Status.DELIVERED, HOUR_US)
    assert step.verdict is Verdict.UNOBSERVED
    commit(state, step)
    assert get_value(state, Kind.SLO_UNOBSERVED) == 1
    assert not state.mature_cohorts(SENT_AT + 2 * HOUR_US, get_deadline_us)


def test_a_cohort_with_uncounted_verdicts_is_not_pruned() -> None:
    """A cohort whose verdicts were never counted is not dropped, however old it is."""
    state = make_state()
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    state.prune_cohorts(SENT_AT + 100 * HOUR_US)
    state.apply(state.mature_cohorts(SENT_AT + 100 * HOUR_US, get_deadline_us))
    assert get_value(state, Kind.SLO_MESSAGES) == 1
    state.prune_cohorts(SENT_AT + 100 * HOUR_US)
    assert get_delivery_ratios(state, SENT_AT + HOUR_US) == {}


statuses = st.sampled_from([Status.DELIVERED, Status.UNDELIVERABLE, Status.PROCESSING])
offsets = st.integers(0, 2 * HOUR_US)


@given(st.lists(st.tuples(offsets, statuses, offsets, st.integers(0, 10 * MINUTE_US)), max_size=25))
def test_counters_never_fall_and_the_pair_is_whole(history: list[tuple[int, Status, int, int]]) -> None:
    """In whatever order events and mature cohorts come: no counter falls, and each verdict counts once."""
    state, now = make_state(), SENT_AT
    verdicts: Counter[Verdict] = Counter()
    before: dict[SeriesKey, int] = {}
    for sent_us, status, seen_us, pause_us in history:
        track(state, SENT_AT + sent_us)
        step = make_final_step(status, seen_us, sent_at=SENT_AT + sent_us)
        verdicts[step.verdict] += 1
        commit(state, step)
        now += pause_us
        state.apply(state.mature_cohorts(now, get_deadline_us))
        values = dict(take_snapshot(state, now).values)
        assert all(values[key] >= known for key, known in before.items() if key.kind is not Kind.MESSAGES)
        before = values
    state.apply(state.mature_cohorts(SENT_AT + 100 * HOUR_US, get_deadline_us))
    assert get_value(state, Kind.SLO_MESSAGES) == verdicts[Verdict.MET] + verdicts[Verdict.MISSED]
    assert get_value(state, Kind.SLO_MISSED) == verdicts[Verdict.MISSED]
    assert get_value(state, Kind.SLO_UNOBSERVED) == verdicts[Verdict.UNOBSERVED]


def test_the_latest_delivery_is_the_exemplar_of_its_bucket() -> None:
    """One message for each bucket, with its duration and when it was known; failures are no exemplars."""
    state = make_state()
    commit(state, make_final_step(Status.DELIVERED, 3 * SECOND_US))
    commit(
        state,
        make_final_step(Status.DELIVERED, 4 * SECOND_US),
        make_final_step(Status.UNDELIVERABLE, 5 * SECOND_US),
    )
    bucket = SeriesKey(CAMPAIGN, Kind.DURATION_BUCKET, "poll", "2")
    latest = Exemplar(MESSAGE.message_id, 4 * SECOND_US, SENT_AT + 4 * SECOND_US)
    assert take_snapshot(state, SENT_AT + MINUTE_US).exemplars == {bucket: latest}


def test_many_campaigns_are_refreshed_one_by_one() -> None:
    """Other tasks can run after each campaign; what changes in between is in the snapshot too."""
    state = make_state()
    for campaign_id in range(2, 5):
        state.campaigns[campaign_id] = CampaignName("main", "default")
    for campaign_id in state.campaigns:
        changes = StateDelta()
        changes.add_tracked(campaign_id, Source.DROP, SENT_AT, 2)
        state.apply(changes)
    now = SENT_AT + HOUR_US
    steps = state.refresh_ratios(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95))
    next(steps)
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    assert len(list(steps)) == 3
    shown = take_snapshot(state, now).delivery_ratios
    assert [shown[campaign_id, "24h"] for campaign_id in state.campaigns] == [0.5, 0.0, 0.0, 0.0]
    assert list(state.refresh_ratios(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95))) == []


# --- ratios -----------------------------------------------------------------------------------------

AGE_US = DEADLINE_US + 2 * COHORT_US
"""After this long every message of a cohort has passed its deadline."""


def test_no_ratio_without_messages_to_judge() -> None:
    """Where no message is old enough there is no sample, neither 0 nor NaN."""
    state = make_state()
    assert get_delivery_ratios(state, SENT_AT) == {}
    track(state, SENT_AT)
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    assert get_delivery_ratios(state, SENT_AT + DEADLINE_US) == {}


def test_the_share_delivered_by_now() -> None:
    """Of the messages in mature cohorts, the share delivered by now; pending ones count in the whole."""
    state = make_state()
    track(state, SENT_AT, 4)
    commit(
        state, make_final_step(Status.DELIVERED, SECOND_US), make_final_step(Status.UNDELIVERABLE, SECOND_US)
    )
    now = SENT_AT + AGE_US
    assert get_delivery_ratios(state, now) == {"5m": 0.25, "1h": 0.25, "24h": 0.25}
    late = lifecycle.advance(MESSAGE, make_observed(Status.DELIVERED, AGE_US), DEFAULT, "UAH")
    commit(state, late)
    assert get_delivery_ratios(state, now) == {"5m": 0.5, "1h": 0.5, "24h": 0.5}


def test_a_stall_shows_when_its_messages_pass_their_deadline() -> None:
    """When everything hangs the ratio of a window goes to 0, though nothing finishes."""
    state = make_state()
    for minute in range(60):
        track(state, SENT_AT + minute * MINUTE_US, 10)
        if minute < 30:
            commit(
                state,
                *[make_final_step(Status.DELIVERED, SECOND_US, sent_at=SENT_AT + minute * MINUTE_US)] * 10,
            )
    assert get_delivery_ratios(state, SENT_AT + 30 * MINUTE_US)["5m"] == 1.0
    assert get_delivery_ratios(state, SENT_AT + 42 * MINUTE_US)["5m"] == 0.0
    assert 0.5 < get_delivery_ratios(state, SENT_AT + 42 * MINUTE_US)["1h"] < 1


@pytest.mark.parametrize("window", list(WINDOWS))
def test_a_window_has_the_cohorts_that_matured_in_it(window: str) -> None:
    """A window is as long as it says: a cohort that matured just inside is in, just before it is out."""
    state = make_state()
    track(state, BEGAN_AT)
    mature_at = BEGAN_AT + COHORT_US + DEADLINE_US
    assert window not in get_delivery_ratios(state, mature_at - 1)
    assert window in get_delivery_ratios(state, mature_at)
    assert window in get_delivery_ratios(state, mature_at + WINDOWS[window] - 1)
    assert window not in get_delivery_ratios(state, mature_at + WINDOWS[window])


def test_a_cohort_matures_without_an_event() -> None:
    """Time alone brings the sample, when nothing else happens in the campaign."""
    state = make_state()
    track(state, SENT_AT)
    assert get_delivery_ratios(state, SENT_AT + COHORT_US) == {}
    assert get_delivery_ratios(state, SENT_AT + AGE_US) != {}


def test_fallback_ratio_of_what_finished_in_the_window() -> None:
    """The share of finished messages whose answer shows a used fallback, by when they finished."""
    state = make_state()
    commit(
        state,
        make_final_step(Status.DELIVERED, SECOND_US, fell_back=True),
        make_final_step(Status.UNDELIVERABLE, SECOND_US),
        make_final_step(Status.DELIVERED, 10 * MINUTE_US),
        make_final_step(Status.PROCESSING, MINUTE_US),
    )
    ratios = take_snapshot(state, SENT_AT + 11 * MINUTE_US).fallback_ratios
    assert ratios == {(CAMPAIGN, "5m"): 0.0, (CAMPAIGN, "1h"): 1 / 3, (CAMPAIGN, "24h"): 1 / 3}
    assert take_snapshot(state, SENT_AT + 25 * HOUR_US).fallback_ratios == {}


def test_what_ended_without_the_provider_is_no_delivery() -> None:
    """A message that we gave up is not delivered, until a late final status says so."""
    state = make_state()
    track(state, SENT_AT, 1)
    given_up = lifecycle.advance(MESSAGE, make_observed(Status.PROCESSING, 25 * HOUR_US), DEFAULT, "UAH")
    commit(state, given_up)
    now = SENT_AT + AGE_US
    assert get_delivery_ratios(state, now)["1h"] == 0.0
    event = make_observed(Status.DELIVERED, 26 * HOUR_US, via=Via.WEBHOOK)
    commit(state, lifecycle.advance(given_up.message, event, DEFAULT, "UAH"))
    assert get_delivery_ratios(state, now)["1h"] == 1.0


def test_pruned_cohorts_leave_no_sample() -> None:
    """Cohorts that no window reaches are dropped; those it reaches stay."""
    state = make_state()
    track(state, SENT_AT)
    track(state, SENT_AT + 2 * HOUR_US)
    state.prune_cohorts(SENT_AT + HOUR_US)
    now = SENT_AT + 3 * HOUR_US
    assert get_delivery_ratios(state, now) == {"1h": 0.0, "24h": 0.0}
    commit(state, make_final_step(Status.DELIVERED, SECOND_US, sent_at=SENT_AT + 2 * HOUR_US))
    assert get_delivery_ratios(state, now) == {"1h": 1.0, "24h": 1.0}


# --- what a ratio is computed from, and the hours of the day --------------------------------------------


def test_a_ratio_says_how_many_messages_it_is_computed_from() -> None:
    """The number of messages that matured in the window, whatever their status."""
    state = make_state()
    track(state, SENT_AT, 3)
    commit(state, make_final_step(Status.DELIVERED, SECOND_US))
    shown = take_snapshot(state, SENT_AT + DEADLINE_US + COHORT_US)
    assert shown.judged == dict.fromkeys(shown.delivery_ratios, 3)
    assert shown.judged


def test_the_hours_of_a_day_end_with_the_current_one() -> None:
    """Messages count in the hour of their sending, whenever they finish; hours pass without an event."""
    state = make_state()
    this_hour = SENT_AT - SENT_AT % HOUR_US
    for age_hours, amount in ((0, 5), (1, 4), (23, 3), (24, 2)):
        track(state, this_hour - age_hours * HOUR_US, amount)
    commit(state, make_final_step(Status.DELIVERED, HOUR_US, sent_at=this_hour - HOUR_US))
    shown = take_snapshot(state, this_hour + HOUR_US - 1)
    assert shown.hours == {CAMPAIGN: (Hour(3, 0), *[Hour(0, 0)] * 21, Hour(4, 1), Hour(5, 0))}
    later = take_snapshot(state, this_hour + HOUR_US)
    assert later.hours == {CAMPAIGN: (*[Hour(0, 0)] * 21, Hour(4, 1), Hour(5, 0), Hour(0, 0))}
    assert later.taken_at == this_hour + HOUR_US


def test_hours_that_are_not_shown_are_pruned() -> None:
    """Together with their cohorts."""
    state = make_state()
    track(state, SENT_AT, 5)
    assert take_snapshot(state, SENT_AT).hours[CAMPAIGN][-1] == Hour(5, 0)
    state.prune_cohorts(SENT_AT + 2 * HOUR_US)
    track(state, SENT_AT + 2 * HOUR_US)
    assert take_snapshot(state, SENT_AT + 2 * HOUR_US).hours[CAMPAIGN][-3:] == (
        Hour(0, 0),
        Hour(0, 0),
        Hour(1, 0),
    )
