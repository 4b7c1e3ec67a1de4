"""What was sent, and scenarios that begin and end while messages are under way."""

import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US, Status
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.timeline import NEVER_AT, Timeline, TrafficKind
from tests.simulator.rig import LONG_AFTER_US, HandClock


def timelines(sent: SentMessages, indexes: range) -> list[Timeline]:
    """The timelines of some messages, as they are decided now."""
    return [sent.timeline_of(index) for index in indexes]


def statuses(sent: SentMessages, indexes: range) -> Counter[Status]:
    """How many messages have which status now."""
    return Counter(timeline.status_at(sent.clock.now()) for timeline in timelines(sent, indexes))


def test_a_sent_id_is_found_and_an_unsent_one_is_not() -> None:
    """The next id exists only once it is sent."""
    sent = SentMessages(1, HandClock())
    ids = sent.send(TrafficKind.OTP, "otp", 3)
    assert [sent.find(message_id) for message_id in ids] == [0, 1, 2]
    assert sent.find(sent.ids.write(3)) == -1
    assert sent.find("abc123def456") == -1


def test_equal_seeds_give_equal_timelines() -> None:
    """Two providers with one seed and one clock agree on every id and every timeline."""
    clock = HandClock()
    one, other = SentMessages(5, clock), SentMessages(5, clock)
    assert one.send(TrafficKind.ORDER, "a", 50) == other.send(TrafficKind.ORDER, "b", 50)
    assert timelines(one, range(50)) == timelines(other, range(50))


def test_hanging_stops_the_undecided_and_spares_the_ended() -> None:
    """What has ended when the scenario begins stays ended; all else never ends, not even afterwards."""
    clock = HandClock()
    sent = SentMessages(1, clock)
    sent.send(TrafficKind.OTP, "otp", 1000)
    clock.passed_us += 4 * SECOND_US
    before = statuses(sent, range(1000))
    sent.switch_scenario("hanging")
    clock.passed_us += 60 * SECOND_US
    sent.switch_scenario("calm")
    clock.passed_us += LONG_AFTER_US
    after = statuses(sent, range(1000))
    assert after[Status.DELIVERED] == before[Status.DELIVERED] > 0
    assert after[Status.PROCESSING] == before[Status.PROCESSING] + before[Status.SCHEDULED]


@pytest.mark.parametrize("between", [name for name in SCENARIOS if name != "calm"])
def test_calm_after_a_scenario_is_calm_for_new_messages(between: str) -> None:
    """What is sent after any scenario goes exactly as if there had been none."""
    clock = HandClock()
    sent, undisturbed = SentMessages(1, clock), SentMessages(1, clock)
    sent.switch_scenario(between)
    clock.passed_us += SECOND_US
    sent.switch_scenario("calm")
    for one in (sent, undisturbed):
        one.send(TrafficKind.ORDER, "orders", 100)
    assert timelines(sent, range(100)) == timelines(undisturbed, range(100))


def test_a_later_scenario_frees_nothing_that_an_earlier_one_stopped() -> None:
    """Messages that hung before they became expensive still hang."""
    clock = HandClock()
    sent = SentMessages(1, clock, "hanging")
    sent.send(TrafficKind.OTP, "otp", 100)
    sent.switch_scenario("cost-spike")
    assert {timeline.final_at for timeline in timelines(sent, range(100))} == {NEVER_AT}


def test_a_viber_outage_reaches_orders_under_way() -> None:
    """Orders just sent end later, or never, once Viber fails under them."""
    clock = HandClock()
    sent, undisturbed = SentMessages(1, clock), SentMessages(1, clock)
    for one in (sent, undisturbed):
        one.send(TrafficKind.ORDER, "orders", 500)
    clock.passed_us += 5 * SECOND_US
    sent.switch_scenario("viber-outage")
    clock.passed_us += 300 * SECOND_US
    assert statuses(undisturbed, range(500))[Status.DELIVERED] > 450
    assert statuses(sent, range(500))[Status.DELIVERED] < 300


def test_no_message_turns_out_to_have_ended_before_the_scenario_that_ends_it() -> None:
    """Viber gives up slow campaign messages some time after its outage began, not before."""
    clock = HandClock()
    sent = SentMessages(1, clock)
    sent.send(TrafficKind.CAMPAIGN, "sale", 20_000)
    clock.passed_us += 3300 * SECOND_US
    undecided = [index for index in range(len(sent)) if sent.timeline_of(index).final_at > clock.now()]
    sent.switch_scenario("viber-outage")
    assert min(sent.timeline_of(index).final_at for index in undecided) > clock.now()


@settings(max_examples=60)
@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 400 * SECOND_US), st.sampled_from(sorted(SCENARIOS))), max_size=6),
)
def test_no_change_of_scenario_takes_an_end_back(seed: int, changes: list[tuple[int, str]]) -> None:
    """Once a message has ended, its whole timeline stands; a status never moves backwards."""
    clock = HandClock()
    sent = SentMessages(seed, clock)
    for kind in TrafficKind:
        sent.send(kind, kind, 5)
    for wait_us, scenario in changes:
        clock.passed_us += wait_us
        now = clock.now()
        before = timelines(sent, range(15))
        sent.switch_scenario(scenario)
        for index, timeline in enumerate(before):
            if timeline.final_at <= now:
                assert sent.timeline_of(index) == timeline
            else:
                assert sent.timeline_of(index).final_at > now
                assert sent.timeline_of(index).status_at(now) is timeline.status_at(now)
                assert sent.timeline_of(index).channels_at(now) == timeline.channels_at(now)


def test_a_million_messages_fit_in_a_few_megabytes() -> None:
    """A message costs less than 20 bytes, the room for growth included."""
    sent = SentMessages(1, HandClock())
    tracemalloc.start()
    try:
        for _ in range(100):
            sent.send(TrafficKind.CAMPAIGN, "sale", 1000)
        traced_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced_bytes < 20 * len(sent)
