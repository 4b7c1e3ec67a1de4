"""What the routes of the metrics listener answer."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from exporter.http import Listener, MetricsEndpoints, build_routes
from exporter.metrics.collector import Collector
from exporter.metrics.exposition import Format, Rendering
from tests.http.client import ENDPOINTS, connect, report_fine, scrape_body, send_request, serve
from tests.metrics.example import EXAMPLE, make_large_snapshot


async def test_a_scrape_gets_the_parts_as_one_body() -> None:
    """With the exact Content-Type, Content-Length and Vary."""
    async with serve(*build_routes(ENDPOINTS)) as client, client.get("/metrics") as answer:
        assert (answer.status, await answer.read()) == (200, b"one 1.0\ntwo 2.0\n")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Content-Length"] == "16"
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert "Content-Encoding" not in answer.headers


async def test_head_gets_the_headers_of_get_and_no_body() -> None:
    """And the connection can be reused."""
    async with serve(*build_routes(ENDPOINTS)) as client:
        for _ in range(2):
            async with client.head("/metrics") as answer:
                assert (answer.status, await answer.read()) == (200, b"")
                assert answer.headers["Content-Length"] == "16"
                assert answer.headers["Content-Type"] == Format.TEXT.value


async def test_format_and_encoding_are_negotiated() -> None:
    """By Accept and Accept-Encoding, also when they come in several lines."""
    openmetrics = ("Accept", "application/openmetrics-text;version=1.0.0")
    with Collector(CollectorRegistry(), created=False) as collector:
        collector.publish(EXAMPLE)
        async with serve(
            *build_routes(MetricsEndpoints(collector.render, report_fine, report_fine))
        ) as client:
            headers = [
                ("Accept", "text/html"),
                openmetrics,
                ("Accept-Encoding", "br"),
                ("Accept-Encoding", "gzip"),
            ]
            async with client.get("/metrics", headers=headers) as answer:
                assert answer.headers["Content-Type"] == Format.OPENMETRICS.value
                assert answer.headers["Content-Encoding"] == "gzip"
                assert gzip.decompress(await answer.read()).endswith(b"# EOF\n")
            async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
                assert answer.headers["Content-Type"] == Format.TEXT.value
                assert (await answer.read()).startswith(b"# HELP smsbat_messages ")


async def test_a_scrape_before_the_first_snapshot_is_refused() -> None:
    """503, so that Prometheus stores nothing: zeros now would be a reset later."""
    with Collector(CollectorRegistry(), created=False) as collector:
        endpoints = MetricsEndpoints(collector.render, report_fine, report_fine)
        async with serve(*build_routes(endpoints)) as client, client.get("/metrics") as answer:
            assert (answer.status, await answer.text()) == (503, "the state is not loaded yet\n")
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_64_scrapers_at_once_are_all_answered() -> None:
    """With the same bytes."""
    with Collector(CollectorRegistry(), created=False) as collector:
        collector.publish(make_large_snapshot(50))
        async with (
            Listener(
                ["127.0.0.1:0"], build_routes(MetricsEndpoints(collector.render, report_fine, report_fine))
            ) as listener,
            asyncio.TaskGroup() as together,
        ):
            request = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n\r\n"
            answers = [together.create_task(send_request(listener, request)) for _ in range(64)]
    assert len({answer.result().partition(b"\r\n\r\n")[2] for answer in answers}) == 1
    assert all(answer.result().startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)


async def test_scrapers_that_do_not_read_share_the_bytes() -> None:
    """Sixty of them, 20 MB each: none has a copy of its own."""
    megabytes_20 = Rendering((bytes(20 * 2**20),), Format.TEXT.value)

    async def scrape(_accept: str, _accept_encoding: str) -> Rendering:
        return megabytes_20

    async with (
        Listener(
            ["127.0.0.1:0"], build_routes(MetricsEndpoints(scrape, report_fine, report_fine))
        ) as listener,
        AsyncExitStack() as slow,
    ):
        before = count_resident_bytes()
        for _ in range(60):
            reader, writer = await slow.enter_async_context(connect(listener, buffer_bytes=4096))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n")
            assert await reader.read(1) == b"H"
        answer = await send_request(
            listener, b"GET /-/healthy HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert count_resident_bytes() - before < 16 * 2**20


def count_resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(("path", "word"), [("/-/healthy", "healthy"), ("/-/ready", "ready")])
async def test_a_check_answers_ok_or_the_reason_against_it(path: str, word: str) -> None:
    """Each check has a reason of its own."""
    reasons = {"/-/healthy": "", "/-/ready": ""}
    endpoints = MetricsEndpoints(scrape_body, lambda: reasons["/-/healthy"], lambda: reasons["/-/ready"])
    async with serve(*build_routes(endpoints)) as client:
        async with client.get(path) as answer:
            assert (answer.status, await answer.text()) == (200, f"{word}\n")
        reasons[path] = "stopping"
        async with client.get(path) as answer:
            assert (answer.status, await answer.text()) == (503, "stopping\n")


async def test_reload_is_not_found_unless_it_is_enabled() -> None:
    """Otherwise anyone who reaches the port could keep the exporter busy; the answer names the flag."""
    async with serve(*build_routes(ENDPOINTS)) as client, client.post("/-/reload") as answer:
        assert answer.status == 404
        assert "--web.enable-lifecycle" in await answer.text()


async def test_reload_answers_with_what_is_wrong() -> None:
    """200 when the configuration is in force, 500 with its problems when not; only POST reloads."""
    problems = ["", "line 3: unknown key"]

    async def reload() -> str:
        return problems.pop(0)

    async with serve(
        *build_routes(MetricsEndpoints(scrape_body, report_fine, report_fine, reload))
    ) as client:
        async with client.get("/-/reload") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        async with client.post("/-/reload") as answer:
            assert (answer.status, await answer.text()) == (200, "reloaded\n")
        async with client.post("/-/reload") as answer:
            assert (answer.status, await answer.text()) == (500, "line 3: unknown key\n")
