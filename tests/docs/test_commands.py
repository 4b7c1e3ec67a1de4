"""Every command of the pages works, or is excused with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Page
from tests.docs.session import EXCUSED, Machine, commands, targets_of_make
from tests.kit.waiting import until
from tests.kit.web import ask

QUICKSTART = "docs/quickstart.md"
COMMANDS = {page.name: list(commands(page)) for page in PAGES}
PLAYABLE = [
    page
    for page in PAGES
    if page.name != QUICKSTART and any(not command.excuse for command in COMMANDS[page.name])
]
STARTED = "smsbat-exporter simulator > simulator.log 2>&1 &\nanswering $PORT_10980\n"


def test_every_excuse_is_needed() -> None:
    """The list of what can't be run has nothing that is not on a page."""
    used = {command.excuse for found in COMMANDS.values() for command in found}
    assert set(EXCUSED.values()) <= used


def test_every_target_of_make_exists() -> None:
    """Commands of make can't be run in a test; their targets are there."""
    asked = {
        command.text.split()[1]
        for found in COMMANDS.values()
        for command in found
        if command.text.startswith("make ")
    }
    assert asked
    assert asked <= targets_of_make()


@pytest.mark.needs("curl")
@pytest.mark.parametrize("page", PLAYABLE, ids=lambda page: page.name)
def test_the_commands_of_a_page_succeed(page: Page, tmp_path: Path) -> None:
    """In order, in one shell, for a reader who has a configuration, a key and a provider."""
    machine = Machine(tmp_path)
    machine.configured()
    text = "\n".join(command.text for command in COMMANDS[page.name] if not command.excuse)
    needs_daemon = "localhost:10978" in text or "systemctl" in text
    with machine.playing(page, first=STARTED + ("start" if needs_daemon else "")) as printed:
        if page.name == "docs/upgrading.md":
            # The daemon has noticed that what was put back is old.
            assert "older than what was last published" in (tmp_path / "daemon.log").read_text("utf-8")
        if page.name == "docs/webhooks.md":
            assert '"accepted": 2' in printed


@pytest.mark.needs(
    "curl", "openssl", "htpasswd", "prometheus", "promtool", "prometheus-alertmanager", "amtool"
)
def test_the_quickstart_leads_to_numbers_in_prometheus(tmp_path: Path) -> None:
    """At its end Prometheus has scraped finished messages over TLS, with the password, and has all rules."""
    machine = Machine(tmp_path)
    with machine.playing(next(page for page in PAGES if page.name == QUICKSTART)) as printed:
        assert re.search(r'^smsbat_messages_finished_total{.*"otp".*} [1-9]', printed, re.MULTILINE)
        assert (tmp_path / "var/lib/smsbat-exporter/state.sqlite3").is_file()
        prometheus = f"127.0.0.1:{machine.ports['9090']}"

        def scraped() -> bool:
            query = "sum(smsbat_messages_finished_total{campaign='otp'})>0".replace(">", "%3E")
            return bool(ask(prometheus, f"/api/v1/query?query={query}").json()["data"]["result"])

        until(scraped, "Prometheus knows of finished messages")
        exporter = machine.ports["10978"]
        assert ask(f"127.0.0.1:{exporter}", "/metrics").status != 200
        targets = ask(prometheus, "/api/v1/targets").json()["data"]["activeTargets"]
        assert [target["scrapeUrl"] for target in targets] == [f"https://localhost:{exporter}/metrics"]
        groups = ask(prometheus, "/api/v1/rules").json()["data"]["groups"]
        assert len(groups) == len(list((tmp_path / "etc/prometheus/smsbat").glob("*.yaml")))
        assert re.search("prometheus: '[$]2y", (tmp_path / "etc/smsbat-exporter/web.yaml").read_text("ascii"))
