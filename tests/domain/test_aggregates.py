"""What is committed, in memory: counters, cohorts and the ratios of windows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import lifecycle
from exporter.domain.aggregates import COHORT_US, Cohort, CohortKey, CommittedState, StateDelta, cohort_of
from exporter.domain.lifecycle import Observed, Step, tolerance_us
from exporter.domain.model import SECOND_US, Answer, Source, Status, Verdict
from exporter.domain.snapshot import CampaignName, Exemplar, Kind, Objective, SeriesKey, Snapshot
from tests.domain.example import DEFAULT, HOUR_US, MESSAGE, MINUTE_US, SENT_AT

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


def value(of: CommittedState, kind: Kind, label: str = "") -> int:
    """The value of a series now; 0 where it is not there."""
    return snapshot(of, SENT_AT).values.get(SeriesKey(CAMPAIGN, kind, label), 0)


def delivery(of: CommittedState, now: int) -> dict[str, float]:
    """The delivery ratios by window."""
    return {window: ratio for (_, window), ratio in snapshot(of, now).delivery_ratios.items()}


# --- counters ---------------------------------------------------------------------------------------


def test_what_was_tracked_is_new_and_pending() -> None:
    """Accepted ids count as tracked, stand in the gauge as new, and are pending."""
    book = state()
    track(book, SENT_AT, 3)
    assert value(book, Kind.TRACKED, "drop") == 3
    assert value(book, Kind.MESSAGES, "new") == 3
    assert book.pending == 3


def test_an_end_ends_pending_and_forgetting_keeps_counters() -> None:
    """A finished message leaves the pending ones; when it is forgotten only the gauge falls."""
    book = state()
    track(book, SENT_AT)
    step = ended(Status.DELIVERED, SECOND_US)
    take(book, step)
    assert book.pending == 0
    changes = StateDelta()
    changes.forgotten(step.message)
    book.apply(changes)
    assert value(book, Kind.MESSAGES, "delivered") == 0
    assert value(book, Kind.FINISHED, "delivered") == 1


def test_a_series_is_there_before_it_counts() -> None:
    """An expected series shows 0, and keeps what it has."""
    book = state()
    key = SeriesKey(CAMPAIGN, Kind.COST_NANOS, "UAH")
    book.expect(key)
    assert snapshot(book, SENT_AT).values[key] == 0
    book.apply(StateDelta({key: 5}))
    book.expect(key)
    assert snapshot(book, SENT_AT).values[key] == 5


def test_a_snapshot_never_changes() -> None:
    """What was published stays as it was, whatever is committed later."""
    book = state()
    track(book, SENT_AT)
    before = snapshot(book, SENT_AT)
    values = dict(before.values)
    track(book, SENT_AT)
    assert before.values == values
    assert snapshot(book, SENT_AT).commit > before.commit


def test_a_restart_restores_everything() -> None:
    """A state that takes over what another committed shows the same, and folds the same."""
    book, kept = state(), StateDelta()
    for sent_at in (SENT_AT, SENT_AT + MINUTE_US):
        kept.tracked(CAMPAIGN, Source.DROP, sent_at, 2)
        kept.step(ended(Status.DELIVERED, SECOND_US, sent_at=sent_at))
    book.apply(kept)
    later = CommittedState(created_at=7)
    later.restore(book.campaigns, kept.counts.items(), kept.cohorts.items())
    now = SENT_AT + HOUR_US
    assert snapshot(later, now).values == snapshot(book, now).values
    assert snapshot(later, now).delivery_ratios == snapshot(book, now).delivery_ratios
    assert later.mature_cohorts(now, deadline_us) == book.mature_cohorts(now, deadline_us)
    assert later.pending == 2


def test_no_changes_are_falsy() -> None:
    """StateDelta know whether there is anything to commit."""
    changes = StateDelta()
    assert not changes
    changes.cohort(CohortKey(1, 0), Cohort(sent=1))
    assert changes


# --- folding ----------------------------------------------------------------------------------------

RIPE_AT = BEGAN_AT + COHORT_US + DEADLINE_US + tolerance_us(DEADLINE_US)


def test_verdicts_wait_until_their_cohort_is_of_age() -> None:
    """Early successes stand only when the failures sent with them can be known too."""
    book = state()
    track(book, SENT_AT, 2)
    take(book, ended(Status.DELIVERED, SECOND_US), ended(Status.UNDELIVERABLE, SECOND_US))
    assert not book.mature_cohorts(RIPE_AT - 1, deadline_us)
    assert value(book, Kind.SLO_MESSAGES) == 0
    book.apply(book.mature_cohorts(RIPE_AT, deadline_us))
    assert value(book, Kind.SLO_MESSAGES) == 2
    assert value(book, Kind.SLO_MISSED) == 1


def test_a_cohort_is_folded_once() -> None:
    """What was folded is not folded again; what was not committed is offered again."""
    book = state()
    take(book, ended(Status.DELIVERED, SECOND_US))
    offered = book.mature_cohorts(RIPE_AT, deadline_us)
    assert book.mature_cohorts(RIPE_AT, deadline_us) == offered
    book.apply(offered)
    assert not book.mature_cohorts(RIPE_AT, deadline_us)
    assert not book.mature_cohorts(RIPE_AT + 100 * HOUR_US, deadline_us)


def test_a_verdict_between_offer_and_commit_is_not_lost() -> None:
    """A verdict that is committed while a fold is on its way to the disk is folded the next time."""
    book = state()
    take(book, ended(Status.DELIVERED, SECOND_US))
    offered = book.mature_cohorts(RIPE_AT, deadline_us)
    take(book, ended(Status.UNDELIVERABLE, SECOND_US))
    book.apply(offered)
    book.apply(book.mature_cohorts(RIPE_AT, deadline_us))
    assert (value(book, Kind.SLO_MESSAGES), value(book, Kind.SLO_MISSED)) == (2, 1)


def test_unobserved_counts_at_once_and_is_not_folded() -> None:
    """A message that nobody could look at in time is in its own counter only."""
    book = state()
    step = ended(Status.DELIVERED, HOUR_US)
    assert step.verdict is Verdict.UNOBSERVED
    take(book, step)
    assert value(book, Kind.SLO_UNOBSERVED) == 1
    assert not book.mature_cohorts(SENT_AT + 2 * HOUR_US, deadline_us)


def test_forgetting_waits_for_folding() -> None:
    """A cohort with verdicts that were never folded is not dropped, however old it is."""
    book = state()
    take(book, ended(Status.DELIVERED, SECOND_US))
    book.prune_cohorts(SENT_AT + 100 * HOUR_US)
    book.apply(book.mature_cohorts(SENT_AT + 100 * HOUR_US, deadline_us))
    assert value(book, Kind.SLO_MESSAGES) == 1
    book.prune_cohorts(SENT_AT + 100 * HOUR_US)
    assert delivery(book, SENT_AT + HOUR_US) == {}


statuses = st.sampled_from([Status.DELIVERED, Status.UNDELIVERABLE, Status.PROCESSING])
offsets = st.integers(0, 2 * HOUR_US)


@given(st.lists(st.tuples(offsets, statuses, offsets, st.integers(0, 10 * MINUTE_US)), max_size=25))
def test_counters_never_fall_and_the_pair_is_whole(history: list[tuple[int, Status, int, int]]) -> None:
    """However folding falls between events: no counter ever falls, and in the end each verdict is in once."""
    book, now = state(), SENT_AT
    verdicts: Counter[Verdict] = Counter()
    before: dict[SeriesKey, int] = {}
    for sent_us, status, seen_us, pause_us in history:
        track(book, SENT_AT + sent_us)
        step = ended(status, seen_us, sent_at=SENT_AT + sent_us)
        verdicts[step.verdict] += 1
        take(book, step)
        now += pause_us
        book.apply(book.mature_cohorts(now, deadline_us))
        values = dict(snapshot(book, now).values)
        assert all(values[key] >= known for key, known in before.items() if key.kind is not Kind.MESSAGES)
        before = values
    book.apply(book.mature_cohorts(SENT_AT + 100 * HOUR_US, deadline_us))
    assert value(book, Kind.SLO_MESSAGES) == verdicts[Verdict.MET] + verdicts[Verdict.MISSED]
    assert value(book, Kind.SLO_MISSED) == verdicts[Verdict.MISSED]
    assert value(book, Kind.SLO_UNOBSERVED) == verdicts[Verdict.UNOBSERVED]


def test_the_latest_delivery_stands_for_its_bucket() -> None:
    """One message a bucket, with how long it took and when that was known; failures stand for nothing."""
    of = state()
    take(of, ended(Status.DELIVERED, 3 * SECOND_US))
    take(of, ended(Status.DELIVERED, 4 * SECOND_US), ended(Status.UNDELIVERABLE, 5 * SECOND_US))
    bucket = SeriesKey(CAMPAIGN, Kind.DURATION_BUCKET, "poll", "2")
    latest = Exemplar(MESSAGE.message_id, 4 * SECOND_US, SENT_AT + 4 * SECOND_US)
    assert snapshot(of, SENT_AT + MINUTE_US).exemplars == {bucket: latest}


def test_many_campaigns_are_refreshed_one_by_one() -> None:
    """Whoever shares the thread gets a turn after each; what changes in between is in the snapshot too."""
    of = state()
    for campaign_id in range(2, 5):
        of.campaigns[campaign_id] = CampaignName("main", "default")
    for campaign_id in of.campaigns:
        changes = StateDelta()
        changes.tracked(campaign_id, Source.DROP, SENT_AT, 2)
        of.apply(changes)
    now = SENT_AT + HOUR_US
    steps = of.refresh(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95))
    next(steps)
    take(of, ended(Status.DELIVERED, SECOND_US))
    assert len(list(steps)) == 3
    shown = snapshot(of, now).delivery_ratios
    assert [shown[campaign_id, "24h"] for campaign_id in of.campaigns] == [0.5, 0.0, 0.0, 0.0]
    assert list(of.refresh(now, WINDOWS, lambda _: Objective(DEADLINE_US, 0.95))) == []
