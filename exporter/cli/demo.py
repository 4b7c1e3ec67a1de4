"""`demo`: a simulated provider, live traffic, and the daemon, in one process, with no account.

Ids reach the daemon as a user's would, as files renamed into a drop directory; ends by webhook, most of
them, and by polls.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

from exporter.app import Daemon, Options
from exporter.cli.flags import PROGRAM
from exporter.cli.signals import run_until_stopped
from exporter.config import load
from exporter.domain.model import SECOND_US
from exporter.ingest.webhook_listener import PATH
from exporter.runtime import log
from exporter.runtime.clock import SteadyClock
from exporter.runtime.errors import Code, ExporterError
from exporter.simulator.background_faults import run_background_faults
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.timeline import TrafficKind
from exporter.simulator.traffic import ORDER_CAMPAIGN, OTP_CAMPAIGN, PROMOTIONS, run_traffic
from exporter.simulator.webhooks import WebhookOrder

KEY = "demo-key"
RATE = 20
"""Requests a second that provider and exporter have agreed on."""
RETRY_AFTER_SECONDS = 20
FILE_EVERY_SECONDS = 0.1
"""Of real time."""
LISTED = 20
"""Messages whose ids stand in the configuration."""
WEBHOOK_DELAY_SECONDS = 0.5
"""From a message's end to its webhook; some take up to three times as long."""
WEBHOOKS_LOST, WEBHOOKS_REPEATED = 0.02, 0.02
"""Shares: even a good provider's webhooks are not all there is."""
REPEAT_EVERY, SPOIL_EVERY = 50, 200
"""How many files there are to one that has an id twice, and to one with a line that is no id."""

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
webhook: {{listen: "127.0.0.1:0", token_file: {token_file}, mode: verify}}
"""

_WELCOME = """\
A simulated provider with live traffic, and the exporter that watches it:

  metrics     {metrics}/metrics
  page        {metrics}/
  provider    {provider}/-/scenario/   (now: {scenario})

Break something:   curl -X POST {provider}/-/scenario/viber-outage
  scenarios: {scenarios}
Lose webhooks:     curl -X DELETE {provider}/-/webhook
Hide dropped ids:  mv {drop} {drop}.hidden

Let Prometheus look, in prometheus.yml:
  scrape_configs:
    - job_name: smsbat
      scrape_interval: 15s
      static_configs:
        - targets: ["{target}"]

Ctrl-C ends it; nothing is kept.
"""


def demo(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon and the simulator in one process."""
    simulated = SimulatorSettings(
        port=0, seed=arguments.seed, speed=arguments.speed, scenario=arguments.scenario
    )

    async def run(stop: asyncio.Event, _: log.LogHandle) -> None:
        # Only now: before the loop listens, a signal would leave the folder behind.
        with _temporary_folder() as folder:
            options = Options(
                config_file=Path(folder, "config.yaml"),
                listen_addresses=tuple(arguments.web_listen_address),
                web_config_file=arguments.web_config_file,
                demo_speed=arguments.speed,
            )
            await _run(simulated, options, environ, stop)

    return run_until_stopped(arguments, run)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="smsbat-demo-")
    except OSError as error:
        raise ExporterError(
            f"no directory for temporary files can be written: {error.strerror}",
            hint=f"name one; try: TMPDIR=/dev/shm {PROGRAM} demo",
            code=Code.OUTPUT,
        ) from None


async def _run(
    simulated: SimulatorSettings, options: Options, environ: Mapping[str, str], stop: asyncio.Event
) -> None:
    """Run until `stop`, with all files beside `options.config_file`, which it writes.

    Prints what to open once there is something to see.
    """
    clock = SteadyClock(simulated.speed)
    drop = options.config_file.parent / "drop"
    # The provider counts requests in real seconds, the daemon in those of the demo.
    simulated = replace(
        simulated,
        requests_per_second=RATE * simulated.speed,
        burst=ceil(RATE * simulated.speed),
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
    wire_clock = SteadyClock()
    token = secrets.token_hex(32)
    async with Simulator(simulated, clock=clock, wire_clock=wire_clock) as provider:
        listed = provider.sent_messages.send(TrafficKind.ORDER, ORDER_CAMPAIGN, LISTED)
        _configure(options.config_file, drop, provider.url, token, listed)
        daemon = Daemon(options, load(options.config_file, environ), environ, clock)

        def welcome(running: Daemon) -> None:
            url = f"http://{running.webhook_addresses[0]}{PATH}/{token}"
            provider.webhooks.order(_webhooks(url, simulated.speed))
            address = running.addresses[0]
            target = f"localhost{address}" if address.startswith(":") else address
            print(
                _WELCOME.format(
                    metrics=f"{running.scheme}://{target}",
                    target=target,
                    provider=provider.url,
                    scenario=simulated.scenario,
                    scenarios=", ".join(SCENARIOS),
                    drop=drop,
                ),
                flush=True,
            )

        files = _Files(drop, round(FILE_EVERY_SECONDS * simulated.speed * SECOND_US))

        async def emit(campaign: str, ids: Sequence[str]) -> None:
            await asyncio.to_thread(files.put, campaign, ids, clock.now())

        async with asyncio.TaskGroup() as tasks:
            traffic = tasks.create_task(run_traffic(provider.sent_messages, emit, seed=simulated.seed))
            faults = tasks.create_task(
                run_background_faults(provider.faults, clock, wire_clock, simulated.speed)
            )
            await daemon.run(stop, welcome)
            traffic.cancel()
            faults.cancel()


def _webhooks(url: str, speed: float) -> WebhookOrder:
    """Nearly all of them, soon; their delays are in real time."""
    delay_us = round(WEBHOOK_DELAY_SECONDS * SECOND_US / speed)
    return WebhookOrder(
        url,
        delay_us=delay_us,
        jitter_us=2 * delay_us,
        loss_share=WEBHOOKS_LOST,
        repeat_share=WEBHOOKS_REPEATED,
    )


def _configure(config_file: Path, drop: Path, provider_url: str, token: str, listed: Sequence[str]) -> None:
    folder = config_file.parent
    key_file, token_file = folder / "key", folder / "token"
    key_file.write_text(KEY, "ascii")
    token_file.write_text(token, "ascii")
    drop.mkdir()
    campaigns = [
        (OTP_CAMPAIGN, "otp"),
        (ORDER_CAMPAIGN, "default"),
        *((name, "campaign") for name in PROMOTIONS),
    ]
    messages = {ORDER_CAMPAIGN: listed}
    config_file.write_text(
        _CONFIG.format(
            url=provider_url,
            rate=RATE,
            key_file=key_file,
            token_file=token_file,
            campaigns="\n".join(
                f"  - {{name: {name}, profile: {profile}, account: demo, "
                f"messages: [{', '.join(messages.get(name, ()))}]}}"
                for name, profile in campaigns
            ),
            drop=drop,
            state=folder / "state",
        ),
        "utf-8",
    )


@dataclass
class _Files:
    """Drops files as a customer's programs would, their slips included."""

    drop: Path
    every_us: int
    """The shortest time from one file to the next: each costs a sync of the disk, whatever the speed."""
    written: int = 0
    _written_at: int = 0
    _rows: list[tuple[str, str, str]] = field(default_factory=list)

    def put(self, campaign: str, ids: Sequence[str], sent_at: int) -> None:
        """Keep the ids for the next file, and write it if it is time."""
        seconds = f"{sent_at / SECOND_US:.6f}"
        self._rows += [(message_id, campaign, seconds) for message_id in ids]
        if sent_at - self._written_at >= self.every_us:
            self._written_at = sent_at
            self._write()

    def _write(self) -> None:
        """Write beside, then rename: a reader never sees half a file."""
        self.written += 1
        rows = list(self._rows)
        if self.written % REPEAT_EVERY == 0:
            rows.append(rows[0])
        if self.written % SPOIL_EVERY == 0:
            rows.append(("no id", *rows[0][1:]))
        draft = self.drop / f".{self.written}.tmp"
        try:
            with draft.open("w", newline="", encoding="ascii") as file:
                csv.writer(file).writerows((("message_id", "campaign", "sent_at"), *rows))
            draft.rename(self.drop / f"{self.written}.csv")
        except FileNotFoundError:
            # Somebody moved the directory away: the ids wait until it is back.
            return
        self._rows.clear()
