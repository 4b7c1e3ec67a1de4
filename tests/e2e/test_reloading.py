"""A reload of the configuration: by signal, or by request where that is enabled."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from exporter.config import check
from tests.kit.daemon import Home, address_of, id_lines, sum_of
from tests.kit.processes import Running
from tests.kit.provider import Provider
from tests.kit.waiting import until
from tests.kit.web import ask

SUCCESSFUL = "smsbat_exporter_config_last_reload_successful"
SUCCESS_AT = "smsbat_exporter_config_last_reload_success_timestamp_seconds"


def wait_for_reload(address: str, successful: float) -> None:
    """Wait until the gauge shows the result of the last reload."""
    until(lambda: sum_of(address, SUCCESSFUL) == successful, f"{SUCCESSFUL} is {successful}")


def test_a_bad_file_changes_nothing_and_two_gauges_show_it(home: Home, provider: Provider) -> None:
    """The old configuration stays in force; the fixed file is used at the next signal."""
    with home.start() as daemon:
        address = address_of(daemon)
        assert sum_of(address, SUCCESSFUL) == 1
        read_at = sum_of(address, SUCCESS_AT)
        assert read_at is not None
        home.config.write_text("accounts: []\n", "utf-8")
        daemon.signal(signal.SIGHUP)
        wait_for_reload(address, 0)
        assert sum_of(address, SUCCESS_AT) == read_at
        failed = daemon.event("reload_failed")
        assert f"{home.config}:1:" in failed["problems"]
        assert failed["code"] == "SMSBAT-C006"
        ids = provider.deliver("otp", 5)
        home.put("ids.txt", id_lines(ids))
        _wait_for_finished(address, 5)
        home.listed["default"] = provider.deliver("otp", 3)
        home.configure()
        daemon.signal(signal.SIGHUP)
        wait_for_reload(address, 1)
        assert (sum_of(address, SUCCESS_AT) or 0) > read_at
        _wait_for_finished(address, 8)
        assert sum_of(address, "smsbat_messages_tracked_total", source="config") == 3


def test_what_check_config_warns_of_is_in_the_log(home: Home) -> None:
    """A line for each, however many, at the start and after a reload."""
    account = "  - {{name: spare-{0}, base_url: https://provider.test, auth: {{api_key_file: spare-{0}}}}}\n"
    spares = "".join(account.format(number) for number in range(8))
    text = home.config.read_text("utf-8").replace("profiles:\n", f"{spares}profiles:\n")
    home.config.write_text(text.replace("directory: drop,", "directory: drop, account: main,"), "utf-8")
    found = check(home.config, {}).warnings
    with home.start() as daemon:
        address = address_of(daemon)
        warned = _warned(daemon)
        assert [(line["code"], line["line"], line["key"], line["hint"]) for line in warned] == [
            (warning.code, warning.line, warning.key, warning.hint) for warning in found
        ]
        assert len(warned) == 8
        (home.folder / "spare-0").write_text("a-key", "ascii")
        read_at = sum_of(address, SUCCESS_AT) or 0
        daemon.signal(signal.SIGHUP)
        until(lambda: (sum_of(address, SUCCESS_AT) or 0) > read_at, "it was reloaded")
        assert [line["key"] for line in _warned(daemon)[8:]] == [warning.key for warning in found[1:]]


def _warned(daemon: Running) -> list[dict[str, Any]]:
    return [line for line in daemon.events() if line.get("event") == "config_warning"]


def _wait_for_finished(address: str, count: int) -> None:
    until(
        lambda: sum_of(address, "smsbat_messages_finished_total") == count,
        f"{count} finished",
    )


def test_a_request_reloads_only_where_that_is_enabled(home: Home) -> None:
    """Without the flag the path is not found."""
    with home.start() as daemon:
        address = address_of(daemon)
        home.config.write_text("accounts: []\n", "utf-8")
        assert ask(address, "/-/reload", method="POST").status == 404
        assert sum_of(address, SUCCESSFUL) == 1


def test_a_request_is_answered_with_the_result_of_the_reload(home: Home) -> None:
    """200 for a good file, 500 with every problem for a bad one, 405 for GET."""
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


def _wait_for_refusal(daemon: Running, provider: Provider) -> None:
    """Wait until the provider has refused the daemon."""
    assert daemon.event("account_revoked")["code"] == "SMSBAT-P001"
    assert provider.requests()


def test_a_rotated_key_is_used_as_soon_as_the_file_has_it(tmp_path: Path, provider: Provider) -> None:
    """While the key is refused almost nothing is polled; with a new key polling continues at once."""
    home = Home(tmp_path / "home", provider.url)
    home.key.write_text("revoked-key\n", "ascii")
    home.put("ids.txt", id_lines(provider.deliver("otp", 30)))
    first = provider.requests()
    with home.start() as daemon:
        address = address_of(daemon)
        _wait_for_refusal(daemon, provider)
        assert sum_of(address, "smsbat_api_up") == 0
        # This request records the time of the rotation by the provider's clock.
        ask(provider.address, "/bat/message/rotated-now")
        home.key.write_text("demo-key\n", "ascii")
        until(lambda: sum_of(address, "smsbat_api_up") == 1, "the provider answers again")
        _wait_for_finished(address, 30)
        assert "revoked-key" not in daemon.said()
    arrivals = provider.arrivals()[first:]
    rotated_at = next(one.at_us for one in arrivals if one.message_id == "rotated-now")
    refused = [one for one in arrivals if one.code == 401 and one.message_id != "rotated-now"]
    assert len(refused) <= home.in_flight
    used_at = next(one.at_us for one in arrivals if one.code == 200)
    assert rotated_at < used_at
