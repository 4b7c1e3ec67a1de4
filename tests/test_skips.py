"""A test that can't run is named, and in CI it fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDY = """
import pytest

@pytest.mark.needs("a-program-that-nobody-has")
def test_needy() -> None:
    raise AssertionError("must not run")
"""


@pytest.mark.parametrize(("ci", "exit_code"), [("", 0), ("true", 1)])
def test_a_missing_program_is_named_and_fails_in_ci(tmp_path: Path, ci: str, exit_code: int) -> None:
    """Without the program the test is left out aloud; with `CI=true` the run fails."""
    needy = tmp_path / "test_needy.py"
    needy.write_text(NEEDY)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", str(needy)],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == exit_code, done.stdout
    assert "not installed: a-program-that-nobody-has" in done.stdout
    assert ("left out: 1" in done.stdout) == (not ci)
