"""The control paths: whoever drives the simulation from another process."""

import pytest

from exporter.simulator.fate import TrafficKind
from exporter.simulator.scenarios import SCENARIOS
from tests.simulator.rig import LONG_AFTER_US, Rig


async def test_scenarios_are_listed_and_switched_live() -> None:
    """The key is revoked while `key-revoked` holds, and good again afterwards."""
    async with Rig() as rig:
        listed = (await rig.control("GET", "/-/scenario"))[1]
        assert listed["current"] == "calm"
        assert set(listed["scenarios"]) == set(SCENARIOS)
        assert (await rig.control("POST", "/-/scenario/key-revoked"))[1]["current"] == "key-revoked"
        assert (await rig.ask("x"))[0] == 401
        await rig.control("POST", "/-/scenario/calm")
        assert (await rig.ask("x"))[0] == 404
        assert (await rig.control("POST", "/-/scenario/sunshine"))[0] == 404


async def test_messages_sent_over_http_can_be_asked_for_and_are_booked() -> None:
    """Ids come back; the campaign is the kind unless given; `seen` follows what was answered."""
    async with Rig() as rig:
        _, sent = await rig.control("POST", "/-/send", {"kind": "otp", "count": 10})
        await rig.control("POST", "/-/send", {"kind": "order", "count": 3, "campaign": "shop"})
        assert (await rig.ask(sent["ids"][0]))[1]["deliverystatus"] == "scheduled"
        rig.clock.passed_us += LONG_AFTER_US
        assert (await rig.control("GET", "/-/books?seen=1"))[1]["campaigns"] == {}
        books = (await rig.control("GET", "/-/books"))[1]["campaigns"]
        assert {name: sum(sums["messages"].values()) for name, sums in books.items()} == {
            "otp": 10,
            "shop": 3,
        }
        assert len(set(sent["ids"])) == 10
        for message_id in sent["ids"]:
            assert (await rig.ask(message_id))[0] == 200
        seen = (await rig.control("GET", "/-/books?seen=1"))[1]["campaigns"]
        assert set(seen) == {"otp"}
        assert seen["otp"]["finished"] == books["otp"]["finished"]
        assert seen["otp"]["cost"] == books["otp"]["cost"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/-/send", {"kind": "fax"}),
        ("/-/send", {"kind": "otp", "count": 0}),
        ("/-/send", {"kind": "otp", "count": True}),
        ("/-/send", {"kind": "otp", "amount": 3}),
        ("/-/send", {"kind": "otp", "campaign": ""}),
        ("/-/send", [1]),
        ("/-/fault", {"kind": "flood"}),
        ("/-/fault", None),
    ],
)
async def test_wrong_control_requests_are_refused_with_a_reason(path: str, body: object) -> None:
    """400 and a sentence; nothing is done."""
    async with Rig() as rig:
        code, answer = await rig.control("POST", path, body)
        assert code == 400
        assert answer["error"]["message"]
        assert len(rig.simulator.book) == 0


async def test_arrivals_are_read_page_by_page() -> None:
    """Time, id and code of each request, from any number on."""
    async with Rig() as rig:
        [message_id] = rig.simulator.book.send(TrafficKind.OTP, "otp", 1)
        await rig.ask(message_id)
        rig.wire_clock.passed_us += 5
        await rig.ask("unknown")
        _, page = await rig.control("GET", "/-/arrivals")
        expected = [[0, message_id, 200], [5, "unknown", 404]]
        assert page == {"first": 0, "next": 2, "total": 2, "most_in_hand": 1, "arrivals": expected}
        assert (await rig.control("GET", "/-/arrivals?since=1"))[1]["arrivals"] == expected[1:]
        assert (await rig.control("GET", "/-/arrivals?since=2"))[1]["arrivals"] == []
        for wrong in ("-1", "x", "9" * 5000):
            assert (await rig.control("GET", f"/-/arrivals?since={wrong}"))[0] == 400
