"""The page, its JSON version and the lookup, served by a running daemon."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.app import Daemon
from exporter.status.page import LOOKUP, OVERVIEW
from tests.kit.daemon import Home, sum_in
from tests.kit.live import asked, come_true, daemon_of, live_provider
from tests.kit.waiting import HANG_SECONDS, LOOK_EVERY_SECONDS

PHONE = "380501234567"


async def get_overview(daemon: Daemon) -> dict[str, Any]:
    """The JSON version of the page, validated against its schema."""
    answer = await asked(daemon, "/api/v1/status")
    assert (answer.status, answer.content_type) == (200, "application/json")
    OVERVIEW.validate_json(answer.text)
    found: dict[str, Any] = json.loads(answer.text)
    return found


async def wait_for_overview(daemon: Daemon, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the overview is as wanted; returns it."""
    async with asyncio.timeout(HANG_SECONDS):
        while not wanted(found := await get_overview(daemon)):  # noqa: ASYNC110 - a page has no event
            await asyncio.sleep(LOOK_EVERY_SECONDS)
    return found


async def wait_for_state(daemon: Daemon, state: str) -> dict[str, Any]:
    """Wait for this state; returns the overview."""
    return await wait_for_overview(daemon, lambda view: bool(view["state"] == state))


async def test_page_json_and_metrics_show_the_same(tmp_path: Path) -> None:
    """Once nothing changes any more: messages, requests, and inputs."""
    async with live_provider() as provider:
        profiles = {"otp": "otp", "<b>sale": "swift"}
        home = Home(tmp_path, provider.url, profiles={})
        text = home.config.read_text()
        listed = "".join(
            f"  - {{name: '{name}', profile: {profile}, account: main, messages: [{name.strip('<b>')}1]}}\n"
            for name, profile in profiles.items()
        )
        home.config.write_text(text + listed)
        async with daemon_of(home) as daemon:
            await come_true(lambda: len(provider.arrivals) >= 2)
            view = await wait_for_state(daemon, "quiet")
            metrics = (await asked(daemon, "/metrics")).text
            page = (await asked(daemon, "/")).text
    for campaign in view["campaigns"]:
        name = campaign["campaign"]
        for key, metric in (
            ("tracked", "smsbat_messages_tracked_total"),
            ("deliveries", "smsbat_delivery_duration_seconds_count"),
        ):
            assert campaign[key] == sum_in(metrics, metric, campaign=name) == 1
        assert campaign["finished"] == {"delivered": 1}
        assert f'<span class="line">{html.escape(name)}</span>' in page
    (account,) = view["accounts"]
    for outcome, count in account["requests"].items():
        assert count == sum_in(metrics, "smsbat_api_requests_total", outcome=outcome)
    assert account["allowed_requests_per_second"] == sum_in(metrics, "smsbat_api_rate_limit")
    assert view["summary"] in page
    assert "<b>" not in page


@pytest.mark.parametrize("path", ["/", "/messages", "/messages?id=m1", "/messages?id=none"])
async def test_a_page_may_load_and_run_nothing(tmp_path: Path, path: str) -> None:
    """Every page: its style by hash, no script, no frame, not cached."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url, listed={"default": ["m1"]})
        async with daemon_of(home) as daemon:
            answer = await asked(daemon, path)
            head = await asked(daemon, path, "HEAD")
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert (head.status, head.text) == (answer.status, "")


async def test_a_message_is_looked_up_with_its_history(tmp_path: Path) -> None:
    """What is stored of it, and the requests about it, including failures."""
    async with live_provider() as provider:
        provider.status = lambda _: 500 if len(provider.arrivals) < 2 else 200
        home = Home(tmp_path, provider.url, listed={"default": ["m1"]})
        async with daemon_of(home) as daemon:
            await wait_for_state(daemon, "quiet")
            answer = await asked(daemon, "/api/v1/messages/m1")
            page = (await asked(daemon, "/messages?id=m1")).text
            view = await get_overview(daemon)
    assert answer.status == 200
    found = LOOKUP.validate_json(answer.text)
    (message,) = found.messages
    assert (message.account, message.campaign, message.status) == ("main", "default", "delivered")
    assert (message.finished, message.outcome, message.verdict) == (True, "delivered", "met")
    assert message.next_look_timestamp_seconds is None
    assert message.polls == 1
    outcomes = [(request.outcome, request.status) for request in found.requests]
    assert outcomes == [("server_error", None), ("ok", "delivered")]
    assert found.requests_since_timestamp_seconds <= found.requests[0].timestamp_seconds
    assert [failure["message_id"] for failure in view["failures"]] == ["m1"]
    assert "Delivered, campaign default, account main" in page
    assert page.count("server_error") == 1


async def test_an_untracked_id_is_not_found_and_an_invalid_one_is_not_repeated(tmp_path: Path) -> None:
    """Unknown ids get the same JSON keys; an invalid id, such as a phone number, is not in the answer."""
    async with live_provider() as provider, daemon_of(Home(tmp_path, provider.url)) as daemon:
        unknown = await asked(daemon, "/api/v1/messages/nobody-knows-me")
        page = await asked(daemon, "/messages?id=nobody-knows-me")
        refused = [
            await asked(daemon, f"/api/v1/messages/{text}")
            for text in (PHONE, f"%2B{PHONE}", "a%20b", "x" * 129)
        ]
        refused += [await asked(daemon, f"/messages?id={text}") for text in (PHONE, "%3Cscript%3E")]
        assert provider.arrivals == []
    assert unknown.status == page.status == 404
    assert LOOKUP.validate_json(unknown.text).messages == ()
    assert "Not tracked" in page.text
    assert [answer.status for answer in refused] == [400] * 6
    assert [json.loads(answer.text)["error"] for answer in refused[:4]] == [
        "looks_like_phone",
        "looks_like_phone",
        "bad_characters",
        "too_long",
    ]
    assert not any(PHONE in answer.text or "<script>" in answer.text for answer in refused)


async def test_a_refused_key_is_the_first_message_on_the_page(tmp_path: Path) -> None:
    """On the page and in its JSON version; the key itself is nowhere."""
    async with live_provider() as provider:
        provider.status = lambda _: 401
        home = Home(tmp_path, provider.url, listed={"default": ["m1"]})
        async with daemon_of(home) as daemon:
            view = await wait_for_state(daemon, "key_refused")
            page = (await asked(daemon, "/")).text
    assert "The provider refuses the key of account main." in view["summary"]
    assert html.escape(view["advice"], quote=False) in html.unescape(page)
    assert view["accounts"][0]["flow"] == "revoked"
    assert home.key.read_text().strip() not in page + json.dumps(view)


async def test_a_bad_configuration_is_reported_until_it_is_fixed(tmp_path: Path) -> None:
    """The previous configuration stays in force, and the page says since when."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url)
        async with daemon_of(home) as daemon:
            await wait_for_state(daemon, "no_ids")
            home.config.write_text("accounts: none\n")
            assert (await asked(daemon, "/-/reload", "POST")).status == 500
            assert "stays in force" in (await wait_for_state(daemon, "configuration_refused"))["summary"]
            home.configure()
            assert (await asked(daemon, "/-/reload", "POST")).status == 200
            await wait_for_state(daemon, "no_ids")


async def test_warnings_about_the_configuration_are_shown_until_they_are_fixed(tmp_path: Path) -> None:
    """On the page and in its JSON version, beside the state: the exporter goes on working."""
    async with live_provider() as provider:
        home = Home(tmp_path, provider.url)
        good = home.config.read_text("utf-8")
        home.config.write_text(f"{good}intake: {{token_file: nowhere}}\n", "utf-8")
        async with daemon_of(home) as daemon:
            view = await wait_for_state(daemon, "no_ids")
            (warning,) = view["configuration_warnings"]
            assert (warning["file"], warning["key"]) == (str(home.config), "intake.token_file")
            assert warning["message"] in html.unescape((await asked(daemon, "/")).text)
            home.config.write_text(good, "utf-8")
            assert (await asked(daemon, "/-/reload", "POST")).status == 200
            await wait_for_overview(daemon, lambda view: not view["configuration_warnings"])
