"""The simulated provider in a process forked from this one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from exporter.simulator.settings import SimulatorSettings
from tests.kit.provider import Provider
from tests.kit.recording_simulator import RecordingSimulator
from tests.torture.forked_program import Child, until


@contextmanager
def forked_provider(folder: Path, *, seed: int, speed: float) -> Iterator[Provider]:
    """A recording simulator, with its few files in `folder`; messages live `speed` times as fast."""
    settings = SimulatorSettings(port=0, seed=seed, speed=speed, requests_per_second=0)
    address = folder / "provider.address"
    child = Child(partial(_serve, settings, address), folder / "provider.log")
    try:
        assert until(child, address.exists), child.said()
        yield Provider(address.read_text("ascii"), seed)
    finally:
        child.kill()


def _serve(settings: SimulatorSettings, address: Path) -> int:
    async def run() -> None:
        async with RecordingSimulator(settings) as simulator:
            draft = address.with_suffix(".tmp")
            draft.write_text(simulator.url.removeprefix("http://"), "ascii")
            draft.rename(address)
            await asyncio.Event().wait()

    asyncio.run(run())
    return 0
