"""Which requests are kept: all of the latest, and failures for longer."""

from __future__ import annotations

from exporter.domain.model import SECOND_US, Outcome, Status
from exporter.engine.request_history import KEPT_FAILURES, KEPT_REQUESTS, Request, RequestHistory

BEGAN_AT = 1_000_000 * SECOND_US


def make_request(second: int, outcome: Outcome = Outcome.OK, message_id: str = "other") -> Request:
    """A request that ended so many seconds after the beginning."""
    status = Status.PROCESSING if outcome is Outcome.OK else None
    return Request(BEGAN_AT + second * SECOND_US, message_id, 1, outcome, status, 5_000, "")


def test_a_failure_outlives_the_successes_after_it() -> None:
    """However many requests come after it, as long as fewer failures come than are kept."""
    history = RequestHistory(BEGAN_AT)
    history.record(make_request(1, Outcome.TIMEOUT, "one"))
    for second in range(2, KEPT_REQUESTS + 10):
        history.record(make_request(second))
    assert history.list_failures(10) == [make_request(1, Outcome.TIMEOUT, "one")]
    assert history.find_by_message("one") == [make_request(1, Outcome.TIMEOUT, "one")]


def test_it_says_since_when_it_is_complete() -> None:
    """From the beginning until a request is dropped, then from the last dropped one."""
    history = RequestHistory(BEGAN_AT)
    assert (history.since, history.failures_since) == (BEGAN_AT, BEGAN_AT)
    for second in range(1, KEPT_REQUESTS + 3):
        history.record(make_request(second))
    assert (history.since, history.failures_since) == (BEGAN_AT + 2 * SECOND_US, BEGAN_AT)
    for second in range(10_000, 10_000 + KEPT_FAILURES + 1):
        history.record(make_request(second, Outcome.TIMEOUT))
    assert history.failures_since == min(history.since, BEGAN_AT + 10_000 * SECOND_US)
    assert len(history.list_failures(10_000)) == KEPT_FAILURES


def test_an_id_that_is_not_known_yet_is_no_failure() -> None:
    """A new message is often polled before the provider knows it; refusals and 429 are failures."""
    history = RequestHistory(BEGAN_AT)
    for outcome in Outcome:
        history.record(make_request(1, outcome))
    assert {failure.outcome for failure in history.list_failures(100)} == set(Outcome) - {
        Outcome.OK,
        Outcome.NOT_FOUND,
    }


def test_what_is_about_one_message_comes_once_and_in_order() -> None:
    """Also a failure that is among the latest requests and among the latest failures."""
    history = RequestHistory(BEGAN_AT)
    for second, outcome in enumerate((Outcome.TIMEOUT, Outcome.OK, Outcome.SERVER_ERROR, Outcome.OK)):
        history.record(make_request(second, outcome, "one"))
        history.record(make_request(second))
    assert [r.outcome for r in history.find_by_message("one")] == ["timeout", "ok", "server_error", "ok"]
    assert history.find_by_message("unknown") == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Over less than a minute when no more is kept; 0 without requests."""
    history = RequestHistory(BEGAN_AT)
    assert history.compute_rate_per_second(BEGAN_AT) == 0
    for second in range(1, 31):
        history.record(make_request(second))
    assert history.compute_rate_per_second(BEGAN_AT + 30 * SECOND_US) == 1.0
    assert history.compute_rate_per_second(BEGAN_AT + 60 * SECOND_US) == 0.5
    assert history.compute_rate_per_second(BEGAN_AT + 600 * SECOND_US) == 0
    busy = RequestHistory(BEGAN_AT)
    for _ in range(2 * KEPT_REQUESTS):
        busy.record(make_request(10))
    assert busy.compute_rate_per_second(BEGAN_AT + 10 * SECOND_US) == KEPT_REQUESTS
