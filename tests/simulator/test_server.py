"""The simulated provider over HTTP, as a client meets it."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from exporter.domain.model import SECOND_US
from exporter.runtime.errors import ListenError
from exporter.simulator.server import Simulator, serve
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.timeline import TrafficKind
from tests.kit.recording_simulator import RecordingSimulator
from tests.kit.waiting import HANG_SECONDS
from tests.kit.web import encode_basic, free_port
from tests.simulator.rig import HOUR_US, KEY, LONG_AFTER_US, Rig


@pytest.mark.parametrize(
    "headers",
    [
        {"x-authorization-key": "demo-key"},
        {"Authorization": encode_basic("@", "demo-key")},
        {"Authorization": encode_basic("demo", "demo")},
    ],
)
async def test_each_documented_way_of_authentication_lets_in(headers: dict[str, str]) -> None:
    """Header, key as password, user and password."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        assert (await rig.poll(message_id, headers))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Authorization-Key": "wrong"},
        {"X-Authorization-Key": ""},
        {"X-Authorization-Key": "wrong", "Authorization": encode_basic("demo", "demo")},
        {"Authorization": encode_basic("@", "demo")},
        {"Authorization": encode_basic("demo", "demo-key")},
        {"Authorization": encode_basic("nobody", "")},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Bearer demo-key"},
    ],
)
async def test_anyone_else_is_refused_with_the_documented_error_body(headers: dict[str, str]) -> None:
    """401, whether the message exists or not."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        for asked in (message_id, "unknown"):
            code, body = await rig.poll(asked, headers)
            assert code == 401
            assert body["error"]["code"] == "UNAUTHORIZED"
            assert body["error"]["message"]


@pytest.mark.parametrize(
    ("message_id", "code"), [("unknown", 404), ("x" * 256, 400), ("a/b", 400), ("", 400)]
)
async def test_ids_that_can_t_be_answered_get_an_error(message_id: str, code: int) -> None:
    """404 for an id never sent, 400 for one that can't be an id."""
    async with Rig() as rig:
        answer = await rig.poll(message_id)
        assert answer[0] == code
        assert set(answer[1]) == {"error"}


async def test_other_paths_and_methods_are_errors() -> None:
    """There is nothing beside the documented path and the control paths."""
    async with Rig() as rig:
        assert (await rig.control("POST", "/bat/message/abc"))[0] == 405
        assert (await rig.control("GET", "/"))[0] == 404
        assert (await rig.control("GET", "/-/nothing"))[0] == 404


async def poll_twice(kind: TrafficKind) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The answers about many messages of one kind at once, and long afterwards."""
    async with Rig() as rig:
        ids = rig.simulator.sent_messages.send(kind, kind, 120)
        early = [(await rig.poll(message_id))[1] for message_id in ids]
        rig.clock.passed_us += LONG_AFTER_US
        late = [(await rig.poll(message_id))[1] for message_id in ids]
        assert [answer["messageId"] for answer in early] == ids
        return early, late


@pytest.mark.parametrize("kind", TrafficKind)
async def test_cost_comes_with_the_end_and_is_nothing_without_delivery(kind: TrafficKind) -> None:
    """Absent before; 0.00 for undelivered messages; a positive number for delivered ones."""
    early, late = await poll_twice(kind)
    assert all("cost" not in answer and "billAmount" not in answer for answer in early)
    for answer in late:
        if answer["deliverystatus"] == "processing":
            assert "cost" not in answer
        elif answer["deliverystatus"] == "delivered":
            assert answer["cost"] > 0
            assert answer.get("billAmount", Decimal(1)) > 0
        else:
            assert answer["cost"] == answer.get("billAmount", 0) == 0


async def test_a_basic_answer_has_the_documented_keys_and_types() -> None:
    """Half the campaign traffic has no currency of its own, and nothing but the basic keys."""
    _, late = await poll_twice(TrafficKind.CAMPAIGN)
    plain = [
        answer for answer in late if "billCurrency" not in answer and answer["deliverystatus"] == "delivered"
    ]
    assert plain
    for answer in plain:
        assert list(answer) == ["messagelistId", "messageId", "deliverystatus", "partscount", "cost"]
        assert isinstance(answer["messagelistId"], int)
        assert isinstance(answer["partscount"], int)
        assert isinstance(answer["cost"], Decimal)


async def test_an_order_s_answer_has_fallbacks_and_a_bill() -> None:
    """All keys of the documented extended answer, from Viber to the bill's currency."""
    _, late = await poll_twice(TrafficKind.ORDER)
    for answer in late:
        assert answer["fallbacks"][0]["type"] == "sms"
        assert set(answer["extendedStatuses"]) == {"viber", "sms"}
        if answer["deliverystatus"] == "delivered":
            assert answer["rateAmount"] == answer["rate"] * answer["partscount"]
            assert answer["rateCurrency"] == "EUR"
            assert answer["billCurrency"] in {"UAH", "EUR"}


async def test_a_key_has_its_rate_and_its_burst() -> None:
    """10 requests at once, then one each 100 ms; the two ways of using a key share its limit."""
    async with Rig(requests_per_second=10, burst=10) as rig:
        codes = [(await rig.poll("x"))[0] for _ in range(12)]
        assert codes == [404] * 10 + [429] * 2
        assert (await rig.poll("x", {"Authorization": encode_basic("@", "demo-key")}))[0] == 429
        assert (await rig.poll("x", {"Authorization": encode_basic("demo", "demo")}))[0] == 404
        rig.wire_clock.passed_us += 100_000
        assert [(await rig.poll("x"))[0] for _ in range(2)] == [404, 429]
        rig.wire_clock.passed_us += HOUR_US
        assert [(await rig.poll("x"))[0] for _ in range(11)] == [404] * 10 + [429]


@pytest.mark.parametrize("seconds", [None, 7])
async def test_a_refusal_for_haste_names_a_wait_only_if_set(seconds: int | None) -> None:
    """`Retry-After` is there on demand: the documentation doesn't promise it."""
    async with Rig(requests_per_second=1, burst=1, retry_after_seconds=seconds) as rig:
        first, second = await rig.raw("x"), await rig.raw("x")
        assert (first.status, second.status) == (404, 429)
        assert "Retry-After" not in first.headers
        assert second.headers.get("Retry-After") == (None if seconds is None else "7")


async def order(rig: Rig, **fault: object) -> None:
    """Put a fault in force."""
    assert (await rig.control("POST", "/-/fault", fault))[0] == 200


@pytest.mark.parametrize(
    ("fault", "code"), [({"kind": "status", "code": 503}, 503), ({"kind": "revoke_key"}, 401)]
)
async def test_a_status_fault_answers_with_that_code(fault: dict[str, object], code: int) -> None:
    """The error body is the documented one; clearing ends it."""
    async with Rig() as rig:
        await order(rig, **fault)
        assert await rig.poll("x") == (code, (await rig.poll("x"))[1])
        assert set((await rig.poll("x"))[1]) == {"error"}
        await rig.control("DELETE", "/-/fault")
        assert (await rig.poll("x"))[0] == 404


async def test_spoilt_answers_are_no_json_or_no_known_word() -> None:
    """Garbage and a page can't be parsed; a bad status or cost leaves the rest of the answer as it is."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        rig.clock.passed_us += HOUR_US
        await order(rig, kind="garbage", seconds=1)
        with pytest.raises(ValueError, match="Unterminated string"):
            await rig.poll(message_id)
        rig.wire_clock.passed_us += SECOND_US
        await order(rig, kind="html", seconds=1)
        assert (await rig.raw(message_id)).content_type == "text/html"
        rig.wire_clock.passed_us += SECOND_US
        await order(rig, kind="unknown_status")
        code, body = await rig.poll(message_id)
        assert (code, body["deliverystatus"], body["messageId"]) == (200, "read", message_id)
        assert (await rig.control("GET", "/-/totals?seen=1"))[1] == []
        await rig.control("DELETE", "/-/fault")
        await order(rig, kind="bad_cost")
        code, body = await rig.poll(message_id)
        assert (code, body["cost"], body["messageId"]) == (200, "n/a", message_id)


async def test_a_delayed_answer_is_right_but_late() -> None:
    """The delay is waited out, and the answer is the one of the moment of asking."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        await order(rig, kind="delay", delay_seconds=3)
        assert (await rig.poll(message_id))[0] == 200
        assert rig.wire_clock.passed_us == 3 * SECOND_US


@pytest.mark.parametrize(
    ("kind", "error"), [("reset", aiohttp.ClientOSError), ("drop-all", aiohttp.ServerDisconnectedError)]
)
async def test_an_unanswered_request_ends_as_ordered(kind: str, error: type[Exception]) -> None:
    """RST, or a close without a byte; each is recorded as a request without an answer."""
    async with Rig() as rig:
        [message_id] = rig.simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        await order(rig, kind=kind)
        with pytest.raises(error):
            await rig.poll(message_id)
        await rig.control("DELETE", "/-/fault")
        assert (await rig.poll(message_id))[0] == 200
        # aiohttp's client asks a second time by itself when a connection breaks under a GET.
        *unanswered, answered = [arrival.code for arrival in rig.simulator.arrivals]
        assert set(unanswered) == {0}
        assert answered == 200


async def test_a_client_that_gives_up_leaves_nothing_behind() -> None:
    """Handlers of hanging requests end with their connections, unanswered, instead of piling up."""
    async with Rig() as rig, asyncio.timeout(HANG_SECONDS):
        await order(rig, kind="hang")
        before = len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as group:
            polling = [group.create_task(rig.poll("x")) for _ in range(3)]
            while len(rig.simulator.arrivals) < len(polling):
                await rig.control("GET", "/-/scenario")
            assert not any(task.done() for task in polling)
            for task in polling:
                task.cancel()
        while len(asyncio.all_tasks()) > before:
            await rig.control("GET", "/-/scenario")
        await rig.control("DELETE", "/-/fault")
        assert (await rig.poll("x"))[0] == 404
        assert [arrival.code for arrival in rig.simulator.arrivals] == [0, 0, 0, 404]


async def test_speed_makes_lives_short_and_leaves_arrivals_in_real_time() -> None:
    """An hour of the provider is a fraction of a second in the record of arrivals."""
    speed = 20_000
    settings = SimulatorSettings(port=0, speed=speed, requests_per_second=0)
    async with RecordingSimulator(settings) as simulator, aiohttp.ClientSession(simulator.url) as session:
        [message_id] = simulator.sent_messages.send(TrafficKind.OTP, "otp", 1)
        begun_at = simulator.sent_messages.clock.now()
        answers = []
        while simulator.sent_messages.clock.now() < begun_at + HOUR_US:
            async with session.get(f"/bat/message/{message_id}", headers=KEY) as response:
                answers.append(await response.json())
        passed_us = simulator.sent_messages.clock.now() - begun_at
        assert answers[-1]["deliverystatus"] == "delivered"
        assert simulator.arrivals[-1].at_us - simulator.arrivals[0].at_us <= passed_us / speed


async def test_an_address_in_use_is_an_error_with_a_hint() -> None:
    """The second simulator on a port says which address it couldn't have, and what to do."""
    async with Simulator(SimulatorSettings(port=0)) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}") as caught:
            async with Simulator(SimulatorSettings(port=port)):
                pass
        assert "--listen" in caught.value.hint


async def test_serving_ends_on_stop_even_with_an_answer_hanging() -> None:
    """`serve` returns after the stop, and the client that still waits is cut off."""
    port = free_port()
    stop = asyncio.Event()
    async with (
        asyncio.timeout(HANG_SECONDS),
        asyncio.TaskGroup() as group,
        aiohttp.ClientSession() as session,
    ):
        serving = group.create_task(serve(SimulatorSettings(port=port), stop))
        url = f"http://127.0.0.1:{port}"
        while not await _accepted(session, f"{url}/-/fault", {"kind": "hang"}):
            pass
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /bat/message/x HTTP/1.1\r\nHost: x\r\nX-Authorization-Key: demo-key\r\n\r\n")
        # A request that comes after it is answered: it has arrived.
        await session.get(f"{url}/-/scenario")
        stop.set()
        await serving
        assert await reader.read() == b""
        writer.close()


async def _accepted(session: aiohttp.ClientSession, url: str, body: object) -> bool:
    try:
        async with session.post(url, json=body) as response:
            return response.status == 200
    except aiohttp.ClientConnectorError:
        return False
