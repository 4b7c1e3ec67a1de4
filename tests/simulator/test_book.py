"""The provider's memory, and scenarios that begin and end while messages are under way."""

import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US, Status
from exporter.simulator.book import Book
from exporter.simulator.fate import NEVER_AT, TrafficKind
from exporter.simulator.scenarios import SCENARIOS
from tests.simulator.rig import LONG_AFTER_US, HandClock


def statuses(book: Book, indexes: range) -> Counter[Status]:
    """How many messages have which status now."""
    return Counter(book.fate(index).status(book.clock.now()) for index in indexes)


def test_a_sent_id_is_found_and_an_unsent_one_is_not() -> None:
    """The next id exists only once it is sent."""
    book = Book(1, HandClock())
    ids = book.send(TrafficKind.OTP, "otp", 3)
    assert [book.find(message_id) for message_id in ids] == [0, 1, 2]
    assert book.find(book.ids.write(3)) == -1
    assert book.find("abc123def456") == -1


def test_equal_seeds_live_equal_lives() -> None:
    """Two books with one seed and one clock agree on every id and every fate."""
    clock = HandClock()
    one, other = Book(5, clock), Book(5, clock)
    assert one.send(TrafficKind.ORDER, "a", 50) == other.send(TrafficKind.ORDER, "b", 50)
    assert [one.fate(index) for index in range(50)] == [other.fate(index) for index in range(50)]


def test_hanging_stops_the_undecided_and_spares_the_ended() -> None:
    """What has ended when the scenario begins stays ended; all else never ends, not even afterwards."""
    clock = HandClock()
    book = Book(1, clock)
    book.send(TrafficKind.OTP, "otp", 1000)
    clock.passed_us += 4 * SECOND_US
    before = statuses(book, range(1000))
    book.switch("hanging")
    clock.passed_us += 60 * SECOND_US
    book.switch("calm")
    clock.passed_us += LONG_AFTER_US
    after = statuses(book, range(1000))
    assert after[Status.DELIVERED] == before[Status.DELIVERED] > 0
    assert after[Status.PROCESSING] == before[Status.PROCESSING] + before[Status.SCHEDULED]


@pytest.mark.parametrize("between", [name for name in SCENARIOS if name != "calm"])
def test_calm_after_a_scenario_is_calm_for_new_messages(between: str) -> None:
    """What is sent after any scenario lives exactly as if there had been none."""
    clock = HandClock()
    book, undisturbed = Book(1, clock), Book(1, clock)
    book.switch(between)
    clock.passed_us += SECOND_US
    book.switch("calm")
    for one in (book, undisturbed):
        one.send(TrafficKind.ORDER, "orders", 100)
    assert [book.fate(index) for index in range(100)] == [undisturbed.fate(index) for index in range(100)]


def test_a_later_scenario_doesn_t_wake_what_an_earlier_one_stopped() -> None:
    """Dear messages that hung before they became dear still hang."""
    clock = HandClock()
    book = Book(1, clock, "hanging")
    book.send(TrafficKind.OTP, "otp", 100)
    book.switch("cost-spike")
    assert {book.fate(index).final_at for index in range(100)} == {NEVER_AT}


def test_a_viber_outage_reaches_orders_under_way() -> None:
    """Orders just sent end later, or never, once Viber fails under them."""
    clock = HandClock()
    book, undisturbed = Book(1, clock), Book(1, clock)
    for one in (book, undisturbed):
        one.send(TrafficKind.ORDER, "orders", 500)
    clock.passed_us += 5 * SECOND_US
    book.switch("viber-outage")
    clock.passed_us += 300 * SECOND_US
    assert statuses(undisturbed, range(500))[Status.DELIVERED] > 450
    assert statuses(book, range(500))[Status.DELIVERED] < 300


def test_no_message_turns_out_to_have_ended_before_the_scenario_that_ends_it() -> None:
    """Viber gives up slow campaign messages some time after its outage began, not before."""
    clock = HandClock()
    book = Book(1, clock)
    book.send(TrafficKind.CAMPAIGN, "sale", 20_000)
    clock.passed_us += 3300 * SECOND_US
    undecided = [index for index in range(len(book)) if book.fate(index).final_at > clock.now()]
    book.switch("viber-outage")
    assert min(book.fate(index).final_at for index in undecided) > clock.now()


@settings(max_examples=60)
@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 400 * SECOND_US), st.sampled_from(sorted(SCENARIOS))), max_size=6),
)
def test_no_change_of_scenario_takes_an_end_back(seed: int, changes: list[tuple[int, str]]) -> None:
    """Once a message has ended, its whole fate stands; a status never moves backwards."""
    clock = HandClock()
    book = Book(seed, clock)
    for kind in TrafficKind:
        book.send(kind, kind, 5)
    for wait_us, scenario in changes:
        clock.passed_us += wait_us
        now = clock.now()
        fates = [book.fate(index) for index in range(15)]
        book.switch(scenario)
        for index, fate in enumerate(fates):
            if fate.final_at <= now:
                assert book.fate(index) == fate
            else:
                assert book.fate(index).final_at > now
                assert book.fate(index).status(now) is fate.status(now)
                assert book.fate(index).channels(now) == fate.channels(now)


def test_a_million_messages_fit_in_a_few_megabytes() -> None:
    """A message costs less than 20 bytes, the room for growth included."""
    book = Book(1, HandClock())
    tracemalloc.start()
    try:
        for _ in range(100):
            book.send(TrafficKind.CAMPAIGN, "sale", 1000)
        traced_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced_bytes < 20 * len(book)
