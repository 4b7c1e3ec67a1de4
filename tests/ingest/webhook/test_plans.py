"""When to poll what a webhook claims, and when polling may step back: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain import schedule
from exporter.domain.model import SECOND_US, Message, Policy, Status, Verdict
from exporter.domain.schedule import CLOSEST_US, FRESH_US
from exporter.engine.webhook_coverage import LIFE_US, RELIABLE_SHARE, WebhookCoverage
from tests.domain.example import CAMPAIGN, DEFAULT, MESSAGE, MINUTE_US, OTP, SENT_AT, UPTIME_AT_ACCEPT_US

POLICIES = st.sampled_from([DEFAULT, OTP, CAMPAIGN])
DELIVERED = Status.DELIVERED.value


def plan(
    before: Message, after: Message, at: int, *, polled: bool = True, webhooks_reliable: bool = False
) -> int | None:
    """A plan of the profile `default`, in the middle of the jitter."""
    return schedule.plan(
        before,
        after,
        DEFAULT,
        at,
        0.5,
        uptime_us=UPTIME_AT_ACCEPT_US,
        polled=polled,
        webhooks_reliable=webhooks_reliable,
    )


# --- claims -----------------------------------------------------------------------------------------


def test_a_claimed_final_status_is_polled_at_once() -> None:
    """Never within a second of the message's latest poll, though."""
    now = SENT_AT + 10 * SECOND_US
    claimed = MESSAGE._replace(claimed_status=DELIVERED)
    assert plan(MESSAGE, claimed, now, polled=False) == now
    before, after = MESSAGE._replace(polled_at=now - 1), claimed._replace(polled_at=now - 1)
    assert plan(before, after, now, polled=False) == now - 1 + CLOSEST_US


def test_a_claim_that_was_wrong_has_a_second_poll_and_no_more() -> None:
    """The first request may have been sent before the webhook; after the second the plan is as usual."""
    now = SENT_AT + 10 * SECOND_US
    claimed, wrong = (
        MESSAGE._replace(claimed_status=DELIVERED),
        MESSAGE._replace(claimed_status=-DELIVERED, polls=1, polled_at=now),
    )
    assert plan(claimed, wrong, now) == now + CLOSEST_US
    again = wrong._replace(polls=2)
    assert plan(wrong, again, now, webhooks_reliable=True) == schedule.next_poll_at(
        again, DEFAULT, now, UPTIME_AT_ACCEPT_US, 0.5
    )


def test_a_poll_without_a_final_status_leaves_the_rest_to_reliable_webhooks() -> None:
    """The next poll is at the deadline; without reliable webhooks it is an interval later."""
    now = SENT_AT + 10 * SECOND_US
    polled = MESSAGE._replace(polls=1, polled_at=now)
    deadline_at = SENT_AT + DEFAULT.deadline_us
    net_at = plan(MESSAGE, polled, now, webhooks_reliable=True)
    assert net_at is not None
    assert deadline_at <= net_at <= deadline_at + SECOND_US // 2
    assert plan(MESSAGE, polled, now) == now + DEFAULT.interval_us


def test_further_claims_after_a_wrong_one_cause_no_more_polls_than_the_interval() -> None:
    """Such a claim is polled at the profile's interval, not a second later."""
    now = SENT_AT + 10 * SECOND_US
    wrong = MESSAGE._replace(claimed_status=-DELIVERED, polled_at=now)
    assert (
        plan(wrong, wrong._replace(claimed_status=DELIVERED), now, polled=False) == now + DEFAULT.interval_us
    )


def test_a_trusted_final_status_is_completed_at_once() -> None:
    """The completing poll is due now; one without a final status is followed as usual."""
    now = SENT_AT + 10 * SECOND_US
    ended = MESSAGE._replace(
        status=Status.DELIVERED, outcome=Status.DELIVERED, webhook_cost_nanos=0, verdict=Verdict.MET
    )
    assert plan(MESSAGE, ended, now, polled=False) == now
    behind = ended._replace(polls=1, polled_at=now)
    normal = schedule.next_poll_at(behind, DEFAULT, now, UPTIME_AT_ACCEPT_US, 0.5)
    assert plan(ended, behind, now, webhooks_reliable=True) == normal


def test_events_that_need_no_poll_leave_the_plan() -> None:
    """A repeated claim, and progress of a message under way."""
    after = MESSAGE._replace(status=Status.PROCESSING)
    assert plan(MESSAGE, after, SENT_AT + SECOND_US, polled=False) is None
    claimed = MESSAGE._replace(claimed_status=DELIVERED)
    assert plan(claimed, claimed, SENT_AT + SECOND_US, polled=False) is None


# --- the safety net ---------------------------------------------------------------------------------


@given(policy=POLICIES, age_us=st.integers(0, FRESH_US - 1))
def test_the_first_poll_of_a_safety_net(policy: Policy, age_us: int) -> None:
    """A fresh message is first polled at its deadline, or as usual when that has passed."""
    now = SENT_AT + age_us
    poll_at = schedule.first_poll_at(policy, SENT_AT, now, webhooks_reliable=True)
    deadline_at = SENT_AT + policy.deadline_us
    assert poll_at == (deadline_at if now < deadline_at else max(now, SENT_AT + policy.first_poll_us))


def test_a_message_that_comes_late_is_polled_as_usual() -> None:
    """Its webhook may have arrived before it, so there is nothing to wait for."""
    now = SENT_AT + FRESH_US
    assert schedule.first_poll_at(DEFAULT, SENT_AT, now, webhooks_reliable=True) == now


@given(
    policy=POLICIES,
    age_us=st.integers(0, 100 * MINUTE_US),
    polls=st.integers(0, 50),
    u=st.floats(0, 1, exclude_max=True),
    judged=st.booleans(),
)
def test_the_polls_of_a_safety_net(
    policy: Policy, age_us: int, polls: int, u: float, *, judged: bool
) -> None:
    """The deadline is never missed; all other polls are the longest interval apart."""
    now, deadline_at = SENT_AT + age_us, SENT_AT + policy.deadline_us
    message = MESSAGE._replace(polls=polls, verdict=Verdict.MISSED if judged else Verdict.NONE)
    poll_at = schedule.next_poll_at(message, policy, now, UPTIME_AT_ACCEPT_US, u, webhooks_reliable=True)
    assert poll_at >= now + CLOSEST_US
    if not judged and now < deadline_at:
        assert deadline_at <= poll_at <= max(deadline_at + SECOND_US // 2, now + CLOSEST_US)
    else:
        longest_us = policy.max_interval_us * (1 + schedule.JITTER_RATIO)
        shortest_us = policy.max_interval_us * (1 - schedule.JITTER_RATIO)
        given_up_us = policy.give_up_after_us
        assert min(shortest_us, given_up_us) - 1 <= poll_at - now <= longest_us + 1


# --- the coverage of webhooks -----------------------------------------------------------------------


def test_webhooks_are_not_reliable_at_first() -> None:
    """Polling does not step back before an answer confirmed a webhook."""
    assert not WebhookCoverage().webhooks_reliable(SENT_AT)
    missed = WebhookCoverage()
    missed.record_final(SENT_AT, webhook_first=False)
    assert not missed.webhooks_reliable(SENT_AT)


def test_webhooks_do_not_stay_reliable() -> None:
    """Ten minutes without a confirmed webhook end it."""
    webhook_coverage = WebhookCoverage()
    webhook_coverage.record_final(SENT_AT, webhook_first=True)
    assert webhook_coverage.webhooks_reliable(SENT_AT + LIFE_US - 1)
    assert not webhook_coverage.webhooks_reliable(SENT_AT + LIFE_US)


@pytest.mark.parametrize(
    ("of_twenty", "webhooks_reliable"), [(20, True), (17, True), (13, False), (0, False)]
)
def test_webhooks_are_unreliable_when_too_many_are_lost(of_twenty: int, *, webhooks_reliable: bool) -> None:
    """At least three quarters of the latest final statuses must have come by webhook first."""
    webhook_coverage = WebhookCoverage()
    for number in range(2_000):
        webhook_coverage.record_final(SENT_AT + number * SECOND_US, webhook_first=number % 20 < of_twenty)
    assert RELIABLE_SHARE == 0.75
    assert webhook_coverage.webhooks_reliable(SENT_AT + 2_000 * SECOND_US) is webhooks_reliable
