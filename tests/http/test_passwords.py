"""Which passwords are accepted, at which cost, and that the cost reveals nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from exporter.http import Listener, WebAuth, build_routes
from exporter.http.passwords import MAX_CHECKS, BusyError, Passwords
from exporter.runtime.secrets import Secret
from tests.http.authority import PASSWORD, hash_password
from tests.http.client import ENDPOINTS, send_request
from tests.kit.web import encode_basic


class Checking(ThreadPoolExecutor):
    """One thread that records the hashes which passwords are checked against."""

    def __init__(self) -> None:
        super().__init__(1)
        self.hashes: list[bytes] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:  # noqa: ANN401 - as in the base class
        """Record the hash, and check."""
        self.hashes.append(arguments[-1])
        return super().submit(function, *arguments, **more)


@pytest.fixture
def checking() -> Iterator[Checking]:
    """The thread of this test."""
    with Checking() as executor:
        yield executor


def make_passwords(checking: Checking, **users: str) -> Passwords:
    """The passwords of these users, given as hashes."""
    return Passwords({name: Secret(text) for name, text in users.items()}, checking)


async def test_a_correct_password_is_accepted_and_checked_once(checking: Checking) -> None:
    """A check costs a tenth of a second or more: a scraper pays it once."""
    ours = make_passwords(checking, alice=hash_password(), bob=hash_password("b"))
    for _ in range(3):
        assert await ours.accept(encode_basic("alice", PASSWORD))
        assert await ours.accept(encode_basic("bob", "b"))
    assert len(checking.hashes) == 2


async def test_nothing_else_is_accepted(checking: Checking) -> None:
    """Neither before nor after a correct one; malformed headers cost no check."""
    ours = make_passwords(checking, alice=hash_password(), bob=hash_password("b"))
    wrong = [
        encode_basic("alice", "b"),
        encode_basic("bob", PASSWORD),
        encode_basic("carol", PASSWORD),
        encode_basic("alice", ""),
        encode_basic("", ""),
    ]
    for _ in range(2):
        for header in wrong:
            assert not await ours.accept(header)
        assert await ours.accept(encode_basic("alice", PASSWORD))
    checks = len(checking.hashes)
    for header in ("", "Basic", "Basic ####", "Basic YWxpY2U=", f"Bearer {PASSWORD}", "Basic é"):
        assert not await ours.accept(header)
    assert len(checking.hashes) == checks


async def test_an_unknown_name_costs_as_much_as_a_wrong_password(checking: Checking) -> None:
    """A check of the same cost, each time: the time of a refusal does not reveal who exists."""
    ours = make_passwords(checking, alice=hash_password(cost=5))
    await ours.accept(encode_basic("alice", PASSWORD))
    checking.hashes.clear()
    for name in ("alice", "nobody", "nobody"):
        assert not await ours.accept(encode_basic(name, "wrong"))
    assert [one[:7] for one in checking.hashes] == [hash_password(cost=5)[:7].encode()] * 3


async def test_a_password_is_compared_in_its_first_72_bytes(checking: Checking) -> None:
    """As in every exporter; a very long one is refused like any other."""
    long = "x" * 72
    ours = make_passwords(checking, alice=hash_password(long), bob=hash_password("naïve"))
    assert await ours.accept(encode_basic("alice", long + "y" * 100))
    assert not await ours.accept(encode_basic("alice", "x" * 71))
    assert await ours.accept(encode_basic("bob", "naïve"))
    assert not await ours.accept(encode_basic("bob", b"\0\xff" * 500))


async def test_few_checks_wait_and_known_passwords_need_none(checking: Checking) -> None:
    """Further guesses are refused as busy; a client that was accepted before still is."""
    ours = make_passwords(checking, alice=hash_password())
    await ours.accept(encode_basic("alice", PASSWORD))
    release = threading.Event()
    blocked = checking.submit(release.wait, None)
    async with asyncio.TaskGroup() as together:
        flood = [
            together.create_task(ours.accept(encode_basic("alice", f"{number}")))
            for number in range(MAX_CHECKS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await ours.accept(encode_basic("alice", "one more"))
        assert await ours.accept(encode_basic("alice", PASSWORD))
        release.set()
    blocked.result()
    assert not any(task.result() for task in flood)
    assert not await ours.accept(encode_basic("alice", "again"))


async def test_a_flood_is_answered_and_the_scraper_continues(tmp_path: Path) -> None:
    """Over HTTP: 401 or 503 for guesses, 200 for the client that was accepted before."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{alice: {hash_password(cost=8)}}}\n")

    def request(password: str) -> bytes:
        header = encode_basic("alice", password)
        head = "GET /metrics HTTP/1.1\r\nHost: e\r\nConnection: close\r\n"
        return f"{head}Authorization: {header}\r\n\r\n".encode()

    with WebAuth(web) as web_auth:
        async with Listener(["127.0.0.1:0"], build_routes(ENDPOINTS), web_auth) as listener:
            assert (await send_request(listener, request(PASSWORD))).startswith(b"HTTP/1.1 200 ")
            async with asyncio.TaskGroup() as together:
                flood = [
                    together.create_task(send_request(listener, request(f"{number}"))) for number in range(40)
                ]
                scrape = await send_request(listener, request(PASSWORD))
            assert scrape.startswith(b"HTTP/1.1 200 ")
            answers = {task.result().partition(b"\r\n")[0] for task in flood}
            assert answers == {b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 503 Service Unavailable"}
