"""Who is let in by a password, what that costs, and that the cost tells nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from exporter.http import Listener, WebAuth, pages
from exporter.http.passwords import MAX_CHECKS, BusyError, Passwords
from exporter.runtime.secrets import Secret
from tests.http.authority import PASSWORD, basic, hashed
from tests.http.client import SITE, ask


class Checking(ThreadPoolExecutor):
    """One thread, which notes the hashes that passwords are checked against."""

    def __init__(self) -> None:
        """Idle so far."""
        super().__init__(1)
        self.hashes: list[bytes] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:  # noqa: ANN401 - as in the base class
        """Note the hash, and check."""
        self.hashes.append(arguments[-1])
        return super().submit(function, *arguments, **more)


@pytest.fixture
def checking() -> Iterator[Checking]:
    """A thread of this test."""
    with Checking() as executor:
        yield executor


def passwords(checking: Checking, **users: str) -> Passwords:
    """Those users' passwords."""
    return Passwords({name: Secret(text) for name, text in users.items()}, checking)


async def test_the_right_password_is_let_in_and_checked_once(checking: Checking) -> None:
    """A check costs a tenth of a second or more: a scraper pays it once."""
    ours = passwords(checking, alice=hashed(), bob=hashed("b"))
    for _ in range(3):
        assert await ours.accept(basic("alice", PASSWORD))
        assert await ours.accept(basic("bob", "b"))
    assert len(checking.hashes) == 2


async def test_nothing_else_is_let_in(checking: Checking) -> None:
    """Neither before nor after somebody was, nor with what only looks like it."""
    ours = passwords(checking, alice=hashed(), bob=hashed("b"))
    wrong = [
        basic("alice", "b"),
        basic("bob", PASSWORD),
        basic("carol", PASSWORD),
        basic("alice", ""),
        basic("", ""),
    ]
    for _ in range(2):
        for header in wrong:
            assert not await ours.accept(header)
        assert await ours.accept(basic("alice", PASSWORD))
    checks = len(checking.hashes)
    for header in ("", "Basic", "Basic ####", "Basic YWxpY2U=", f"Bearer {PASSWORD}", "Basic é"):
        assert not await ours.accept(header)
    assert len(checking.hashes) == checks


async def test_a_name_that_nobody_has_costs_what_a_wrong_password_costs(checking: Checking) -> None:
    """A check of the same cost, each time: the time of a refusal doesn't tell who exists."""
    ours = passwords(checking, alice=hashed(cost=5))
    await ours.accept(basic("alice", PASSWORD))
    checking.hashes.clear()
    for name in ("alice", "nobody", "nobody"):
        assert not await ours.accept(basic(name, "wrong"))
    assert [one[:7] for one in checking.hashes] == [hashed(cost=5)[:7].encode()] * 3


async def test_a_password_counts_up_to_what_bcrypt_looks_at(checking: Checking) -> None:
    """72 bytes, as with every exporter; none is too long to be refused in order."""
    long = "x" * 72
    ours = passwords(checking, alice=hashed(long), bob=hashed("naïve"))
    assert await ours.accept(basic("alice", long + "y" * 100))
    assert not await ours.accept(basic("alice", "x" * 71))
    assert await ours.accept(basic("bob", "naïve"))
    assert not await ours.accept(basic("bob", b"\0\xff" * 500))


async def test_few_checks_wait_and_known_passwords_pass_them_by(checking: Checking) -> None:
    """Whoever floods us with passwords is told to come back; who was let in before still is."""
    ours = passwords(checking, alice=hashed())
    await ours.accept(basic("alice", PASSWORD))
    release = threading.Event()
    blocked = checking.submit(release.wait, None)
    async with asyncio.TaskGroup() as together:
        flood = [
            together.create_task(ours.accept(basic("alice", f"{number}"))) for number in range(MAX_CHECKS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await ours.accept(basic("alice", "one more"))
        assert await ours.accept(basic("alice", PASSWORD))
        release.set()
    blocked.result()
    assert not any(task.result() for task in flood)
    assert not await ours.accept(basic("alice", "again"))


async def test_a_flood_is_answered_and_the_scraper_goes_on(tmp_path: Path) -> None:
    """Over the wire: 401 or 503 for who guesses, 200 for who was let in before."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{alice: {hashed(cost=8)}}}\n")

    def request(password: str) -> bytes:
        header = basic("alice", password)
        head = "GET /metrics HTTP/1.1\r\nHost: e\r\nConnection: close\r\n"
        return f"{head}Authorization: {header}\r\n\r\n".encode()

    with WebAuth(web) as guard:
        async with Listener(["127.0.0.1:0"], pages(SITE), guard) as listener:
            assert (await ask(listener, request(PASSWORD))).startswith(b"HTTP/1.1 200 ")
            async with asyncio.TaskGroup() as together:
                flood = [together.create_task(ask(listener, request(f"{number}"))) for number in range(40)]
                scrape = await ask(listener, request(PASSWORD))
            assert scrape.startswith(b"HTTP/1.1 200 ")
            answers = {task.result().partition(b"\r\n")[0] for task in flood}
            assert answers == {b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 503 Service Unavailable"}
