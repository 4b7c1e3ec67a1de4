"""The start: little is imported before it is known what is wanted."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.kit.processes import END_SECONDS, EXPORTER, ROOT, environment

MOST_MODULES = 150
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SCRIPT = _PROJECT["scripts"]["smsbat-exporter"].replace(":", " import ")
AS_MODULE = EXPORTER
AS_SCRIPT = (sys.executable, "-c", f"import sys; from {_SCRIPT} as main; sys.exit(main())")
"""What the installed command runs."""
_COUNT = "import atexit, sys; atexit.register(lambda: print(len(sys.modules), file=sys.stderr))"


@pytest.mark.parametrize("start", [AS_MODULE, AS_SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("arguments", ["--version", "--help", "demo --help", "chek-config", "run --speed=1"])
def test_what_needs_no_daemon_imports_none(tmp_path: Path, start: tuple[str, ...], arguments: str) -> None:
    """Version, help and wrong usage take a handful of modules beside Python's own."""
    assert _modules(tmp_path, *start, *arguments.split()) <= MOST_MODULES


def test_completion_imports_no_daemon(tmp_path: Path) -> None:
    """What makes the scripts has some fifty modules of its own."""
    assert _modules(tmp_path, *AS_MODULE, "completion", "bash") <= MOST_MODULES + 50


def _modules(folder: Path, *argv: str) -> int:
    """How many modules a process has imported at its end."""
    (folder / "sitecustomize.py").write_text(_COUNT, "ascii")
    ended = subprocess.run(
        argv,
        env=environment(PYTHONPATH=f"{folder}:{ROOT}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=END_SECONDS,
    )
    return int(ended.stderr.splitlines()[-1])
