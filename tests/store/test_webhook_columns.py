"""What the store keeps for webhooks: messages by their ids, what is still to be polled, what is exempt."""

from __future__ import annotations

from exporter.domain.events import Observed, PollFailed, StatusClaimed
from exporter.domain.model import SECOND_US, Answer, Outcome, Source, Verdict, Via
from exporter.domain.states import ClaimState, Status
from exporter.store import Store
from tests.domain.example import SENT_AT
from tests.store.engines import MANY, Engine, decide, list_queue, make_arrivals, make_tick, track

DAY_US = 86_400 * SECOND_US
IDS = ["id-1", "id-2", "id-3"]


def list_rows_to_poll(store: Store) -> set[int]:
    """The rows in the queue."""
    return {message.row for message in list_queue(store)}


def test_messages_are_found_by_their_ids(engine: Engine) -> None:
    """In all of the given accounts, and in no others; unknown ids are left out."""
    store = engine.open()
    accounts = [store.ensure_account(name) for name in ("main", "second")]
    for account in accounts:
        track(store, account, make_arrivals(store.ensure_campaign(account, "default"), IDS[:2]))
    found = store.find(accounts, ["id-2", "id-3"])
    assert list(found) == ["id-2"]
    assert [message.account_id for message in found["id-2"]] == accounts
    assert [message.account_id for message in store.find(accounts[1:], ["id-2"])["id-2"]] == accounts[1:]
    assert store.find([], IDS) == store.find(accounts, []) == {}


def test_what_is_still_to_be_polled_survives(engine: Engine) -> None:
    """Claimed statuses, and final ones that a poll must complete, are in the queue of the next run."""
    store = engine.open()
    account = store.ensure_account("main")
    accepted = track(store, account, make_arrivals(store.ensure_campaign(account, "default"), IDS))
    rows = accepted.rows
    at = SENT_AT + SECOND_US
    final = Observed(rows[0], at, 0, Answer(Status.DELIVERED, cost_nanos=7), Via.WEBHOOK, at)
    ended = Observed(rows[2], at, 0, Answer(Status.DELIVERED))
    store.apply([final, StatusClaimed(rows[1], at, 0, Status.DELIVERED), ended], decide)
    engine.crash()
    store = engine.open()
    assert list_rows_to_poll(store) == set(rows[:2])
    kept = {message.row: message for message in store.read(rows)}
    assert kept[rows[0]].webhook_cost_nanos == 7
    claimed = kept[rows[1]]
    assert (claimed.claimed_status, claimed.claim_state) == (Status.DELIVERED, ClaimState.OPEN)
    store.apply([Observed(rows[0], at + 1, 0, Answer(Status.DELIVERED))], decide)
    assert list_rows_to_poll(store) == {rows[1]}


def test_a_claim_about_a_message_that_was_given_up_survives(engine: Engine) -> None:
    """The message is polled once more, by the next run too."""
    store = engine.open()
    account = store.ensure_account("main")
    (row,) = track(store, account, make_arrivals(store.ensure_campaign(account, "default"), IDS[:1])).rows
    late = SENT_AT + 90 * SECOND_US
    store.apply([PollFailed(row, late, 0, Outcome.NOT_FOUND)], decide)
    assert list_rows_to_poll(store) == set()
    store.apply([StatusClaimed(row, late, 0, Status.DELIVERED)], decide)
    engine.crash()
    assert list_rows_to_poll(engine.open()) == {row}


def test_retention_waits_for_the_poll_that_completes_a_message(engine: Engine) -> None:
    """A finished message is not deleted before a poll has completed it, or its cost would be lost."""
    store = engine.open()
    account = store.ensure_account("main")
    (row,) = track(store, account, make_arrivals(store.ensure_campaign(account, "default"), IDS[:1])).rows
    final = Observed(row, SENT_AT, 0, Answer(Status.DELIVERED, cost_nanos=7), Via.WEBHOOK, SENT_AT)
    store.apply([final], decide)
    for days, left in ((2, 1), (5, 1), (6, 0)):
        now = SENT_AT + days * DAY_US
        store.collect_garbage(0, limit=10, now=now, retention_us=DAY_US, tick=make_tick(now))
        assert len(store.read([row])) == left
        if days == 2:
            assert list_rows_to_poll(store) == {row}
    assert {(k.kind.name, v) for k, v in store.restore().values if k.kind.name == "COST_NANOS"} == {
        ("COST_NANOS", 7)
    }


def test_messages_first_known_from_a_webhook_are_exempt(engine: Engine) -> None:
    """When they were sent isn't known; messages of all other sources are judged."""
    store = engine.open()
    account = store.ensure_account("main")
    campaign = store.ensure_campaign(account, "default")
    for source, message_id in zip(Source, ("a", "b", "c", "d"), strict=True):
        store.track(
            account,
            make_arrivals(campaign, [message_id]),
            source,
            now=SENT_AT,
            uptime_us=0,
            room=MANY,
            file=None,
        )
    verdicts = [message.verdict for message in store.read(range(1, 5))]
    assert verdicts == [Verdict.EXEMPT if source is Source.WEBHOOK else Verdict.NONE for source in Source]
