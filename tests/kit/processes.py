"""Programs under test as processes of their own: started, watched, signalled, and always ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask

ROOT = Path(__file__).resolve().parents[2]
EXPORTER = (sys.executable, "-m", "exporter")


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has set nothing but what is given."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SMSBAT_") and name != "TMPDIR"
    }
    return {**own, "PYTHONPATH": str(ROOT), **more}


def once(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command of the exporter to its end."""
    return subprocess.run(
        [*EXPORTER, *arguments],
        cwd=cwd,
        env=dict(env or environment()),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def kill_afterwards(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill it at the end of the block if it still runs: `Popen` alone would wait for it."""
    with process:
        try:
            yield process
        finally:
            process.kill()


class Running:
    """One process while the context is entered; at its end it is killed, with all that it has started.

    Its temporary files, which a killed process leaves behind, are beside its log.
    """

    def __init__(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        """Start `argv`; its standard error and output are appended to `log` and `log` + `.out`."""
        self.log = log
        self.output = log.with_name(f"{log.name}.out")
        self._from, self._printed_from = (
            path.stat().st_size if path.exists() else 0 for path in (self.log, self.output)
        )
        with log.open("ab") as stderr, self.output.open("ab") as stdout:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={"TMPDIR": str(log.parent), **(env or environment())},
                cwd=cwd,
                process_group=0,
            )

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no process behind."""
        self.kill()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, *numbers: signal.Signals) -> None:
        """Send signals."""
        for number in numbers:
            self._process.send_signal(number)

    def ends(self) -> int:
        """Its exit code, once it has ended; -9 after SIGKILL."""
        return self._process.wait(HANG_SECONDS)

    def kill(self) -> None:
        """End it and its children at this very moment, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.ends()

    def wait_until_ready(self, address: str, name: str) -> None:
        """Wait until `address` (host:port) answers that it is ready; AssertionError when it ends instead."""

        def ready() -> bool:
            assert self.runs, self.said()
            return ask(address, "/-/ready").status == 200

        until(ready, f"{name} is ready")

    def said(self) -> str:
        """Its standard error so far."""
        return self.log.read_bytes()[self._from :].decode("utf-8")

    def printed(self) -> str:
        """Its standard output so far."""
        return self.output.read_bytes()[self._printed_from :].decode("utf-8")

    def events(self) -> list[dict[str, Any]]:
        """The whole lines of its log so far; whatever is no JSON is no line of a log, and shown."""
        whole = [line for line in self.said().splitlines(keepends=True) if line.endswith("\n")]
        assert all(line.startswith("{") for line in whole), self.said()
        return [json.loads(line) for line in whole]

    def event(self, name: str) -> dict[str, Any]:
        """The first line of its log with this `event`, waited for."""

        def look() -> dict[str, Any] | None:
            found = [line for line in self.events() if line.get("event") == name]
            assert found or self.runs, f"it ended with {self.ends()} before {name}: {self.said()}"
            return found[0] if found else None

        found = until(look, f"a log line with event {name}")
        assert found is not None
        return found
