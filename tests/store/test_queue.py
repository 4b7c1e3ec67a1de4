"""The poll queue of every engine: claims come in the order of a full sort, whatever happened before."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from exporter.domain import lifecycle, schedule
from exporter.domain.aggregates import StateDelta
from exporter.domain.events import Event, Observed, PollFailed, StatusClaimed, Step, Tick
from exporter.domain.lifecycle import compute_tolerance_us
from exporter.domain.model import (
    SECOND_US,
    Answer,
    Message,
    Outcome,
    Policy,
    Priority,
    Source,
    Verdict,
    Via,
)
from exporter.domain.schedule import QUIET_US, Rank
from exporter.domain.states import Status
from exporter.store import Arrival, Claim, Claimed, QueueTime, Store
from tests.domain.example import CAMPAIGN, DEFAULT, HOUR_US, MINUTE_US, OTP, SENT_AT
from tests.store.engines import MANY, Engine, list_queue, make_tick, persist_nothing

HISTORIES = 60
STEPS = 40
AHEAD_US = 7 * HOUR_US
"""How far the queue clock is ahead of the wall clock here: one must never be taken for the other."""
POLICIES = (OTP, replace(OTP, deadline_us=20 * SECOND_US), DEFAULT, replace(CAMPAIGN, deadline_us=MINUTE_US))


def sort_due(messages: Iterable[Message], claim: Claim) -> list[Message]:
    """What a claim must return if it had no limit."""
    keys: dict[int, tuple[int, int, int]] = {}
    due = [m for m in messages if is_claimable(m, claim) and m.due_at <= claim.queue_now]
    for message in due:
        deadline_us = claim.policies[message.campaign_id].deadline_us
        late_us = claim.now - message.sent_at - deadline_us
        rank = schedule.get_rank(message)
        if message.verdict is Verdict.NONE and 0 <= late_us <= compute_tolerance_us(deadline_us):
            keys[message.row] = -1, message.sent_at + deadline_us, message.row
        elif rank is not Rank.UNJUDGED or not -QUIET_US <= late_us < 0:
            keys[message.row] = rank, message.due_at, message.row
    return sorted((m for m in due if m.row in keys), key=lambda message: keys[message.row])


def is_claimable(message: Message, claim: Claim) -> bool:
    """Whether a message is in the class of a claim, still to be polled, and not held."""
    ours = (message.account_id, message.priority) == (claim.account_id, claim.priority)
    return ours and message.unsettled and message.message_id not in claim.held


def find_next_us(messages: Iterable[Message], claim: Claim) -> int | None:
    """When the earliest message that a claim leaves behind can be claimed, on the queue clock."""
    times = []
    for message in messages:
        if is_claimable(message, claim):
            deadline_at = message.sent_at + claim.policies[message.campaign_id].deadline_us
            quiet = message.due_at <= claim.queue_now
            times.append(claim.queue_now + deadline_at - claim.now if quiet else message.due_at)
    return min(times, default=None)


class History:
    """Messages of two accounts, with campaigns of every priority, to which anything may happen."""

    def __init__(self, engine: Engine, seed: int) -> None:
        """Begin with no message."""
        self.engine = engine
        self.chance = random.Random(seed)
        self.now = SENT_AT
        self.queue_now = SENT_AT + AHEAD_US
        self.store = engine.open()
        self.accounts = [self.store.ensure_account(name) for name in ("main", "second")]
        self.policies: dict[int, dict[int, Policy]] = {
            account_id: {
                self.store.ensure_campaign(account_id, f"c{number}"): policy
                for number, policy in enumerate(POLICIES)
            }
            for account_id in self.accounts
        }
        self.tracked = 0
        self.held: dict[str, None] = {}
        self.claimed = 0

    def read_all(self) -> list[Message]:
        """All messages."""
        return self.store.read(range(1, self.tracked + 1))

    def find_policy(self, message: Message) -> Policy:
        """The policy of a message's campaign."""
        return self.policies[message.account_id][message.campaign_id]

    def decide(self, message: Message, event: Event) -> Step:
        """Let the lifecycle decide, and plan the next poll at random."""
        step = lifecycle.advance(message, event, self.find_policy(message), "UAH")
        if not step.message.unsettled or self.chance.random() < 0.2:
            return step
        due_at = self.queue_now + self.chance.randrange(-3, 30) * SECOND_US
        return step._replace(message=step.message._replace(due_at=due_at))

    def track(self) -> None:
        """New messages, some of them sent a while ago."""
        account_id = self.chance.choice(self.accounts)
        arrivals = []
        for _ in range(self.chance.randrange(1, 60)):
            campaign_id, policy = self.chance.choice(list(self.policies[account_id].items()))
            sent_at = self.now - self.chance.choice((0, 1, 18, 25, 29, 31, 58, 299)) * SECOND_US
            due_at = self.queue_now + self.chance.randrange(-2, 30) * SECOND_US
            self.tracked += 1
            message_id = f"id-{self.tracked}"
            arrivals.append(Arrival(campaign_id, message_id, sent_at, due_at, policy.priority))
        self.store.track(account_id, arrivals, Source.DROP, now=self.now, uptime_us=0, room=MANY, file=None)

    def learn(self) -> None:
        """Polls, webhooks and failures."""
        rows = [self.chance.randrange(1, self.tracked + 1) for _ in range(self.chance.randrange(40))]
        events: list[Event] = []
        for row in rows:
            status = self.chance.choice((Status.PROCESSING, Status.PROCESSING, Status.DELIVERED))
            answer = Answer(status, cost_nanos=3)
            events.append(
                self.chance.choice(
                    (
                        Observed(row, self.now, 0, answer),
                        Observed(row, self.now, 0, answer),
                        Observed(row, self.now, 0, answer, Via.WEBHOOK, self.now),
                        PollFailed(row, self.now, 0, Outcome.TIMEOUT),
                        StatusClaimed(row, self.now, 0, Status.DELIVERED),
                        Tick(row, self.now, 0),
                    )
                )
            )
        self.store.apply(events, self.decide)

    def let_time_pass(self) -> None:
        """Both clocks go on; the wall clock may be set wrong, and the queue clock never steps."""
        passed_us = self.chance.choice((SECOND_US // 10, SECOND_US, 5 * SECOND_US, 20 * SECOND_US))
        self.queue_now += passed_us
        self.now += passed_us
        if self.chance.random() < 0.05:
            self.now += self.chance.choice((-HOUR_US, HOUR_US))

    def maintain(self) -> None:
        """Messages that lapsed are judged, in pieces."""
        policies = {c: p for by_campaign in self.policies.values() for c, p in by_campaign.items()}
        now, limit = self.now, self.chance.choice((5, 1_000))
        self.store.judge_lapsed(
            policies, now=now, limit=limit, tick=lambda m: self.decide(m, Tick(m.row, now, 0))
        )

    def start_again(self) -> None:
        """The process is killed and starts again."""
        self.engine.crash()
        self.store = self.engine.open(now=self.now)
        self.held.clear()

    def claim(self) -> None:
        """Claim, and compare with the full sort."""
        account_id, priority = self.chance.choice(self.accounts), self.chance.choice(list(Priority))
        policies = {c: p for c, p in self.policies[account_id].items() if p.priority is priority}
        limit = self.chance.choice((1, 3, 20, 200))
        claim = Claim(account_id, priority, self.now, self.queue_now, limit, frozenset(self.held), policies)
        claimed = self.store.claim(claim)
        messages = self.read_all()
        expected = sort_due(messages, claim)[:limit]
        assert [m.row for m in claimed.messages] == [m.row for m in expected]
        assert list(claimed.messages) == expected
        if len(expected) < limit:
            taken = {message.row for message in expected}
            self.check_rest(claim, claimed, [m for m in messages if m.row not in taken])
        self.claimed += len(expected)
        for message in expected[: self.chance.randrange(20)]:
            self.held[message.message_id] = None
        for message_id in list(self.held)[: self.chance.randrange(15)]:
            del self.held[message_id]

    def check_rest(self, claim: Claim, claimed: Claimed, rest: list[Message]) -> None:
        """Where a claim takes all that is due, it says when there will be more, and what was held."""
        assert claimed.next_due_at == find_next_us(rest, claim)
        everything = claim._replace(held=frozenset())
        held = [m for m in rest if m.message_id in claim.held and is_claimable(m, everything)]
        due = {m.message_id for m in held if m.due_at <= claim.queue_now}
        assert set(claimed.passed_over) == due

    def count(self) -> None:
        """Compare the counts of due messages with a count."""
        counts = self.store.count_due(self.accounts, self.queue_now)
        messages = [m for m in self.read_all() if m.unsettled and m.due_at <= self.queue_now]
        assert counts == {
            (account_id, priority): sum(
                (m.account_id, m.priority) == (account_id, priority) for m in messages
            )
            for account_id in self.accounts
            for priority in Priority
        }


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_any_history_is_polled_in_order(engine: Engine, seed: int) -> None:
    """The order, what is left out, when there will be more and the counts are those of a full sort."""
    history = History(engine, seed)
    history.track()
    for _ in range(STEPS):
        what = [history.track, history.learn, history.maintain, history.count]
        what += [history.let_time_pass, history.claim] * 3
        history.chance.choice(what)()
        if history.chance.random() < 0.02:
            history.start_again()
    history.claim()
    history.count()
    assert list_queue(history.store) == [m for m in history.read_all() if m.unsettled]


# --- single cases -----------------------------------------------------------------------------------


def open_with(engine: Engine, count: int, priority: Priority = Priority.NORMAL) -> tuple[Store, int, int]:
    """A store with messages that are due one microsecond after the other, its account and campaign."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    for start in range(0, count, 10_000):
        arrivals = [
            Arrival(campaign, f"id-{n}", SENT_AT, SENT_AT + n, priority)
            for n in range(start, min(start + 10_000, count))
        ]
        store.track(account, arrivals, Source.DROP, now=SENT_AT, uptime_us=0, room=MANY, file=None)
    return store, account, campaign


def claim_rows(
    store: Store, account: int, policies: Mapping[int, Policy], at_us: int, limit: int
) -> list[int]:
    """What is claimed so long after sending, with both clocks right."""
    at = SENT_AT + at_us
    claim = Claim(account, Priority.NORMAL, at, at, limit, frozenset(), policies)
    return [message.row for message in store.claim(claim).messages]


def test_a_large_campaign_at_its_deadline_is_polled_to_its_end(engine: Engine) -> None:
    """However many rows at the front can't be polled just now, the ones behind them get their turn."""
    store, account, campaign = open_with(engine, 7_000)
    policies = {campaign: DEFAULT}
    held = frozenset(f"id-{n}" for n in range(6_990))
    at = SENT_AT + DEFAULT.deadline_us + SECOND_US
    claim = Claim(account, Priority.NORMAL, at, at, 20, held, policies)
    seen: set[int] = set()
    for _ in range(5):
        seen |= {message.row for message in store.claim(claim).messages}
    assert seen == set(range(6_991, 7_001))


def test_a_message_is_quiet_before_its_deadline(engine: Engine) -> None:
    """An unjudged message that was polled before is not polled in the last 2 s, but at its deadline."""
    store, account, campaign = open_with(engine, 1)
    store.apply(
        [PollFailed(1, SENT_AT, 0, Outcome.TIMEOUT)], lambda m, _: Step(m._replace(polled_at=SENT_AT))
    )
    policies = {campaign: DEFAULT}
    before_us = [0, QUIET_US // 2, QUIET_US, QUIET_US + 1]
    claimed = [claim_rows(store, account, policies, DEFAULT.deadline_us - us, 5) for us in before_us]
    assert claimed == [[1], [], [], [1]]


def test_an_older_state_is_queued_in_pieces(engine: Engine) -> None:
    """A state that is queued needs no pass over its rows."""
    store, _, campaign = open_with(engine, 3)
    assert store.queue_older({campaign: Priority.LOW}, limit=2) == 0


def test_what_is_due_too_late_is_pulled_forward(engine: Engine) -> None:
    """In pieces, for one account and priority; nothing is put off."""
    store, account, _ = open_with(engine, 10)
    assert store.pull_forward(account, Priority.HIGH, latest=SENT_AT, limit=100) == 0
    latest = SENT_AT + 4
    pulled = [store.pull_forward(account, Priority.NORMAL, latest=latest, limit=3) for _ in range(3)]
    assert pulled == [3, 2, 0]
    assert [message.due_at - SENT_AT for message in list_queue(store)] == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert store.count_due([account], latest)[account, Priority.NORMAL] == 10


def test_lapsed_messages_are_judged_in_pieces(engine: Engine) -> None:
    """Each piece looks at no more than its limit; judged ones are counted once and not looked at again."""
    store, _, campaign = open_with(engine, 10)
    policies = {campaign: DEFAULT}
    in_time = SENT_AT + DEFAULT.deadline_us + compute_tolerance_us(DEFAULT.deadline_us)
    assert not store.judge_lapsed(policies, now=in_time, limit=100, tick=make_tick(in_time))
    now = in_time + 1
    for unjudged in (6, 2, 0):
        changes = store.judge_lapsed(policies, now=now, limit=4, tick=make_tick(now))
        assert sum(changes.counts.values()) == min(4, 4 if unjudged else 2)
        assert sum(m.verdict is Verdict.NONE for m in store.read(range(1, 11))) == unjudged
    assert not store.judge_lapsed(policies, now=now + SECOND_US, limit=100, tick=make_tick(now))


def test_the_queue_clock_survives(engine: Engine) -> None:
    """It is persisted with the limiters, and stays when there is nothing new."""
    store = engine.open()
    assert store.restore().queue_time is None
    store.persist(StateDelta(), {}, QueueTime(7, 9))
    persist_nothing(store)
    engine.crash()
    assert engine.open().restore().queue_time == QueueTime(7, 9)
