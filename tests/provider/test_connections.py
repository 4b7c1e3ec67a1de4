"""Which addresses a connection may have, and that a lost connection never causes a second request."""

from __future__ import annotations

import asyncio

import pytest

from exporter.domain.model import Outcome
from tests.domain.test_message_ids import GOOD as GOOD_IDS
from tests.domain.test_message_ids import HOSTILE
from tests.kit.scripted import End, Script, ScriptedProvider, answer, status_body
from tests.provider.account import ID, Names, make_client

GOOD = answer(200, status_body(ID))


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 ",)])
async def test_a_reused_connection_that_is_lost_is_reported_and_not_repeated(
    end: End, pieces: tuple[bytes, ...]
) -> None:
    """The library would send the request again at once: the same message twice within a second."""
    async with (
        ScriptedProvider(GOOD, Script(pieces, end), GOOD) as provider,
        make_client(provider.url) as ours,
    ):
        assert (await ours.fetch(ID)).outcome is Outcome.OK
        reply = await ours.fetch("second")
        assert (reply.outcome, reply.reused_connection_lost) == (Outcome.CONNECT, True)
        assert provider.targets == [f"/bat/message/{ID}", "/bat/message/second"]
        assert provider.connections == 1
        assert (await ours.fetch(ID)).outcome is Outcome.OK


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_new_connection_that_is_lost_is_a_failure(end: End) -> None:
    """A new connection was not idle: the provider fails, and that must be visible."""
    async with ScriptedProvider(Script(end=end)) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(ID)
        assert (reply.outcome, reply.reused_connection_lost) == (Outcome.CONNECT, False)
        assert len(provider.received) == 1


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_provider_that_closes_after_each_answer_gets_one_request_per_message(end: End) -> None:
    """Whether the next request or the close comes first, no message is polled twice."""
    names = [f"message-{number}" for number in range(40)]
    scripts = [answer(200, status_body(name), end=end) for name in names]
    async with ScriptedProvider(*scripts) as provider, make_client(provider.url) as ours:
        outcomes = {(await ours.fetch(name)).outcome for name in names}
        assert outcomes <= {Outcome.OK, Outcome.CONNECT, Outcome.BAD_BODY, Outcome.BAD_SCHEMA}
        assert len(provider.targets) == len(set(provider.targets))


async def test_connections_are_reused_and_no_more_of_them_than_requests_in_flight() -> None:
    """Many requests at once go over as many connections as the account may have in flight."""
    names = [f"message-{number}" for number in range(12)]
    async with (
        ScriptedProvider(answer(404)) as provider,
        make_client(provider.url, max_in_flight=3) as ours,
        asyncio.TaskGroup() as tasks,
    ):
        asking = [tasks.create_task(ours.fetch(name)) for name in names]
        assert {(await reply).outcome for reply in asking} == {Outcome.NOT_FOUND}
        assert sorted(provider.targets) == sorted(f"/bat/message/{name}" for name in names)
        assert provider.connections <= 3


@pytest.mark.parametrize("message_id", HOSTILE)
async def test_a_hostile_id_is_never_sent(message_id: str) -> None:
    """It could change the path, the host or the headers; the reply says why, and not what."""
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url) as ours:
        reply = await ours.fetch(message_id)
        assert (reply.outcome, provider.connections) == (Outcome.CLIENT_ERROR, 0)
        assert reply.detail == f"not sent: the id is refused as {HOSTILE[message_id]}"


@pytest.mark.parametrize("prefix", ["", "/", "/gate/v1", "/gate/v1/", "/a%2Fb"])
async def test_an_id_is_the_last_segment_below_the_path_of_the_base_url(prefix: str) -> None:
    """The base URL may have a path, which stays as it is written, with a slash at its end or without."""
    async with ScriptedProvider(GOOD) as provider, make_client(provider.url + prefix) as ours:
        for message_id in GOOD_IDS:
            await ours.fetch(message_id)
        below = prefix.rstrip("/")
        assert provider.targets == [f"{below}/bat/message/{message_id}" for message_id in GOOD_IDS]


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "2852039166",
        "0xa9fea9fe",
    ],
)
async def test_an_address_where_credentials_are_handed_out_is_refused(host: str) -> None:
    """In whatever notation, nothing is sent to the metadata service."""
    async with make_client(f"http://{host}") as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.DNS


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:a9fe:a9fe",
        "fe80::1",
        "fe80::1%lo",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "100.100.100.200",
        "168.63.129.16",
        "::ffff:100.100.100.200",
        "0.0.0.0",  # noqa: S104 - a destination, which means this machine
        "::",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_a_name_that_resolves_to_such_an_address_is_refused(address: str) -> None:
    """The address counts, not the name; the reply says that it was refused."""
    names = Names(provider_test=[address])
    async with make_client("http://provider.test", names=names) as ours:
        reply = await ours.fetch(ID)
    assert reply.outcome is Outcome.DNS
    assert "metadata" in reply.detail


@pytest.mark.parametrize(
    "dead", ["169.254.169.254", "::1", "2001:db8::1"], ids=["refused", "closed port", "no route"]
)
async def test_one_bad_address_of_a_name_leaves_the_good_ones(dead: str) -> None:
    """Of several addresses one that answers is enough, as for a host whose IPv6 is dead."""
    async with ScriptedProvider(GOOD) as provider:
        names = Names(provider_test=[dead, "127.0.0.1"])
        async with make_client(f"http://provider.test:{provider.port}", names=names) as ours:
            assert (await ours.fetch(ID)).outcome is Outcome.OK


@pytest.mark.parametrize("host", ["nowhere.test", "x" * 64 + ".test"])
async def test_a_name_that_does_not_resolve_is_a_dns_failure(host: str) -> None:
    """An unknown name, and one that can't be a name, are the resolver's failures and not the provider's."""
    async with make_client(f"http://{host}", names=Names()) as ours:
        assert (await ours.fetch(ID)).outcome is Outcome.DNS
