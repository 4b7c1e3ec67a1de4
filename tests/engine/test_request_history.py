"""What is remembered of requests: all of the latest, and failures for longer."""

from __future__ import annotations

from exporter.domain.model import SECOND_US, Outcome, Status
from exporter.engine.request_history import KEPT_FAILURES, KEPT_REQUESTS, Request, RequestHistory

BEGAN_AT = 1_000_000 * SECOND_US


def request(second: int, outcome: Outcome = Outcome.OK, message_id: str = "other") -> Request:
    """A request that ended so many seconds after the beginning."""
    status = Status.PROCESSING if outcome is Outcome.OK else None
    return Request(BEGAN_AT + second * SECOND_US, message_id, 1, outcome, status, 5_000, "")


def test_a_failure_outlives_the_successes_after_it() -> None:
    """However many come after it, as long as they are fewer failures than are kept."""
    recent = RequestHistory(BEGAN_AT)
    recent.add(request(1, Outcome.TIMEOUT, "one"))
    for second in range(2, KEPT_REQUESTS + 10):
        recent.add(request(second))
    assert recent.failures(10) == [request(1, Outcome.TIMEOUT, "one")]
    assert recent.about("one") == [request(1, Outcome.TIMEOUT, "one")]


def test_it_says_honestly_since_when_it_remembers() -> None:
    """From the beginning until something is forgotten, then from what was forgotten last."""
    recent = RequestHistory(BEGAN_AT)
    assert (recent.since, recent.failures_since) == (BEGAN_AT, BEGAN_AT)
    for second in range(1, KEPT_REQUESTS + 3):
        recent.add(request(second))
    assert (recent.since, recent.failures_since) == (BEGAN_AT + 2 * SECOND_US, BEGAN_AT)
    for second in range(10_000, 10_000 + KEPT_FAILURES + 1):
        recent.add(request(second, Outcome.TIMEOUT))
    assert recent.failures_since == min(recent.since, BEGAN_AT + 10_000 * SECOND_US)
    assert len(recent.failures(10_000)) == KEPT_FAILURES


def test_an_id_that_is_not_known_yet_is_no_failure() -> None:
    """A fresh message is often asked about before the provider knows it; refusals and 429 are failures."""
    recent = RequestHistory(BEGAN_AT)
    for outcome in Outcome:
        recent.add(request(1, outcome))
    assert {failure.outcome for failure in recent.failures(100)} == set(Outcome) - {
        Outcome.OK,
        Outcome.NOT_FOUND,
    }


def test_what_is_about_one_message_comes_once_and_in_order() -> None:
    """Also a failure that is in both memories."""
    recent = RequestHistory(BEGAN_AT)
    for second, outcome in enumerate((Outcome.TIMEOUT, Outcome.OK, Outcome.SERVER_ERROR, Outcome.OK)):
        recent.add(request(second, outcome, "one"))
        recent.add(request(second))
    assert [r.outcome for r in recent.about("one")] == ["timeout", "ok", "server_error", "ok"]
    assert recent.about("nobody") == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Of less than a minute where no more is remembered; 0 when nothing was asked."""
    recent = RequestHistory(BEGAN_AT)
    assert recent.per_second(BEGAN_AT) == 0
    for second in range(1, 31):
        recent.add(request(second))
    assert recent.per_second(BEGAN_AT + 30 * SECOND_US) == 1.0
    assert recent.per_second(BEGAN_AT + 60 * SECOND_US) == 0.5
    assert recent.per_second(BEGAN_AT + 600 * SECOND_US) == 0
    busy = RequestHistory(BEGAN_AT)
    for _ in range(2 * KEPT_REQUESTS):
        busy.add(request(10))
    assert busy.per_second(BEGAN_AT + 10 * SECOND_US) == KEPT_REQUESTS
