"""The built image, run as a container would: without rights, on a read-only root, with its volume.

`scripts/image-test` builds it, mounts it at `IMAGE_ROOT` with what a runtime adds (`/proc`, `/dev`,
writable `/run`, `/tmp`, `/etc/smsbat-exporter` and the volume), and starts this in a network of its own.
`IMAGE_CONFIG` is a file with the image's description. Not collected with the other tests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import KEY, id_lines, sum_of
from tests.kit.processes import ROOT, Running
from tests.kit.provider import Provider
from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask

IMAGE = Path(os.environ["IMAGE_ROOT"])
CONFIG: dict[str, Any] = json.loads(Path(os.environ["IMAGE_CONFIG"]).read_text("utf-8"))["config"]
ENVIRONMENT = dict(pair.split("=", 1) for pair in CONFIG["Env"])
USER = 65534
PROGRAM = IMAGE / "opt/smsbat-exporter"
STATE = IMAGE / "var/lib/smsbat-exporter"
DROP = STATE / "drop"
SETTINGS = IMAGE / "etc/smsbat-exporter/config.yaml"
KEY_FILE = IMAGE / "run/secrets/smsbat-api-key"
ADDRESS = "127.0.0.1:10978"
PROVIDER = "127.0.0.1:10980"
INSTALLED = """
import importlib.metadata, json
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}))
"""


def _inside(*command: str) -> list[str]:
    """`command` as the image's user, where the image says."""
    user = f"--userspec={CONFIG['User']}"
    return ["chroot", user, "--groups=", str(IMAGE), "env", f"--chdir={CONFIG['WorkingDir']}", *command]


def _once(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _inside(*command), env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=HANG_SECONDS
    )


def _started(log: Path, *command: str) -> Running:
    """The image's entry point, with its own command where none is given."""
    return Running(
        _inside(*CONFIG["Entrypoint"], *(command or CONFIG["Cmd"])), log, env=ENVIRONMENT, cwd=Path("/")
    )


def _until_healthy(daemon: Running) -> None:
    """Ask as the runtime does."""
    kind, *check = CONFIG["Healthcheck"]["Test"]
    assert kind == "CMD"

    def healthy() -> bool:
        assert daemon.runs, daemon.said()
        return _once(*check).returncode == 0

    until(healthy, "the health check is content")


def _stopped(daemon: Running) -> None:
    """As `docker stop` begins."""
    daemon.signal(signal.SIGTERM)
    assert daemon.ends() == 0, daemon.said()


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """The image's own simulator, in which messages end within seconds."""
    flags = [f"--listen={PROVIDER}", "--speed=1200", "--requests-per-second=0"]
    with _started(tmp_path / "simulator.log", "simulator", *flags):
        until(lambda: ask(PROVIDER, "/-/scenario").status == 200, "it listens")
        yield Provider(PROVIDER, 1)


def test_the_image_says_how_it_is_run() -> None:
    """User, volume, ports and commands are those that are documented."""
    assert CONFIG["User"] == f"{USER}:{USER}"
    assert CONFIG["Entrypoint"] == ["smsbat-exporter"]
    assert CONFIG["Cmd"] == ["run", "--config.file=/etc/smsbat-exporter/config.yaml"]
    assert set(CONFIG["ExposedPorts"]) == {"10978/tcp", "10979/tcp"}
    assert list(CONFIG["Volumes"]) == [CONFIG["WorkingDir"]] == ["/var/lib/smsbat-exporter"]


def test_its_user_can_change_nothing_of_the_program() -> None:
    """All of it is root's, only root may write it, and neither pip nor tests come along."""
    found = [(path, path.lstat()) for path in PROGRAM.rglob("*")]
    assert found
    foreign = [path for path, stat in found if stat.st_uid != 0]
    writable = [path for path, stat in found if not path.is_symlink() and stat.st_mode & 0o022]
    assert (foreign, writable) == ([], [])
    assert not list(PROGRAM.glob("bin/pip*"))
    assert not list(PROGRAM.glob("lib/*/site-packages/tests"))


def test_only_the_state_can_be_written() -> None:
    """The root file system is read-only, the volume is the user's own."""
    assert (STATE.stat().st_uid, STATE.stat().st_mode & 0o777) == (USER, 0o700)
    assert _once("touch", "/opt/smsbat-exporter/x", "/var/lib/x").stderr.count("Read-only file system") == 2
    assert _once("touch", "/var/lib/smsbat-exporter/x").returncode == 0
    (STATE / "x").unlink()


def test_the_bill_of_materials_is_what_is_installed() -> None:
    """Each distribution with its version and a licence, no other; and all but ours as pinned."""
    bill = json.loads((PROGRAM / "sbom.cdx.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {part["name"].lower().replace("_", "-"): part["version"] for part in bill["components"]}
    assert [part["name"] for part in bill["components"] if not part.get("licenses")] == []
    asked = _once("python", "-c", INSTALLED)
    assert listed == json.loads(asked.stdout)
    pins = (ROOT / "requirements" / "run.txt").read_text("ascii")
    assert {*re.findall(r"^(\S+)==(\S+)", pins, re.MULTILINE)} == {
        pin for pin in listed.items() if pin[0] != "smsbat-exporter"
    }


def test_the_demo_turns_healthy_and_ends_when_asked(tmp_path: Path) -> None:
    """0, with nothing mounted but a temporary folder."""
    with _started(tmp_path / "demo.log", "demo") as demo:
        _until_healthy(demo)
        assert ask(ADDRESS, "/-/ready").status == 200
        _stopped(demo)


def test_a_bad_configuration_is_reported_and_ends_it(tmp_path: Path) -> None:
    """78, which no supervisor should answer with a restart, and the place of each problem."""
    SETTINGS.write_text("accounts:\n  - {name: main, base_url: http://example.org}\nlimit: {}\n", "ascii")
    with _started(tmp_path / "bad.log") as daemon:
        assert daemon.ends() == 78
        assert re.findall(r"config\.yaml:(\d+:\d+): ", daemon.said()) == ["2:5", "2:18", "3:1"]
        assert "Traceback" not in daemon.said()
    assert list(STATE.iterdir()) == []


def test_counters_go_on_after_a_restart(tmp_path: Path, provider: Provider) -> None:
    """What it knew is on the volume, its owner's alone; the next run goes on from there."""
    SETTINGS.write_text(
        f"accounts:\n  - name: main\n    base_url: {provider.url}\n"
        "    auth: {method: header, api_key_file: /run/secrets/smsbat-api-key}\n"
        "drop:\n  - {directory: /var/lib/smsbat-exporter/drop, settle: 0s}\n",
        "ascii",
    )
    KEY_FILE.parent.mkdir(exist_ok=True)
    KEY_FILE.write_text(f"{KEY}\n", "ascii")
    DROP.mkdir(mode=0o700)
    os.chown(DROP, USER, USER)

    def finished(count: int) -> None:
        name = "smsbat_messages_finished_total"
        until(lambda: sum_of(ADDRESS, name) == count, f"{count} have finished")

    def drop(name: str) -> None:
        (STATE / name).write_text(id_lines(provider.send("otp", "otp", 10)), "ascii")
        (STATE / name).rename(DROP / name)

    drop("first.txt")
    with _started(tmp_path / "run.log") as daemon:
        _until_healthy(daemon)
        finished(10)
        _stopped(daemon)
    database = (STATE / "state.sqlite3").stat()
    assert (database.st_uid, database.st_mode & 0o777) == (USER, 0o600)
    with _started(tmp_path / "run.log") as daemon:
        _until_healthy(daemon)
        finished(10)
        drop("second.txt")
        finished(20)
        _stopped(daemon)
