"""The whole thing with no account: a simulated provider, live traffic, and the daemon, in one process.

Ids reach the daemon as a user's would, as files renamed into a drop directory.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from exporter.app import Daemon, Options
from exporter.clock import SteadyClock
from exporter.config import load
from exporter.model import SECOND_US
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.traffic import PROMOTIONS, run_traffic

KEY = "demo-key"
RATE = 10
"""Requests a second that provider and exporter have agreed on."""

_CONFIG = """\
accounts:
  - name: demo
    base_url: {url}
    auth: {{method: header, api_key_file: {key_file}}}
    requests_per_second: {rate}
campaigns:
{campaigns}
drop:
  - {{directory: {drop}, after: delete, settle: 0s}}
storage: {{path: {state}}}
"""

_WELCOME = """\
A simulated provider with live traffic, and the exporter that watches it:

  metrics     {metrics}/metrics
  page        {metrics}/
  provider    {provider}/-/scenario/   (now: {scenario})

Break something:   curl -X POST {provider}/-/scenario/viber-outage
  scenarios: {scenarios}

Let Prometheus look, in prometheus.yml:
  scrape_configs:
    - job_name: smsbat
      scrape_interval: 15s
      static_configs:
        - targets: ["{target}"]

Ctrl-C ends it; nothing is kept.
"""


async def run_demo(
    simulated: SimulatorSettings,
    folder: Path,
    listen_addresses: tuple[str, ...],
    environ: Mapping[str, str],
    stop: asyncio.Event,
) -> None:
    """Run until `stop`, with all files in `folder`; prints what to open once there is something to see."""
    clock = SteadyClock(simulated.speed)
    drop = folder / "drop"
    # The provider counts requests in real seconds, the daemon in those of the demo.
    simulated = replace(
        simulated, requests_per_second=RATE * simulated.speed, burst=ceil(RATE * simulated.speed)
    )
    async with Simulator(simulated, clock=clock) as provider:
        config_file = _configure(folder, drop, provider.url)
        options = Options(config_file, listen_addresses)
        daemon = Daemon(options, load(config_file, environ), environ, clock)

        def welcome(running: Daemon) -> None:
            target = running.addresses[0].replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1")  # noqa: S104
            print(
                _WELCOME.format(
                    metrics=f"http://{target}",
                    target=target,
                    provider=provider.url,
                    scenario=simulated.scenario,
                    scenarios=", ".join(SCENARIOS),
                ),
                flush=True,
            )

        async def emit(campaign: str, ids: Sequence[str]) -> None:
            await asyncio.to_thread(_drop_file, drop / campaign, ids, clock.now())

        async with asyncio.TaskGroup() as tasks:
            traffic = tasks.create_task(run_traffic(provider.book, emit, seed=simulated.seed))
            await daemon.run(stop, welcome)
            traffic.cancel()


def _configure(folder: Path, drop: Path, provider_url: str) -> Path:
    key_file = folder / "key"
    key_file.write_text(KEY, "ascii")
    drop.mkdir()
    campaigns = [("otp", "otp"), ("orders", "default"), *((name, "campaign") for name in PROMOTIONS)]
    config_file = folder / "config.yaml"
    config_file.write_text(
        _CONFIG.format(
            url=provider_url,
            rate=RATE,
            key_file=key_file,
            campaigns="\n".join(
                f"  - {{name: {name}, profile: {profile}, account: demo}}" for name, profile in campaigns
            ),
            drop=drop,
            state=folder / "state",
        ),
        "utf-8",
    )
    return config_file


def _drop_file(directory: Path, ids: Sequence[str], sent_at: int) -> None:
    """Write beside, then rename: a reader never sees half a file."""
    directory.mkdir(exist_ok=True)
    draft = directory / f".{ids[0]}.tmp"
    with draft.open("w", newline="", encoding="ascii") as file:
        rows = csv.writer(file)
        rows.writerow(("message_id", "sent_at"))
        rows.writerows((message_id, f"{sent_at / SECOND_US:.6f}") for message_id in ids)
    draft.rename(directory / f"{ids[0]}.csv")
