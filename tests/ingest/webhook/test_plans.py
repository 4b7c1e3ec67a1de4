"""When to look at what a webhook told of, and when looking may step back: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import schedule
from exporter.domain.model import SECOND_US, Message, Policy, Status, Verdict
from exporter.domain.schedule import CLOSEST_US, FRESH_US
from exporter.engine.webhook_coverage import LIFE_US, RELIABLE_SHARE, WebhookCoverage
from tests.domain.example import ANSWERING_US, CAMPAIGN, DEFAULT, MESSAGE, MINUTE_US, OTP, SENT_AT

POLICIES = st.sampled_from([DEFAULT, OTP, CAMPAIGN])
DELIVERED = Status.DELIVERED.value


def plan(
    before: Message, after: Message, at: int, *, looked: bool = True, webhooks_reliable: bool = False
) -> int | None:
    """A plan of the profile `default`, in the middle of the jitter."""
    return schedule.plan(
        before,
        after,
        DEFAULT,
        at,
        0.5,
        uptime_us=ANSWERING_US,
        looked=looked,
        webhooks_reliable=webhooks_reliable,
    )


# --- what was told ----------------------------------------------------------------------------------


def test_an_end_is_looked_for_at_once() -> None:
    """A hint brings the look to now, but never within the provider's second after the one before."""
    now = SENT_AT + 10 * SECOND_US
    hinted = MESSAGE._replace(claimed_status=DELIVERED)
    assert plan(MESSAGE, hinted, now, looked=False) == now
    before, after = MESSAGE._replace(polled_at=now - 1), hinted._replace(polled_at=now - 1)
    assert plan(before, after, now, looked=False) == now - 1 + CLOSEST_US


def test_a_hint_that_was_wrong_has_a_second_look_and_no_more() -> None:
    """The request may have been on its way before the webhook; after that it is the ordinary plan again."""
    now = SENT_AT + 10 * SECOND_US
    hinted, wrong = (
        MESSAGE._replace(claimed_status=DELIVERED),
        MESSAGE._replace(claimed_status=-DELIVERED, polls=1, polled_at=now),
    )
    assert plan(hinted, wrong, now) == now + CLOSEST_US
    again = wrong._replace(polls=2)
    assert plan(wrong, again, now, webhooks_reliable=True) == schedule.next_look_at(
        again, DEFAULT, now, ANSWERING_US, 0.5
    )


def test_an_answer_without_an_end_leaves_the_rest_to_webhooks() -> None:
    """After a look that no webhook asked for the safety net holds; without coverage, the intervals."""
    now = SENT_AT + 10 * SECOND_US
    looked = MESSAGE._replace(polls=1, polled_at=now)
    deadline_at = SENT_AT + DEFAULT.deadline_us
    webhooks_reliable = plan(MESSAGE, looked, now, webhooks_reliable=True)
    assert webhooks_reliable is not None
    assert deadline_at <= webhooks_reliable <= deadline_at + SECOND_US // 2
    assert plan(MESSAGE, looked, now) == now + DEFAULT.interval_us


def test_who_was_wrong_once_asks_for_no_more_looks_than_anyone() -> None:
    """A further hint about a message is followed at the profile's interval, not at the provider's second."""
    now = SENT_AT + 10 * SECOND_US
    wrong = MESSAGE._replace(claimed_status=-DELIVERED, polled_at=now)
    assert (
        plan(wrong, wrong._replace(claimed_status=DELIVERED), now, looked=False) == now + DEFAULT.interval_us
    )


def test_a_trusted_end_is_completed_at_once() -> None:
    """The completing look is due now; one that brings no end is followed as for anyone."""
    now = SENT_AT + 10 * SECOND_US
    ended = MESSAGE._replace(
        status=Status.DELIVERED, outcome=Status.DELIVERED, webhook_cost_nanos=0, verdict=Verdict.MET
    )
    assert plan(MESSAGE, ended, now, looked=False) == now
    behind = ended._replace(polls=1, polled_at=now)
    normal = schedule.next_look_at(behind, DEFAULT, now, ANSWERING_US, 0.5)
    assert plan(ended, behind, now, webhooks_reliable=True) == normal


def test_news_that_is_no_reason_to_look_leaves_the_plan() -> None:
    """What a webhook repeats, or tells of a message under way, moves no look."""
    after = MESSAGE._replace(status=Status.PROCESSING)
    assert plan(MESSAGE, after, SENT_AT + SECOND_US, looked=False) is None
    hinted = MESSAGE._replace(claimed_status=DELIVERED)
    assert plan(hinted, hinted, SENT_AT + SECOND_US, looked=False) is None


# --- the safety net ---------------------------------------------------------------------------------


@given(policy=POLICIES, age_us=st.integers(0, FRESH_US - 1))
def test_the_first_look_of_a_safety_net(policy: Policy, age_us: int) -> None:
    """A fresh message is first looked at at its deadline, or as ever when that has passed."""
    now = SENT_AT + age_us
    look_at = schedule.first_look_at(policy, SENT_AT, now, webhooks_reliable=True)
    deadline_at = SENT_AT + policy.deadline_us
    assert look_at == (deadline_at if now < deadline_at else max(now, SENT_AT + policy.first_poll_us))


def test_a_message_that_comes_late_is_looked_at_as_ever() -> None:
    """Its webhook may have come before it did: nobody waits for that."""
    now = SENT_AT + FRESH_US
    assert schedule.first_look_at(DEFAULT, SENT_AT, now, webhooks_reliable=True) == now


@given(
    policy=POLICIES,
    age_us=st.integers(0, 100 * MINUTE_US),
    polls=st.integers(0, 50),
    u=st.floats(0, 1, exclude_max=True),
    judged=st.booleans(),
)
def test_the_looks_of_a_safety_net(
    policy: Policy, age_us: int, polls: int, u: float, *, judged: bool
) -> None:
    """The deadline is never missed; all other looks are the longest interval apart."""
    now, deadline_at = SENT_AT + age_us, SENT_AT + policy.deadline_us
    message = MESSAGE._replace(polls=polls, verdict=Verdict.MISSED if judged else Verdict.NONE)
    look_at = schedule.next_look_at(message, policy, now, ANSWERING_US, u, webhooks_reliable=True)
    assert look_at >= now + CLOSEST_US
    if not judged and now < deadline_at:
        assert deadline_at <= look_at <= max(deadline_at + SECOND_US // 2, now + CLOSEST_US)
    else:
        longest_us = policy.max_interval_us * (1 + schedule.JITTER_RATIO)
        shortest_us = policy.max_interval_us * (1 - schedule.JITTER_RATIO)
        given_up_us = policy.give_up_after_us
        assert min(shortest_us, given_up_us) - 1 <= look_at - now <= longest_us + 1


# --- the webhook_coverage -----------------------------------------------------------------------------------


def test_no_evidence_at_first() -> None:
    """Nothing steps back before a webhook was borne out."""
    assert not WebhookCoverage().webhooks_reliable(SENT_AT)
    missed = WebhookCoverage()
    missed.end(SENT_AT, webhook_first=False)
    assert not missed.webhooks_reliable(SENT_AT)


def test_evidence_fades() -> None:
    """Ten minutes without a webhook that was borne out end it."""
    webhook_coverage = WebhookCoverage()
    webhook_coverage.end(SENT_AT, webhook_first=True)
    assert webhook_coverage.webhooks_reliable(SENT_AT + LIFE_US - 1)
    assert not webhook_coverage.webhooks_reliable(SENT_AT + LIFE_US)


@pytest.mark.parametrize(
    ("of_twenty", "webhooks_reliable"), [(20, True), (17, True), (13, False), (0, False)]
)
def test_webhooks_that_lose_too_much(of_twenty: int, *, webhooks_reliable: bool) -> None:
    """Only while at least three quarters of the latest ends were webhook_first does looking step back."""
    webhook_coverage = WebhookCoverage()
    for number in range(2_000):
        webhook_coverage.end(SENT_AT + number * SECOND_US, webhook_first=number % 20 < of_twenty)
    assert RELIABLE_SHARE == 0.75
    assert webhook_coverage.webhooks_reliable(SENT_AT + 2_000 * SECOND_US) is webhooks_reliable
