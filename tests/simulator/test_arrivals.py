"""The two questions that tests ask of the requests that arrived."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US
from tests.kit.arrivals import Arrival, count_busiest_second, find_closest_repeat_us

LOGS = st.lists(
    st.tuples(st.integers(0, 3 * SECOND_US), st.sampled_from("abc")).map(lambda one: Arrival(*one, 200)),
    max_size=30,
).map(sorted)


@given(LOGS)
def test_the_closest_repeat_is_the_smallest_gap_of_any_pair(log: list[Arrival]) -> None:
    """The one pass finds what comparing all pairs finds."""
    gaps = [
        after.at_us - before.at_us
        for before, after in combinations(log, 2)
        if before.message_id == after.message_id
    ]
    assert find_closest_repeat_us(log) == min(gaps, default=None)


@given(LOGS)
def test_the_busiest_second_is_the_fullest_of_all_windows(log: list[Arrival]) -> None:
    """The one pass finds what counting from each request on finds."""
    counts = [sum(0 <= other.at_us - one.at_us < SECOND_US for other in log) for one in log]
    assert count_busiest_second(log) == max(counts, default=0)


def test_requests_exactly_a_second_apart_share_no_window() -> None:
    """One request per second is one request per second."""
    assert count_busiest_second([Arrival(0, "a", 200), Arrival(SECOND_US, "a", 200)]) == 1
