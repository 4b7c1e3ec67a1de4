"""The configuration read again: by signal, or by request where that is allowed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.kit.daemon import Home, address_of, id_lines, sum_of
from tests.kit.processes import Running
from tests.kit.provider import Provider
from tests.kit.waiting import until
from tests.kit.web import ask

SUCCESSFUL = "smsbat_exporter_config_last_reload_successful"
SUCCESS_AT = "smsbat_exporter_config_last_reload_success_timestamp_seconds"


@pytest.fixture
def home(tmp_path: Path, provider: Provider) -> Home:
    """A daemon's folder, ready to be used."""
    return Home(tmp_path / "home", provider.url)


def told(address: str, successful: float) -> None:
    """Wait until the gauge tells how the last reload went."""
    until(lambda: sum_of(address, SUCCESSFUL) == successful, f"{SUCCESSFUL} is {successful}")


def test_a_bad_file_changes_nothing_and_two_gauges_tell(home: Home, provider: Provider) -> None:
    """The old configuration goes on working; the mended file is taken at the next signal."""
    with home.start() as daemon:
        address = address_of(daemon)
        assert sum_of(address, SUCCESSFUL) == 1
        read_at = sum_of(address, SUCCESS_AT)
        assert read_at is not None
        home.config.write_text("accounts: []\n", "utf-8")
        daemon.signal(signal.SIGHUP)
        told(address, 0)
        assert sum_of(address, SUCCESS_AT) == read_at
        failed = daemon.event("reload_failed")
        assert f"{home.config}:1:" in failed["problems"]
        assert failed["code"] == "SMSBAT-C006"
        ids = provider.deliver("otp", 5)
        home.put("ids.txt", id_lines(ids))
        _finished(address, 5)
        home.listed["default"] = provider.deliver("otp", 3)
        home.configure()
        daemon.signal(signal.SIGHUP)
        told(address, 1)
        assert (sum_of(address, SUCCESS_AT) or 0) > read_at
        _finished(address, 8)
        assert sum_of(address, "smsbat_messages_tracked_total", source="config") == 3


def _finished(address: str, count: int) -> None:
    until(
        lambda: sum_of(address, "smsbat_messages_finished_total") == count,
        f"{count} finished",
    )


def test_a_request_reloads_only_where_that_is_allowed(home: Home) -> None:
    """Without the flag there is no such path."""
    with home.start() as daemon:
        address = address_of(daemon)
        home.config.write_text("accounts: []\n", "utf-8")
        assert ask(address, "/-/reload", method="POST").status == 404
        assert sum_of(address, SUCCESSFUL) == 1


def test_a_request_is_told_how_the_reload_went(home: Home) -> None:
    """200 for a good file, 500 with every problem for a bad one, 405 for a mere look."""
    with home.start("--web.enable-lifecycle") as daemon:
        address = address_of(daemon)
        assert ask(address, "/-/reload").status == 405
        assert ask(address, "/-/reload", method="POST").status == 200
        good = home.config.read_text("utf-8")
        home.config.write_text(f"{good}limits: {{max_tracked: none}}\nstorag: 1\n", "utf-8")
        refused = ask(address, "/-/reload", method="POST")
        assert refused.status == 500
        assert "limits.max_tracked" in refused.text
        assert "storag: unknown key" in refused.text
        assert sum_of(address, SUCCESSFUL) == 0
        home.config.write_text(good, "utf-8")
        assert ask(address, "/-/reload", method="POST").status == 200
        assert sum_of(address, SUCCESSFUL) == 1
        assert "Traceback" not in daemon.said()


def _asks(daemon: Running, provider: Provider) -> None:
    """Wait until the provider has refused the daemon."""
    assert daemon.event("account_revoked")["code"] == "SMSBAT-P001"
    assert provider.requests()


def test_a_rotated_key_is_used_as_soon_as_it_is_there(tmp_path: Path, provider: Provider) -> None:
    """While the key is refused hardly anything is asked; with a new one in the file it goes on at once."""
    home = Home(tmp_path / "home", provider.url)
    home.key.write_text("revoked-key\n", "ascii")
    home.put("ids.txt", id_lines(provider.deliver("otp", 30)))
    first = provider.requests()
    with home.start() as daemon:
        address = address_of(daemon)
        _asks(daemon, provider)
        assert sum_of(address, "smsbat_api_up") == 0
        # A request of ours, for the time of the rotation by the provider's clock.
        ask(provider.address, "/bat/message/rotated-now")
        home.key.write_text("demo-key\n", "ascii")
        until(lambda: sum_of(address, "smsbat_api_up") == 1, "the provider answers again")
        _finished(address, 30)
        assert "revoked-key" not in daemon.said()
    arrivals = provider.arrivals()[first:]
    rotated_at = next(one.at_us for one in arrivals if one.message_id == "rotated-now")
    refused = [one for one in arrivals if one.code == 401 and one.message_id != "rotated-now"]
    assert len(refused) <= home.in_flight
    used_at = next(one.at_us for one in arrivals if one.code == 200)
    assert rotated_at < used_at
