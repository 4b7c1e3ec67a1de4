"""When a message is polled next, alone and in any history together with `lifecycle`."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.domain import lifecycle
from exporter.domain.lifecycle import Event, Observed, PollFailed, Step, Tick, compute_tolerance_us
from exporter.domain.model import SECOND_US, Answer, Message, Outcome, Policy, Verdict, Via
from exporter.domain.schedule import (
    CLOSEST_US,
    JITTER_RATIO,
    Rank,
    find_longest_delay_us,
    first_poll_at,
    get_rank,
    next_poll_at,
)
from exporter.domain.snapshot import Kind
from exporter.domain.states import FINAL_BY_PROVIDER, ClaimState, Status
from tests.domain.example import (
    CAMPAIGN,
    DEFAULT,
    HOUR_US,
    MESSAGE,
    MINUTE_US,
    OTP,
    SENT_AT,
    UPTIME_AT_ACCEPT_US,
    make_observed,
)

PROFILES = (OTP, DEFAULT, CAMPAIGN)
JUDGED = MESSAGE._replace(verdict=Verdict.MISSED)
units = st.floats(min_value=0, max_value=1, exclude_max=True)
policies = st.sampled_from(PROFILES)
HUGE = 10**9


def compute_seconds_to_poll(
    message: Message, policy: Policy = DEFAULT, *, seconds: float = 0, u: float = 0.5
) -> float:
    """Seconds until the next poll, `seconds` after sending; the provider answers all the time."""
    past_us = int(seconds * SECOND_US)
    now = SENT_AT + past_us
    return (next_poll_at(message, policy, now, UPTIME_AT_ACCEPT_US + past_us, u) - now) / SECOND_US


@given(
    policy=policies,
    polls=st.integers(0, HUGE),
    failures=st.integers(0, HUGE),
    verdict=st.sampled_from([Verdict.NONE, Verdict.MISSED]),
    past_us=st.integers(-HOUR_US, 200 * HOUR_US),
    answered_us=st.integers(0, 200 * HOUR_US),
    u=units,
)
def test_bounds(  # noqa: PLR0913 - all that the next poll depends on
    *, policy: Policy, polls: int, failures: int, verdict: Verdict, past_us: int, answered_us: int, u: float
) -> None:
    """No two polls are closer than the provider's second, none further apart than the longest interval."""
    message = MESSAGE._replace(polls=polls, failures=failures, verdict=verdict)
    now = SENT_AT + past_us
    delay_us = next_poll_at(message, policy, now, UPTIME_AT_ACCEPT_US + answered_us, u) - now
    # A poll just before the deadline is moved to it, and up to half a second after it.
    moved_us = policy.interval_us // 2 + SECOND_US // 2 if verdict is Verdict.NONE else 0
    assert SECOND_US < CLOSEST_US <= delay_us
    assert delay_us <= policy.max_interval_us * (1 + JITTER_RATIO) + moved_us


@given(policies, st.integers(0, 50), st.integers(0, 50), st.integers(0, 200 * HOUR_US), units)
def test_an_unjudged_message_is_polled_at_its_deadline(
    policy: Policy, polls: int, failures: int, past_us: int, u: float
) -> None:
    """An unjudged message is never polled so late that it can't be judged any more."""
    past_us %= policy.deadline_us
    message = MESSAGE._replace(polls=polls, failures=failures)
    poll_at = next_poll_at(message, policy, SENT_AT + past_us, UPTIME_AT_ACCEPT_US + past_us, u)
    deadline_at = SENT_AT + policy.deadline_us
    assert poll_at <= deadline_at + compute_tolerance_us(policy.deadline_us) - SECOND_US // 2


@given(policies, st.integers(1, 50), units)
def test_a_judged_message_needs_no_poll_at_its_deadline(policy: Policy, polls: int, u: float) -> None:
    """After the verdict, the deadline moves no poll."""
    now = SENT_AT + policy.deadline_us - SECOND_US
    polls_at = {
        next_poll_at(
            JUDGED._replace(polls=polls, sent_at=sent_at), policy, now, JUDGED.uptime_at_accept_us, u
        )
        for sent_at in (SENT_AT, SENT_AT - HOUR_US)
    }
    assert len(polls_at) == 1


@given(policies, st.integers(1, 100), st.integers(0, 10**12), units)
def test_a_poll_when_the_time_runs_out(policy: Policy, polls: int, answered_us: int, u: float) -> None:
    """The last interval is shortened, so that a poll comes when the message's time is over."""
    answered_us %= policy.give_up_after_us
    now = SENT_AT + 1000 * HOUR_US
    message = JUDGED._replace(polls=polls)
    poll_at = next_poll_at(message, policy, now, UPTIME_AT_ACCEPT_US + answered_us, u)
    assert poll_at - now <= max(CLOSEST_US, policy.give_up_after_us - answered_us)


def test_intervals_grow() -> None:
    """After each answered poll the interval is longer, up to the longest."""
    delays = [
        compute_seconds_to_poll(JUDGED._replace(polls=n), seconds=3600) for n in (0, 1, 2, 3, 4, 30, HUGE)
    ]
    assert delays == [5, 5, 7.5, 11.25, 16.875, 1800, 1800]


@pytest.mark.parametrize(("u", "seconds"), [(0, 4.5), (0.5, 5), (1, 5.5)])
def test_intervals_jitter(u: float, seconds: float) -> None:
    """An interval is up to a tenth longer or shorter, so that what came together doesn't stay together."""
    assert compute_seconds_to_poll(JUDGED._replace(polls=1), seconds=3600, u=u) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 5), (2, 10), (3, 20), (9, 1280), (10, 1800), (64, 1800), (HUGE, 1800)]
)
def test_failures_back_off_with_full_jitter(failures: int, ceiling: float) -> None:
    """After failures the delay is anywhere between the closest and a ceiling that doubles."""
    message = JUDGED._replace(failures=failures, polls=7)
    assert compute_seconds_to_poll(message, seconds=3600, u=0) == CLOSEST_US / SECOND_US
    assert compute_seconds_to_poll(message, seconds=3600, u=0.5) == pytest.approx(max(ceiling / 2, 1.05))
    assert compute_seconds_to_poll(message, seconds=3600, u=1) == pytest.approx(ceiling)


@pytest.mark.parametrize(("sent_seconds_ago", "seconds"), [(0, 5), (2, 3), (5, 0), (86_400, 0), (-3600, 5)])
def test_the_first_poll(sent_seconds_ago: int, seconds: int) -> None:
    """The first poll comes `first_poll` after sending; at once when that is past, never later than that."""
    sent_at = SENT_AT - sent_seconds_ago * SECOND_US
    assert first_poll_at(DEFAULT, sent_at, SENT_AT) - SENT_AT == seconds * SECOND_US


def test_the_polls_of_an_otp() -> None:
    """A one-time password is polled every five seconds, and once right after its deadline."""
    message, now = MESSAGE, first_poll_at(OTP, SENT_AT, SENT_AT)
    seconds: list[float] = []
    while message.pending and len(seconds) < 100:
        seconds.append((now - SENT_AT) / SECOND_US)
        event = make_observed(Status.PROCESSING, now - SENT_AT)
        message = lifecycle.advance(message, event, OTP, "").message
        now = next_poll_at(message, OTP, now, event.uptime_us, 0.5)
    assert seconds[:8] == [3, 8, 13, 18, 23, 30.25, 35.25, 40.25]
    assert seconds[-1] == pytest.approx(OTP.give_up_after_us / SECOND_US)
    assert message.outcome is Status.EXPIRED
    assert message.verdict is Verdict.MISSED


class Histories(RuleBasedStateMachine):
    """Messages, a provider that may stop answering, and a wall clock that may be set."""

    policy: Policy
    now: int

    @initialize(policy=policies, ages=st.lists(st.integers(-HOUR_US, 30 * HOUR_US), min_size=1, max_size=3))
    def begin(self, policy: Policy, ages: list[int]) -> None:
        """Accept a few messages."""
        self.policy = policy
        self.now = SENT_AT
        self.uptime_us = UPTIME_AT_ACCEPT_US
        self.provider_answers = True
        self.messages = {
            row: MESSAGE._replace(row=row, sent_at=SENT_AT - age) for row, age in enumerate(ages)
        }
        self.verdicts: Counter[Verdict] = Counter()
        self.finished: Counter[int] = Counter()
        self.gauge: Counter[str] = Counter(new=len(ages))
        self.counts: Counter[Kind] = Counter()

    def _take(self, event: Event, u: float) -> Step:
        before = self.messages[event.row]
        step = lifecycle.advance(before, event, self.policy, "UAH")
        message = step.message
        if message.pending and not isinstance(event, Tick):
            due_at = next_poll_at(message, self.policy, event.at, event.uptime_us, u)
            assert due_at >= event.at + CLOSEST_US
            message = message._replace(due_at=due_at)
        assert before.pending or message.outcome is before.outcome
        assert before.verdict is Verdict.NONE or message.verdict is before.verdict
        assert message.status is before.status or message.status is not Status.NEW
        self.messages[event.row] = message
        self.verdicts[step.verdict] += 1
        self.finished[event.row] += step.newly_finished
        for count in step.counts:
            self.counts[count.kind] += count.amount
            if count.kind is Kind.MESSAGES:
                self.gauge[count.label1] += count.amount
            else:
                assert count.amount >= 0
        return step

    def _row(self, pick: int) -> int:
        return pick % len(self.messages)

    @rule(
        pick=st.integers(0, 2),
        status=st.sampled_from([s for s in Status if s.value in {1, 2, 3, 4, 5, 6}]),
        u=units,
    )
    def answered(self, pick: int, status: Status, u: float) -> None:
        """A poll brings a status."""
        self.provider_answers = True
        self._take(Observed(self._row(pick), self.now, self.uptime_us, Answer(status)), u)

    @rule(
        pick=st.integers(0, 2),
        status=st.sampled_from(sorted(FINAL_BY_PROVIDER)),
        early=st.integers(-HOUR_US, 30 * HOUR_US),
    )
    def webhook_reports_final(self, pick: int, status: Status, early: int) -> None:
        """A webhook brings a final status with its own time."""
        answer = Answer(status)
        at = self.now
        event = Observed(self._row(pick), at, self.uptime_us, answer, Via.WEBHOOK, at - early)
        self._take(event, 0.5)

    @rule(pick=st.integers(0, 2), outcome=st.sampled_from(list(Outcome)[1:]), u=units)
    def failed(self, pick: int, outcome: Outcome, u: float) -> None:
        """A poll brings no status; only some failures mean that the provider answers."""
        self.provider_answers = outcome in {Outcome.NOT_FOUND, Outcome.CLIENT_ERROR}
        before = self.messages[self._row(pick)]
        step = self._take(PollFailed(before.row, self.now, self.uptime_us, outcome), u)
        if step.newly_finished and outcome not in {Outcome.NOT_FOUND, Outcome.CLIENT_ERROR}:
            assert self.uptime_us - before.uptime_at_accept_us >= self.policy.give_up_after_us

    @rule(pick=st.integers(0, 2))
    def ticked(self, pick: int) -> None:
        """Garbage collection passes the message."""
        before = self.messages[self._row(pick)]
        step = self._take(Tick(before.row, self.now, 0), 0)
        if step.newly_finished:
            overdue_us = self.now - before.accepted_at - self.policy.give_up_after_us
            assert overdue_us >= lifecycle.OUTAGE_CAP_US

    @rule(us=st.integers(0, 100 * HOUR_US) | st.integers(0, MINUTE_US))
    def time_passes(self, us: int) -> None:
        """Time passes; the provider uptime grows only while the provider answers."""
        self.now += us
        self.uptime_us += us if self.provider_answers else 0

    @rule(pick=st.integers(0, 2))
    def until_due(self, pick: int) -> None:
        """Time passes until a message is due."""
        self.time_passes(max(0, self.messages[self._row(pick)].due_at - self.now))

    @rule(us=st.integers(-24 * HOUR_US, 24 * HOUR_US))
    def clock_is_set(self, us: int) -> None:
        """The wall clock jumps; the provider uptime doesn't."""
        self.now += us

    @invariant()
    def each_message_is_in_one_status(self) -> None:
        """The gauge is what a recount of the messages gives."""
        recount = Counter(message.status.word for message in self.messages.values())
        assert +self.gauge == recount
        assert min(self.gauge.values()) >= 0

    @invariant()
    def pending_is_tracked_minus_finished(self) -> None:
        """Each message is finished at most once, and is pending before."""
        pending = sum(message.pending for message in self.messages.values())
        assert len(self.messages) - self.counts[Kind.FINISHED] == pending
        assert max(self.finished.values(), default=0) <= 1

    @invariant()
    def each_message_is_judged_once(self) -> None:
        """The verdicts in the steps are those of the messages; a finished message always has one."""
        recount = Counter(m.verdict for m in self.messages.values() if m.verdict)
        del self.verdicts[Verdict.NONE]
        assert self.verdicts == recount
        assert self.counts[Kind.SLO_UNOBSERVED] == recount[Verdict.UNOBSERVED]
        assert all(message.pending or message.verdict for message in self.messages.values())


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("changes", "rank"),
    [
        ({}, Rank.FIRST),
        ({"polled_at": SENT_AT}, Rank.UNJUDGED),
        ({"polled_at": SENT_AT, "failures": 2}, Rank.UNJUDGED),
        ({"polled_at": SENT_AT, "verdict": Verdict.MISSED}, Rank.JUDGED),
        ({"polled_at": SENT_AT, "verdict": Verdict.EXEMPT}, Rank.JUDGED),
        ({"verdict": Verdict.UNOBSERVED}, Rank.FIRST),
        ({"claimed_status": Status.DELIVERED, "claim_state": ClaimState.OPEN}, Rank.WEBHOOK),
        ({"claim_state": ClaimState.SETTLED, "polled_at": SENT_AT}, Rank.UNJUDGED),
        ({"outcome": Status.DELIVERED, "webhook_cost_nanos": 0, "finished_at": SENT_AT}, Rank.WEBHOOK),
        (
            {
                "outcome": Status.DELIVERED,
                "webhook_cost_nanos": 0,
                "finished_at": SENT_AT,
                "polled_at": SENT_AT + 1,
                "verdict": Verdict.MET,
            },
            Rank.JUDGED,
        ),
    ],
)
def test_the_rank_of_a_message(changes: dict[str, Any], rank: Rank) -> None:
    """What a webhook asks for, first polls, unjudged messages, judged ones."""
    assert get_rank(MESSAGE._replace(**changes)) is rank


@pytest.mark.parametrize("policy", [DEFAULT, OTP, CAMPAIGN])
def test_no_plan_is_later_than_the_longest_delay(policy: Policy) -> None:
    """However often it was polled or failed: what is due later was not planned by this policy."""
    for polls, failures, u in product((1, 5, 50), (0, 1, 50), (0.0, 0.999999)):
        message = MESSAGE._replace(polls=polls, failures=failures)
        poll_at = next_poll_at(message, policy, SENT_AT, MESSAGE.uptime_at_accept_us, u)
        assert poll_at - SENT_AT <= find_longest_delay_us(policy)
