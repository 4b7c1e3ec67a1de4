"""What the recording simulator remembers of the requests that reach it."""

from __future__ import annotations

import asyncio
from collections import Counter

from exporter.simulator.timeline import TrafficKind
from tests.kit.totals import sum_totals
from tests.simulator.rig import LONG_AFTER_US, Rig


async def test_each_status_request_is_recorded_with_its_time_id_and_code() -> None:
    """In the order of arrival, from any number on; an id that was never sent too."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        await rig.poll(message_id)
        rig.wire_clock.passed_us += 5
        await rig.poll("unknown")
        expected = [[0, message_id, 200], [5, "unknown", 404]]
        assert (await rig.control("GET", "/-/arrivals"))[1] == expected
        assert (await rig.control("GET", "/-/arrivals?since=1"))[1] == expected[1:]
        assert (await rig.control("GET", "/-/arrivals?since=2"))[1] == []
        assert (await rig.control("GET", "/-/requests"))[1] == {"total": 2, "most_in_flight": 1}


async def test_the_most_requests_in_flight_are_those_that_overlap() -> None:
    """Two at a time are two, however many come one after another."""
    async with Rig() as rig:
        for _ in range(3):
            await rig.poll("x")
        assert rig.simulator.most_in_flight == 1
        await rig.control("POST", "/-/fault", {"kind": "hang"})
        async with asyncio.TaskGroup() as group:
            hanging = [group.create_task(rig.raw("x")) for _ in range(2)]
            while (await rig.control("GET", "/-/requests"))[1]["total"] < 5:
                pass
            for task in hanging:
                task.cancel()
        assert rig.simulator.most_in_flight == 2


async def test_totals_of_the_seen_follow_what_was_answered() -> None:
    """A message counts as seen once an answer holds its final status, and then like all others."""
    async with Rig() as rig:
        _, sent = await rig.control("POST", "/-/send", {"kind": "otp", "count": 10})
        await rig.control("POST", "/-/send", {"kind": "order", "count": 3})
        for message_id in sent["ids"]:
            await rig.poll(message_id)
        rig.clock.passed_us += LONG_AFTER_US
        assert (await rig.control("GET", "/-/totals?seen=1"))[1] == []
        for message_id in sent["ids"]:
            await rig.poll(message_id)
        rows = (await rig.control("GET", "/-/totals?seen=1"))[1]
        totals = await sum_totals(rig.simulator.sent_messages)
        ended = {key: n for key, n in totals.items() if key[0] == "otp" and key[2:] != ("processing",)}
        assert Counter({tuple(key): value for *key, value in rows}) == ended
