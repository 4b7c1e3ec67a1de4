"""The systemd unit: valid, hardened, and at one with what its configuration may say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from exporter.config import load
from tests.kit.daemon import sum_of
from tests.kit.processes import EXPORTER, ROOT, Running
from tests.kit.waiting import until
from tests.kit.web import free_port

UNIT = ROOT / "examples" / "smsbat-exporter.service"
SYSUSERS = UNIT.with_name("smsbat-exporter.sysusers.conf")
TMPFILES = UNIT.with_name("smsbat-exporter.tmpfiles.conf")
MOST_EXPOSURE = 15
"""In tenths; systemd calls up to 1.9 "OK", which is its second best word."""
REASONS = {
    "PrivateNetwork": "it asks the provider and is scraped",
    "IPAddressDeny": "the provider's addresses are not for us to know",
    "RestrictAddressFamilies_AF_INET_INET6": "it asks the provider and is scraped",
    "RestrictAddressFamilies_AF_UNIX": "the journal and sd_notify",
    "ProcSubset": "/proc/stat is where process_* metrics begin",
    "RootDirectoryOrRootImage": "an image is what the container is for",
    "SupplementaryGroups": "the drop directory's group",
    "DeviceAllow": "ProtectClock= adds the clock, to read",
}
"""Why what systemd would still take away stays."""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_hardened_up_to_what_it_needs() -> None:
    """Its exposure is small, and there is a reason for each thing that it keeps."""
    review = ("systemd-analyze", "security", "--offline=yes", "--no-pager")
    within = f"--threshold={MOST_EXPOSURE}"
    done = _run(*review, within, str(UNIT))
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    checks = json.loads(_run(*review, "--json=short", str(UNIT)).stdout)
    assert {check["json_field"] for check in checks if check["exposure"]} <= REASONS.keys()


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With a program in place of ours there is nothing to complain about."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/smsbat-exporter/bin/smsbat-exporter", "/bin/true"))
    done = _run("systemd-analyze", "verify", str(unit))
    # It reads the machine's own units too, and may find fault with those.
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


@pytest.mark.needs("systemd-sysusers", "systemd-tmpfiles")
def test_user_group_and_drop_directory_are_made(tmp_path: Path) -> None:
    """Files of a producer belong to the group; only the exporter moves those of others."""
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root")
    (tmp_path / "etc").mkdir()
    for command in (("systemd-sysusers", SYSUSERS), ("systemd-tmpfiles", "--create", TMPFILES)):
        done = _run(str(command[0]), f"--root={tmp_path}", *map(str, command[1:]))
        assert done.returncode == 0, done.stderr
    numbers = {
        name: dict(
            re.findall(r"^([\w-]+):x:(\d+):", (tmp_path / "etc" / name).read_text("ascii"), re.MULTILINE)
        )
        for name in ("passwd", "group")
    }
    user = numbers["passwd"]["smsbat-exporter"]
    made = {}
    for name in ("smsbat-exporter", "smsbat-exporter/drop"):
        found = (tmp_path / "var/lib" / name).stat()
        made[name] = (oct(found.st_mode & 0o7777), str(found.st_uid), str(found.st_gid))
    assert made == {
        "smsbat-exporter": ("0o711", user, numbers["group"]["smsbat-exporter"]),
        "smsbat-exporter/drop": ("0o3770", user, numbers["group"]["smsbat-drop"]),
    }


def test_a_credential_of_the_unit_is_the_key(tmp_path: Path) -> None:
    """What the unit loads, and its comment says, is what the configuration finds."""
    text = UNIT.read_text("utf-8")
    key_file = re.search(r"api_key_file: (\S+)", text)
    assert key_file
    (credential,) = re.findall(r"^LoadCredential=([\w-]+):", text, re.MULTILINE)
    (tmp_path / credential).write_text("a key\n", "ascii")
    config = tmp_path / "config.yaml"
    config.write_text(
        "accounts:\n  - name: main\n    base_url: https://restapi.smsbat.com\n"
        f"    auth: {{method: header, api_key_file: {json.dumps(key_file[1])}}}\n",
        "ascii",
    )
    (account,) = load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).accounts
    assert account.secret().read().reveal() == "a key"


def _members(sets: set[str]) -> set[str]:
    """The system calls of `systemd-analyze`'s sets, and of the sets within them."""
    names: set[str] = set()
    while sets:
        listed = _run("systemd-analyze", "syscall-filter", "--no-pager", *sets).stdout
        words = set(re.findall(r"^    (@?[a-z0-9_-]+)$", listed, re.MULTILINE))
        names |= words
        sets = {word for word in words if word.startswith("@")}
    return names


@pytest.mark.needs("systemd-analyze", "strace")
def test_the_unit_allows_every_system_call_of_the_daemon(tmp_path: Path) -> None:
    """Reading, polling, storing, serving and stopping: nothing of it would be answered with EPERM."""
    filters = re.findall(r"^SystemCallFilter=(~?)(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    (allowed,) = (_members(set(sets.split())) for denies, sets in filters if not denies)
    (denied,) = (_members(set(sets.split())) for denies, sets in filters if denies)
    address = f"127.0.0.1:{free_port()}"
    counts = tmp_path / "counts"
    # -D: the daemon is our child, and strace is its; so the signal reaches it, and its end is seen first.
    strace = ["strace", "-D", "-f", "-qq", "-c", "-U", "name,calls", "-o", str(counts)]
    with Running(
        [*strace, *EXPORTER, "demo", "--speed=60", f"--web.listen-address={address}"], tmp_path / "log"
    ) as demo:
        finished = "smsbat_messages_finished_total"
        until(lambda: sum_of(address, finished), "the first messages end")
        demo.signal(signal.SIGTERM)
        assert demo.ends() == 0, demo.said()
    until(lambda: "\ntotal" in counts.read_text("ascii"), "strace has counted")
    used = set(re.findall(r"^(\w+) +\d+ *$", counts.read_text("ascii"), re.MULTILINE)) - {"total"}
    assert {"pwrite64", "fdatasync", "accept4"} <= used
    # SQLite gives its files the owner of the database, when it is root.
    assert used - (allowed - denied) <= {"fchown"}
