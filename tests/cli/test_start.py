"""The start: little is imported before it is known what is wanted, and Ctrl-C ends it at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.processes import EXPORTER, ROOT, environment, kill_afterwards
from tests.kit.waiting import HANG_SECONDS

MOST_MODULES = 150
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SCRIPT = _PROJECT["scripts"]["smsbat-exporter"].replace(":", " import ")
AS_MODULE = EXPORTER
AS_SCRIPT = (sys.executable, "-c", f"import sys; from {_SCRIPT} as main; sys.exit(main())")
"""What the installed command runs."""
_COUNT = "import atexit, sys; atexit.register(lambda: print(len(sys.modules), file=sys.stderr))"
_HOLD = """\
import os, sys

class Hold:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["HELD_IMPORT"]:
            os.write(int(os.environ["REACHED"]), b"!")
            os.read(0, 1)

sys.meta_path.insert(0, Hold())
"""
"""Says that a module is about to be imported, and waits for a byte before it is."""


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
        timeout=HANG_SECONDS,
    )
    return int(ended.stderr.splitlines()[-1])


@contextmanager
def _held(
    folder: Path, imported: str, argv: tuple[str, ...], heard: signal.Handlers = signal.SIG_DFL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is about to import something; `heard` is what it inherits for SIGINT."""
    (folder / "sitecustomize.py").write_text(_HOLD, "ascii")
    reached, reach = os.pipe()
    before = signal.signal(signal.SIGINT, heard)
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment(PYTHONPATH=f"{folder}:{ROOT}", HELD_IMPORT=imported, REACHED=str(reach)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[reach],
        )
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(reach)
    with kill_afterwards(process), os.fdopen(reached, "rb") as pipe:
        assert pipe.read(1), f"it ended without importing {imported}"
        yield process


@pytest.mark.parametrize("start", [AS_MODULE, AS_SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        ("--version", "signal"),
        ("--version", "argparse"),
        ("completion bash", "shtab"),
        ("check-config config.yaml", "pydantic"),
        ("run", "exporter.app"),
        ("run", "uvloop"),
        ("demo", "aiohttp"),
        ("simulator", "exporter.simulator.server"),
    ],
)
def test_ctrl_c_ends_the_start_without_a_word(
    tmp_path: Path, start: tuple[str, ...], arguments: str, imported: str
) -> None:
    """130, whatever is being imported."""
    with _held(tmp_path, imported, (*start, *arguments.split())) as process:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, said) == (130, b"")


def test_a_start_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    """As what a shell runs in the background does."""
    with _held(tmp_path, "argparse", (*AS_MODULE, "--version"), signal.SIG_IGN) as process:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(b"!", timeout=HANG_SECONDS)
    assert (process.returncode, said[:15]) == (0, b"smsbat-exporter")
