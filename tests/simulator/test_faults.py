"""Faults as ordered, and whom they hit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.model import SECOND_US
from exporter.simulator.faults import FaultBoard, FaultKind, FaultOrder, read_order

JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


def test_an_order_reads_as_it_is_documented() -> None:
    """The keys mean what they say."""
    order = {"kind": "status", "code": 503, "share": 0.5, "seconds": 30}
    assert read_order(order) == FaultOrder(FaultKind.STATUS, 503, 0, 0.5, 30 * SECOND_US)
    delay = {"kind": "delay", "delay_seconds": 1.5}
    assert read_order(delay) == FaultOrder(FaultKind.DELAY, delay_us=1_500_000)


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ({}, "kind"),
        ({"kind": "flood"}, "kind"),
        ({"kind": ["hang"]}, "kind"),
        ({"kind": "hang", "second": 3}, "'second'"),
        ({"kind": "status", "code": 99}, "code"),
        ({"kind": "hang", "share": True}, "share"),
        ({"kind": "hang", "share": 1.5}, "share"),
        ({"kind": "hang", "share": float("nan")}, "share"),
        ({"kind": "hang", "seconds": "3"}, "seconds"),
        ({"kind": "delay"}, "delay_seconds"),
    ],
)
def test_a_wrong_order_is_refused_by_name(order: dict[str, Any], problem: str) -> None:
    """What is wrong is said, with the key it is about."""
    answer = read_order(order)
    assert isinstance(answer, str)
    assert problem in answer


@given(st.dictionaries(st.sampled_from(["kind", "code", "share", "seconds", "delay_seconds"]), JSON_VALUES))
def test_no_order_is_too_strange_to_be_answered(order: dict[str, Any]) -> None:
    """Every JSON object is either a fault or a sentence."""
    assert isinstance(read_order(order), FaultOrder | str)


def test_a_share_hits_about_that_share() -> None:
    """Half means half, by the seed."""
    board = FaultBoard(1)
    board.add(FaultOrder(FaultKind.HANG, share=0.5), 0)
    hits = sum(board.pick_fault(0) is not None for _ in range(1000))
    assert 450 < hits < 550


def test_a_fault_ends_when_its_time_is_over() -> None:
    """It hits up to its last microsecond and no longer."""
    board = FaultBoard(1)
    board.add(FaultOrder(FaultKind.HANG, duration_us=30), 100)
    assert board.pick_fault(129) is not None
    assert board.pick_fault(130) is None


def test_the_earliest_order_goes_first_and_clearing_ends_all() -> None:
    """Two faults stand side by side until both are cleared."""
    board = FaultBoard(1)
    first, second = FaultOrder(FaultKind.HANG, share=0.5), FaultOrder(FaultKind.RESET)
    board.add(first, 0)
    board.add(second, 0)
    assert {board.pick_fault(0) for _ in range(100)} == {first, second}
    board.clear()
    assert board.pick_fault(0) is None


def test_what_a_scenario_brings_comes_after_what_was_ordered() -> None:
    """A standing fault hits whom no order does, and goes with the scenario."""
    board = FaultBoard(1)
    ordered, standing = FaultOrder(FaultKind.HANG, share=0.5), FaultOrder(FaultKind.RESET)
    board.add(ordered, 0)
    assert {board.pick_fault(0, standing) for _ in range(100)} == {ordered, standing}
    board.clear()
    assert board.pick_fault(0, standing) == standing
    assert board.pick_fault(0) is None
