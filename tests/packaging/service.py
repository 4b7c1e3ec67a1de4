"""The unit of examples/ under a real systemd; `scripts/systemd-test` starts that, and then this.

Process `SYSTEMD_PID` is a systemd on the root file system `SYSTEMD_ROOT`, where the exporter is installed as
docs/installing.md says, with a user `producer` in the group of the drop directory. It shares the network
with the tests. Not collected with the other tests.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import KEY, id_lines, sum_of
from tests.kit.provider import Provider
from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask

PID = os.environ["SYSTEMD_PID"]
ROOT = Path(os.environ["SYSTEMD_ROOT"])
UNIT = "smsbat-exporter"
ETC = ROOT / "etc" / UNIT
STATE = f"/var/lib/{UNIT}"
ADDRESS = "127.0.0.1:10978"
PROVIDER = "127.0.0.1:10980"
CONFIG = f"""\
accounts:
  - name: main
    base_url: http://{PROVIDER}
    auth: {{method: header, api_key_file: "${{CREDENTIALS_DIRECTORY}}/smsbat-api-key"}}
drop:
  - {{directory: {STATE}/drop, settle: 0s}}
"""


def _once(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the machine that systemd runs."""
    enter = ["nsenter", f"--target={PID}", "--all"]
    return subprocess.run(
        [*enter, *command], check=False, capture_output=True, text=True, timeout=HANG_SECONDS
    )


def _shown(key: str) -> str:
    return _once("systemctl", "show", "--value", f"--property={key}", UNIT).stdout.strip()


def _as_producer(script: str) -> subprocess.CompletedProcess[str]:
    return _once("su", "producer", "--command", script)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A simulated provider beside it, in which messages end within seconds."""
    flags = ["simulator", f"--listen={PROVIDER}", "--speed=1200", "--requests-per-second=0"]
    # systemd-run would do, and needs a bus.
    unit = ROOT / "run-of-simulator.service"
    unit.write_text(f"[Service]\nExecStart=/opt/{UNIT}/bin/{UNIT} {' '.join(flags)}\n", "ascii")
    assert _once("systemctl", "link", "--runtime", f"/{unit.name}").returncode == 0
    assert _once("systemctl", "start", unit.name).returncode == 0
    until(lambda: ask(PROVIDER, "/-/scenario").status == 200, "it listens")
    yield Provider(PROVIDER, 1)
    _once("systemctl", "stop", unit.name)


@pytest.fixture
def started() -> Iterator[int]:
    """The exporter, as `systemctl start` leaves it: its process, as systemd numbers it."""
    ETC.mkdir(exist_ok=True)
    (ETC / "config.yaml").write_text(CONFIG, "ascii")
    (ETC / "smsbat-api-key").write_text(f"{KEY}\n", "ascii")
    (ETC / "smsbat-api-key").chmod(0o600)
    done = _once("systemctl", "start", UNIT)
    assert done.returncode == 0, _once("systemctl", "status", "--no-pager", "--full", UNIT).stdout
    yield int(_shown("MainPID"))
    _once("systemctl", "stop", UNIT)


def test_started_means_ready_and_without_rights(started: int) -> None:
    """A scrape is answered at once, process metrics too, by one that has no rights and can get none."""
    answer = ask(ADDRESS, "/metrics")
    assert answer.status == 200
    assert "process_start_time_seconds" in answer.text
    status = _once("cat", f"/proc/{started}/status").stdout
    found = dict(re.findall(r"^(\w+):\t(.+)$", status, re.MULTILINE))
    assert {found[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0000000000000000"}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert "0" not in found["Uid"].split()


def test_a_producer_hands_over_ids_and_can_do_no_more(started: int, provider: Provider) -> None:
    """Its file is taken in, and the provider asked with the key of the credential; all else is closed."""
    ids = id_lines(provider.send("otp", "otp", 10))
    (ROOT / "ids").write_text(ids, "ascii")
    drop = f"{STATE}/drop/otp/ids.txt"
    assert _as_producer(f"cp /ids {drop}.tmp && mv {drop}.tmp {drop}").returncode == 0
    ended = "smsbat_messages_finished_total"
    until(lambda: sum_of(ADDRESS, ended, campaign="otp") == 10, "all have ended")
    done = ROOT / "var/lib" / UNIT / "drop/otp/done/ids.txt"
    until(done.exists, "it moves")
    for forbidden in (f"cat {STATE}/state.sqlite3", f"ls {STATE}", f"ls {STATE}/drop/otp/done"):
        assert "Permission denied" in _as_producer(forbidden).stderr
    assert "denied" in _as_producer("cat /etc/smsbat-exporter/smsbat-api-key").stderr
    assert started == int(_shown("MainPID"))


def test_reload_reads_the_configuration(started: int) -> None:
    """The same process has another profile afterwards."""
    (ETC / "config.yaml").write_text(f"{CONFIG}windows: [7m]\n", "ascii")
    before = sum_of(ADDRESS, "smsbat_exporter_config_last_reload_success_timestamp_seconds")
    assert _once("systemctl", "reload", UNIT).returncode == 0
    name = "smsbat_exporter_config_last_reload_success_timestamp_seconds"
    until(lambda: sum_of(ADDRESS, name) != before, "it is reloaded")
    assert started == int(_shown("MainPID"))


def test_a_stop_is_clean(started: int) -> None:
    """0, and systemd is content."""
    assert started
    assert _once("systemctl", "stop", UNIT).returncode == 0
    assert (_shown("ExecMainStatus"), _shown("Result"), _shown("ActiveState")) == ("0", "success", "inactive")


def test_one_that_stands_still_is_started_again(started: int) -> None:
    """Its watchdog hears nothing from a process that is held; the next one is ready."""
    soon = f"/run/systemd/system/{UNIT}.service.d"
    settings = r"[Service]\nWatchdogSec=3\nRestartSec=0\n"
    assert _once("sh", "-c", f"mkdir -p {soon} && printf '{settings}' >{soon}/soon.conf").returncode == 0
    assert _once("systemctl", "daemon-reload").returncode == 0
    assert _once("systemctl", "restart", UNIT).returncode == 0
    held = int(_shown("MainPID"))
    assert held != started
    assert _once("kill", f"-{int(signal.SIGSTOP)}", str(held)).returncode == 0
    until(lambda: _shown("NRestarts") != "0", "it is started again")
    until(lambda: _shown("ActiveState") == "active", "it is ready again")
    assert ask(ADDRESS, "/-/ready").status == 200


def test_a_bad_configuration_is_reported_at_once_and_not_tried_again(started: int) -> None:
    """`systemctl start` fails, the journal has the place of the mistake, and it stays down."""
    assert started
    assert _once("systemctl", "stop", UNIT).returncode == 0
    (ETC / "config.yaml").write_text(CONFIG.replace("header", "heade"), "ascii")
    assert _once("systemctl", "start", UNIT).returncode == 1
    assert (_shown("ExecMainStatus"), _shown("ActiveState"), _shown("NRestarts")) == ("78", "failed", "0")
    journal = _once("journalctl", "--no-pager", "--output=cat", "--unit", UNIT).stdout
    assert "config.yaml:4:12: accounts[0].auth.method" in journal.splitlines()[-1]
