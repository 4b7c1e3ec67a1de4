"""The log of arrivals, and the two questions asked of it."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US
from exporter.simulator.arrivals import Arrival, Arrivals, busiest_second, closest_repeat_us
from exporter.simulator.identifiers import IdCodec

LOGS = st.lists(
    st.tuples(st.integers(0, 3 * SECOND_US), st.sampled_from("abc")).map(lambda one: Arrival(*one, 200)),
    max_size=30,
).map(sorted)


def filled(count: int, capacity: int) -> Arrivals:
    """A log in which request number n arrived at n microseconds for message number n."""
    arrivals = Arrivals(IdCodec(1), capacity)
    for number in range(count):
        arrivals.add(number, number, "", 200)
    return arrivals


@given(LOGS)
def test_the_closest_repeat_is_the_smallest_gap_of_any_pair(log: list[Arrival]) -> None:
    """The one pass finds what comparing all pairs finds."""
    gaps = [
        after.at_us - before.at_us
        for before, after in combinations(log, 2)
        if before.message_id == after.message_id
    ]
    assert closest_repeat_us(log) == min(gaps, default=None)


@given(LOGS)
def test_the_busiest_second_is_the_fullest_of_all_windows(log: list[Arrival]) -> None:
    """The one pass finds what counting from each request on finds."""
    counts = [sum(0 <= other.at_us - one.at_us < SECOND_US for other in log) for one in log]
    assert busiest_second(log) == max(counts, default=0)


def test_requests_exactly_a_second_apart_share_no_window() -> None:
    """One request per second is one request per second."""
    assert busiest_second([Arrival(0, "a", 200), Arrival(SECOND_US, "a", 200)]) == 1


@given(st.integers(0, 50), st.integers(1, 20), st.integers(0, 60), st.integers(0, 30))
def test_the_newest_are_kept_and_numbered_on(count: int, capacity: int, first: int, limit: int) -> None:
    """A full log forgets its oldest, and the numbers of the others don't change."""
    kept = range(count)[-capacity:]
    expected = [number for number in kept if number >= first][:limit]
    log = filled(count, capacity)
    assert [arrival.at_us for arrival in log.since(first, limit)] == expected
    assert [arrival.message_id for arrival in log.since(first, limit)] == [
        IdCodec(1).write(number) for number in expected
    ]


def test_requests_for_unknown_ids_keep_their_id() -> None:
    """Repeats of an id that was never sent can be measured too."""
    log = Arrivals(IdCodec(1))
    log.add(0, -1, "never-sent", 404)
    log.add(3, -1, "never-sent-2", 404)
    log.add(7, -1, "never-sent", 404)
    assert log.since() == [
        Arrival(0, "never-sent", 404),
        Arrival(3, "never-sent-2", 404),
        Arrival(7, "never-sent", 404),
    ]
    assert closest_repeat_us(log.since()) == 7


def test_the_most_requests_in_hand_are_those_that_overlap() -> None:
    """Two at a time are two, however many come one after another."""
    log = Arrivals(IdCodec(1))
    for _ in range(3):
        with log.in_hand():
            pass
    assert log.most_in_hand == 1
    with log.in_hand(), log.in_hand():
        pass
    assert log.most_in_hand == 2


def test_a_flood_of_unknown_ids_is_logged_without_them() -> None:
    """Beyond a bound, unknown ids are counted as requests but neither kept nor compared."""
    log = Arrivals(IdCodec(1), max_strangers=1)
    log.add(0, -1, "kept", 404)
    log.add(1, -1, "too many", 404)
    log.add(2, -1, "too many", 404)
    assert [arrival.message_id for arrival in log.since()] == ["kept", "", ""]
    assert closest_repeat_us(log.since()) is None
