"""The control paths: for anyone who drives the simulation from another process."""

import pytest

from exporter.simulator.scenarios import SCENARIOS
from tests.kit.totals import sum_totals
from tests.simulator.rig import Rig


async def test_scenarios_are_listed_and_switched_live() -> None:
    """The key is revoked while `key-revoked` holds, and good again afterwards."""
    async with Rig() as rig:
        listed = (await rig.control("GET", "/-/scenario"))[1]
        assert listed["current"] == "calm"
        assert set(listed["scenarios"]) == set(SCENARIOS)
        assert (await rig.control("POST", "/-/scenario/key-revoked"))[1]["current"] == "key-revoked"
        assert (await rig.poll("x"))[0] == 401
        await rig.control("POST", "/-/scenario/calm")
        assert (await rig.poll("x"))[0] == 404
        assert (await rig.control("POST", "/-/scenario/sunshine"))[0] == 404


async def test_messages_sent_over_http_can_be_polled() -> None:
    """Ids come back; the campaign is the kind unless given."""
    async with Rig() as rig:
        _, sent = await rig.control("POST", "/-/send", {"kind": "otp", "count": 10})
        await rig.control("POST", "/-/send", {"kind": "order", "count": 3, "campaign": "shop"})
        assert len(set(sent["ids"])) == 10
        for message_id in sent["ids"]:
            code, answer = await rig.poll(message_id)
            assert (code, answer["deliverystatus"]) == (200, "scheduled")
        totals = await sum_totals(rig.simulator.sent_messages)
        assert totals == {("otp", "messages", "scheduled"): 10, ("shop", "messages", "scheduled"): 3}


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
        assert len(rig.simulator.sent_messages) == 0
