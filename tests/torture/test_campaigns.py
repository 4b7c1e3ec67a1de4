"""Short versions of the campaigns that `make torture` runs at length."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def campaign(*arguments: str, wrapper: tuple[str, ...] = ()) -> str:
    """Run a campaign as a command, since it forks; returns what it found, and what it did when it broke."""
    command = [*wrapper, sys.executable, "-m", "tests.torture", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_killing_it_at_any_instant_loses_nothing() -> None:
    """After each SIGKILL, what was acknowledged is there, counted once; no published counter falls."""
    assert campaign("kill", "--count", "40") == ""


@pytest.mark.needs("strace")
def test_a_call_that_fails_loses_nothing_and_is_reported() -> None:
    """It goes on, or waits and says why, or ends with an exit code that says why; never with a traceback."""
    assert campaign("faults", "--count", "18") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
@pytest.mark.needs("unshare", "mount")
def test_a_full_disk_only_makes_it_wait() -> None:
    """/metrics goes on, files wait, and everything goes on by itself once there is room."""
    assert campaign("fill", "--count", "3", wrapper=("unshare", "--mount")) == ""
