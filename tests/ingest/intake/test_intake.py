"""Ids posted over HTTP: what is tracked, the responses, and what is never repeated in them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from exporter.config import Intake as IntakeSettings
from exporter.domain.snapshot import Kind
from exporter.http import Listener
from exporter.ingest import http_api
from exporter.ingest.formats.formats import SUFFIXES
from exporter.ingest.http_api import HttpIntake
from tests.engine.provider import Provider, answer_under_way
from tests.engine.rig import Rig, start_rig
from tests.engine.settings import make_settings

TOKEN = "a-token-of-some-length-1234567890"
PHONE = "380501234567"
SLOW = {"default": {"first_poll": "1h"}}
"""Nothing is polled while a test runs."""


class Answer(NamedTuple):
    """One response."""

    status: int
    text: str
    retry_after: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON object."""
        report: dict[str, Any] = json.loads(self.text)
        return report


class Client:
    """A client of the listener, and the daemon behind it."""

    def __init__(self, rig: Rig, session: aiohttp.ClientSession, address: str) -> None:
        self.rig = rig
        self.address = address
        self._session = session

    async def post(
        self,
        body: bytes | str | AsyncIterator[bytes],
        content_type: str = "text/plain",
        *,
        query: str = "",
        token: str = TOKEN,
        **headers: str,
    ) -> Answer:
        """Send one request."""
        sent = {"Authorization": f"Bearer {token}", "Content-Type": content_type, **headers}
        url = f"http://{self.address}{http_api.PATH}{query}"
        async with self._session.post(url, data=body, headers=sent) as response:
            return Answer(response.status, await response.text(), response.headers.get("Retry-After", ""))

    def read_counter(self, result: str) -> float | None:
        """The counter of posted ids."""
        return self.rig.instruments.registry.get_sample_value(
            "smsbat_intake_messages_total", {"result": result}
        )

    async def count_campaigns(self) -> dict[str, int]:
        """How many messages each campaign has."""
        await self.rig.maintenance.publish()
        names = {name.campaign for name in self.rig.snapshot.campaigns.values()}
        return {name: count for name in names if (count := self.rig.sum_series(Kind.TRACKED, "intake", name))}


@asynccontextmanager
async def serving(tmp_path: Path, *accounts: str, **more: Any) -> AsyncIterator[Client]:  # noqa: ANN401 - sections of a configuration
    """A daemon with the intake."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", "ascii")
    names = accounts or ("main",)
    settings = make_settings(*names, profiles=SLOW, **more)
    providers = {name: Provider(answer_under_way) for name in names}
    async with start_rig(tmp_path, providers, settings) as rig, aiohttp.ClientSession() as session:
        intake = HttpIntake(rig.tracker, rig.clock, rig.instruments)
        intake.configure(IntakeSettings.model_validate({"token_file": str(token)}))
        async with Listener(["127.0.0.1:0"], intake.routes()) as listener:
            yield Client(rig, session, listener.addresses[0])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", "# ids\nid-1\nid-2\n\nid-3"),
        ("text/plain; charset=utf-8", "id-1\r\nid-2\r\nid-3\r\n"),
        ("text/csv", "campaign;message_id;to\n;id-1;+380501234567\n;id-2;\n;id-3;\n"),
        ("application/x-ndjson", '{"message_id": "id-1"}\n{"messageId": "id-2"}\n{"message_id": "id-3"}'),
        ("application/jsonl", '{"message_id": "id-1"}\n{"messageId": "id-2"}\n{"message_id": "id-3"}'),
        ("application/json", '[{"message_id": "id-1"}, {"messageId": "id-2"}, {"message_id": "id-3"}]'),
        (
            "application/json",
            '{"messages": [{"messageId": "id-1"}, {"messageId": "id-2"}, {"messageId": "id-3", "to": "x"}]}',
        ),
    ],
)
async def test_every_format(tmp_path: Path, content_type: str, body: str) -> None:
    """The formats of dropped files by content type; the second time all are duplicates."""
    async with serving(tmp_path) as client:
        first = await client.post(body.encode(), content_type)
        assert (first.status, first.report) == (
            200,
            {"accepted": 3, "duplicate": 0, "rejected": 0, "rejects": []},
        )
        again = await client.post(body.encode(), content_type)
        assert again.report == {"accepted": 0, "duplicate": 3, "rejected": 0, "rejects": []}
        assert await client.count_campaigns() == {"default": 3}
        assert {one.message_id for one in await client.rig.read(range(1, 4))} == {
            "id-1",
            "id-2",
            "id-3",
        }
        assert (client.read_counter("accepted"), client.read_counter("duplicate")) == (3, 3)


def test_every_format_has_a_content_type() -> None:
    """All that can be dropped can be posted."""
    same = {".list": ".txt"}
    assert set(http_api.SUFFIXES.values()) | set(same) == set(SUFFIXES) | {".jsonl"}


async def test_what_is_accepted_is_durable(tmp_path: Path) -> None:
    """A crash right after the answer loses nothing."""
    async with serving(tmp_path) as client:
        await client.post(b"id-1\nid-2\n")
        await client.rig.crash()
        await client.rig.start()
        assert client.rig.tracker.state.pending == 2


async def test_records_name_their_own(tmp_path: Path) -> None:
    """`campaign` and `account` of the query hold for records that name none."""
    async with serving(tmp_path, "main", "second") as client:
        body = "message_id,campaign,account\nid-1,,\nid-2,otp,\nid-3,,main\n"
        answer = await client.post(body, "text/csv", query="?campaign=sale&account=second")
        assert answer.report["accepted"] == 3
        assert await client.count_campaigns() == {"sale": 2, "otp": 1}
        by_account = {one.message_id: one.account_id for one in await client.rig.read(range(1, 4))}
        second = client.rig.tracker.accounts["second"].id
        assert {one for one, account_id in by_account.items() if account_id == second} == {"id-1", "id-2"}


async def test_rejected_lines_are_reported_by_number_and_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Good lines count; bad ones are listed as number and reason, never with their content."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as client:
        answer = await client.post(f"id-1\n{PHONE}\nno good\n\nid-2\n")
        assert answer.status == 200
        assert answer.report == {
            "accepted": 2,
            "duplicate": 0,
            "rejected": 2,
            "rejects": [{"line": 2, "reason": "looks_like_phone"}, {"line": 3, "reason": "bad_characters"}],
        }
        assert client.read_counter("rejected") == 2
    assert PHONE not in answer.text + caplog.text
    assert "no good" not in answer.text + caplog.text


async def test_the_list_of_rejects_is_bounded(tmp_path: Path) -> None:
    """All are counted, the first thousand are listed."""
    async with serving(tmp_path) as client:
        answer = await client.post("no good\n" * 2_500)
        assert answer.report["rejected"] == 2_500
        assert [reject["line"] for reject in answer.report["rejects"]] == list(range(1, 1_001))


@pytest.mark.parametrize(
    ("content_type", "body", "fault", "accepted"),
    [
        ("application/json", b'[{"message_id": "id-1"}, {"mess', "bad_json", 1),
        ("application/json", b"nonsense", "bad_json", 0),
        ("text/csv", b"a,b\n1,2\n", "no_header", 0),
        ("text/plain", b"\0\0\0\0", "binary", 0),
        ("text/plain", "id-1\n".encode("utf-16-le"), "encoding", 0),
    ],
)
async def test_a_body_that_can_not_be_read(
    tmp_path: Path, content_type: str, body: bytes, fault: str, accepted: int
) -> None:
    """400 with the reason, and with what was tracked before it."""
    async with serving(tmp_path) as client:
        answer = await client.post(body, content_type)
        assert (answer.status, answer.report["fault"]) == (400, fault)
        assert answer.report["accepted"] == accepted
        assert sum((await client.count_campaigns()).values()) == accepted


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"token": "wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"query": "?campaign="}, 400),
        ({"query": f"?campaign={PHONE}"}, 400),
        ({"query": "?account=nobody"}, 400),
        ({"query": "?campain=sale"}, 400),
        ({"query": "?campaign=a&campaign=b"}, 400),
        ({"content_type": "application/octet-stream"}, 415),
        ({"content_type": "multipart/form-data"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_what_is_refused(tmp_path: Path, request_of: dict[str, str], status: int) -> None:
    """Nothing of a refused request is read; the response repeats nothing of it."""
    async with serving(tmp_path) as client:
        answer = await client.post(b"id-1\n", **request_of)
        assert answer.status == status
        assert PHONE not in answer.text
        assert await client.count_campaigns() == {}


async def test_the_query_must_name_one_of_several_accounts(tmp_path: Path) -> None:
    """With one account that is not necessary."""
    async with serving(tmp_path, "main", "second") as client:
        assert (await client.post(b"id-1\n")).status == 400
        assert (await client.post(b"id-1\n", query="?account=main")).status == 200


async def test_it_is_there_only_when_configured(tmp_path: Path) -> None:
    """Without settings it is 404; with new ones it is there again."""
    async with start_rig(tmp_path, Provider(answer_under_way)) as rig, aiohttp.ClientSession() as session:
        intake = HttpIntake(rig.tracker, rig.clock, rig.instruments)
        async with Listener(["127.0.0.1:0"], intake.routes()) as listener:
            client = Client(rig, session, listener.addresses[0])
            assert (await client.post(b"id-1\n")).status == 404
            token = tmp_path / "token"
            token.write_text(TOKEN, "ascii")
            intake.configure(IntakeSettings.model_validate({"token_file": str(token)}))
            assert (await client.post(b"id-1\n")).status == 200
            token.unlink()
            assert (await client.post(b"id-1\n")).status == 200
            intake.configure(None)
            assert (await client.post(b"id-1\n")).status == 404


async def test_the_limit_of_tracked_messages(tmp_path: Path) -> None:
    """429 and Retry-After once it is reached; what fits is tracked, and a repeat goes on from there."""
    async with serving(tmp_path, limits={"max_tracked": "2500"}) as client:
        body = "".join(f"id-{number}\n" for number in range(4_000))
        answer = await client.post(body)
        assert (answer.status, answer.retry_after) == (429, "10")
        assert answer.report["accepted"] == 2_500
        again = await client.post(body)
        assert (again.status, again.report["accepted"]) == (429, 0)
        assert await client.count_campaigns() == {"default": 2_500}


async def test_a_full_disk(tmp_path: Path) -> None:
    """503 and Retry-After; the same request tracks everything once there is room."""
    async with serving(tmp_path) as client:
        client.rig.store.full = True
        refused = await client.post(b"id-1\nid-2\n")
        assert (refused.status, refused.retry_after, refused.report["accepted"]) == (503, "10", 0)
        client.rig.store.full = False
        assert (await client.post(b"id-1\nid-2\n")).report["accepted"] == 2


async def make_pieces(count: int, piece: Callable[[int], bytes]) -> AsyncIterator[bytes]:
    """A body of unknown length."""
    for number in range(count):
        yield piece(number)


async def test_large_bodies_come_in_pieces(tmp_path: Path) -> None:
    """A body without a length is read piece by piece, however it is cut."""
    async with serving(tmp_path) as client:
        lines = b"".join(b"a-rather-long-id-%08d\n" % number for number in range(30_000))
        cut = 7_919
        answer = await client.post(
            make_pieces(len(lines) // cut + 1, lambda n: lines[n * cut : (n + 1) * cut])
        )
        assert answer.report == {"accepted": 30_000, "duplicate": 0, "rejected": 0, "rejects": []}


async def test_the_size_of_a_body(tmp_path: Path) -> None:
    """More than 64 MiB is refused: at once when its length says so, else where it exceeds them."""
    async with serving(tmp_path) as client:
        announced = await client.post(b"", **{"Content-Length": str(http_api.MAX_BODY_BYTES + 1)})
        assert announced.status == 413
        comment = b"#" * 2**20
        answer = await client.post(make_pieces(66, lambda n: b"id-1\n" if n == 0 else comment))
        assert answer.status == 413
        assert answer.report["accepted"] in {0, 1}


async def test_only_some_large_bodies_at_a_time(tmp_path: Path) -> None:
    """A third large body is refused for now; small ones pass."""
    async with serving(tmp_path) as client:
        go_on = asyncio.Event()
        begun = [asyncio.Event() for _ in range(http_api.TURNS)]

        async def slow(number: int) -> AsyncIterator[bytes]:
            yield b"id-%d\n" % number
            begun[number].set()
            await go_on.wait()
            yield b"id-x\n"

        async with asyncio.TaskGroup() as tasks:
            large = [tasks.create_task(client.post(slow(number))) for number in range(http_api.TURNS)]
            for event in begun:
                await event.wait()
            third = await client.post(make_pieces(1, lambda _: b"id-3\n"))
            while third.status == 200:
                # The first two may not have arrived yet.
                third = await client.post(make_pieces(1, lambda _: b"id-3\n"))
            assert (third.status, third.retry_after) == (503, "10")
            assert (await client.post(b"id-4\n")).status == 200
            go_on.set()
        assert [task.result().status for task in large] == [200] * http_api.TURNS
