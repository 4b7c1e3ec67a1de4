"""The workers: a poller for each account, a reader for each drop directory, and the ids in the configuration.

A reload replaces all workers and nothing else: an account's limiter and poll
queue stay with the tracker, so no limit is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from exporter import __version__
from exporter.config import Account, Settings
from exporter.domain.limiter import CircuitState
from exporter.domain.model import SECOND_US, NewMessage, Source
from exporter.engine import accounts
from exporter.engine.poller import Poller
from exporter.engine.tracker import Tracked, Tracker
from exporter.ingest.batching import track_in_parts
from exporter.ingest.drop.worker import After, DropSettings, DropWorker
from exporter.ingest.unverified_ids import UnverifiedIds
from exporter.metrics.instruments import Instruments
from exporter.provider.client import Anonymous, Auth, Client, Endpoint
from exporter.runtime.clock import Clock
from exporter.runtime.errors import ConfigError, StoreFull
from exporter.runtime.secrets import Secret, SecretSource

KEY_CHANGE_US = 5 * SECOND_US
"""How long after a change of the key file a refused key is still tried again at once."""
LISTED_IDS_BATCH = 10_000


def build_client(account: Account, clock: Clock, *, anonymous: bool = False) -> Client:
    """Build the client of one configured account; ConfigError when its `ca_file` can't be used.

    `anonymous`: its requests carry no key.
    """
    endpoint = Endpoint(
        base_url=account.base_url,
        user_agent=f"smsbat-exporter/{__version__}",
        timeout_us=account.timeout,
        max_in_flight=account.max_in_flight,
        ca_file=account.ca_file,
    )
    if anonymous:
        return Client(endpoint, Anonymous(), clock)
    return Client(endpoint, Auth(account.auth.method, account.secret(), account.auth.username or ""), clock)


async def run_workers(
    settings: Settings,
    tracker: Tracker,
    unverified_ids: UnverifiedIds,
    clock: Clock,
    instruments: Instruments,
) -> None:
    """Run all workers of these settings until cancelled."""
    webhook = settings.webhook
    polls_unverified = webhook is not None and webhook.track_unknown and webhook.mode == "verify"
    names = frozenset(account.name for account in settings.accounts)
    async with AsyncExitStack() as clients, asyncio.TaskGroup() as workers:
        for configured in settings.accounts:
            account = tracker.accounts[configured.name]
            client = await clients.enter_async_context(build_client(configured, clock))
            max_in_flight = configured.max_in_flight
            if polls_unverified:
                # `config` allows only one account here; `unverified_ids` takes one of its slots.
                workers.create_task(unverified_ids.run(account, client.fetch))
                max_in_flight = max(1, max_in_flight - 1)
            poller = Poller(account, client.fetch, tracker, clock, instruments, max_in_flight)
            workers.create_task(poller.run())
            workers.create_task(watch_key(account, configured.secret(), clock))
        for drop in settings.drop:
            directory = DropSettings(
                str(drop.directory), drop.account, drop.campaign, After(drop.after), drop.settle
            )
            reader = DropWorker(directory, names, tracker, instruments.drop, clock)
            workers.create_task(reader.run(asyncio.Event()))
        workers.create_task(_track_listed(list(settings.list_messages()), tracker, clock))


async def _track_listed(listed: Sequence[NewMessage], tracker: Tracker, clock: Clock) -> None:
    """Track the ids that the configuration lists; known ones change nothing."""

    async def track(part: Sequence[NewMessage]) -> Tracked:
        try:
            return await tracker.track(part, Source.CONFIG)
        except StoreFull:
            return Tracked(blocked=True)

    async for tracked in track_in_parts(track, listed, LISTED_IDS_BATCH):
        if tracked.blocked:
            await clock.sleep(SECOND_US)


async def watch_key(account: accounts.AccountState, source: SecretSource, clock: Clock) -> None:
    """Try again at once when the provider refuses the key and the key file changes."""
    last, changed_at = _read_key(source), None
    while True:
        await clock.sleep(SECOND_US)
        now = clock.monotonic()
        current = _read_key(source)
        if current != last:
            last, changed_at = current, now
        if changed_at is None:
            continue
        if account.limiter.circuit is CircuitState.UNAUTHORIZED:
            account.limiter.on_credentials_changed(now)
            account.wakeup.set()
            changed_at = None
        elif now - changed_at > KEY_CHANGE_US:
            changed_at = None


def _read_key(source: SecretSource) -> Secret | None:
    try:
        return source.read()
    except ConfigError:
        return None
