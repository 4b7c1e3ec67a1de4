"""The measured programs as processes of their own: the daemon, the provider, the peers.

A process is measured from outside, by what the kernel counts, so that measuring
costs it nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

KEY = "demo-key"
PACE_SECONDS = 0.02
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_ID_SUFFIX = ".txt"

_CONFIG = """\
accounts:
  - name: bench
    base_url: {provider_url}
    auth: {{method: header, api_key: {key}}}
    requests_per_second: 1000000
profiles:
  bench:
    first_poll: {first_poll}
    interval: {interval}
    max_interval: {interval}
    give_up_after: 24h
    deadline: 12h
    objective: 0.9
    priority: high
campaigns:
  - {{name: bench, profile: bench, account: bench}}
drop:
  - {{directory: {drop}, account: bench, campaign: bench, settle: 0s}}
storage: {{path: {state}}}
"""


class Running(NamedTuple):
    """A process that listens."""

    url: str
    process_id: int

    def cpu_seconds(self) -> float:
        """Return the processor time of all its threads so far."""
        after_name = Path(f"/proc/{self.process_id}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self.process_id}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE")


@asynccontextmanager
async def start_daemon(
    folder: Path, provider_url: str, *, first_poll: str, interval: str = "1h", more: str = ""
) -> AsyncIterator[Running]:
    """Run the exporter with its state and drop directory in `folder`, and `more` configuration.

    Its one campaign has high priority, so that all of its ten slots are used, as the peers use theirs.
    """
    drop = folder / "drop"
    drop.mkdir(exist_ok=True)
    config_file = folder / "config.yaml"
    config = _CONFIG.format(
        provider_url=provider_url,
        key=KEY,
        first_poll=first_poll,
        interval=interval,
        drop=drop,
        state=folder / "state",
    )
    config_file.touch(0o600)  # it holds a key
    config_file.write_text(config + more, "utf-8")
    port = find_free_port()
    arguments = [
        f"--config.file={config_file}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    async with _process("exporter", "run", *arguments) as process:
        url = f"http://127.0.0.1:{port}"
        await _wait_until_ready(process, f"{url}/-/ready")
        yield Running(url, process.pid)


@asynccontextmanager
async def start_provider(scenario: str = "calm") -> AsyncIterator[Running]:
    """The simulated provider, without a rate limit, where an hour passes in a second: answers are final.

    It counts the requests that reach it.
    """
    port = find_free_port()
    flags = [f"--port={port}", "--speed=3600", f"--scenario={scenario}"]
    async with _process("tests.kit.recording_simulator", *flags) as process:
        url = f"http://127.0.0.1:{port}"
        await _wait_until_ready(process, f"{url}/-/scenario")
        yield Running(url, process.pid)


@asynccontextmanager
async def start_demo(*, speed: int) -> AsyncIterator[Running]:
    """The demo, whose hours are `speed` times as short."""
    port = find_free_port()
    flags = [f"--speed={speed}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    async with _process("exporter", "demo", *flags, stdout=DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        await _wait_until_ready(process, f"{url}/-/ready")
        yield Running(url, process.pid)


@asynccontextmanager
async def _process(module: str, *arguments: str, stdout: int | None = None) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def run_peer(module: str, *arguments: str, given: bytes = b"") -> bytes:
    """Return what `python -m module` prints for this input; RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE
    )
    printed, _ = await process.communicate(given)
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return printed


def drop_ids(folder: Path, ids: Sequence[str]) -> None:
    """Drop a file of ids for the daemon of `folder`."""
    draft = folder / "ids.tmp"
    draft.write_text("\n".join([*ids, ""]), "ascii")
    draft.rename(folder / "drop" / f"ids{_ID_SUFFIX}")


async def wait_until_ingested(folder: Path) -> None:
    """Wait until the daemon of `folder` has archived its file of ids."""
    done = folder / "drop" / "done"
    while True:
        if any(done.glob(f"*{_ID_SUFFIX}")):
            return
        await asyncio.sleep(PACE_SECONDS)


def find_free_port() -> int:
    """Find a free port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


async def _wait_until_ready(process: Process, url: str) -> None:
    """Wait until `url` answers with 200; RuntimeError when the process ends instead."""
    async with aiohttp.ClientSession() as session:
        while process.returncode is None:
            try:
                async with session.get(url) as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(PACE_SECONDS)
    raise RuntimeError(f"the program ended with {process.returncode}")
