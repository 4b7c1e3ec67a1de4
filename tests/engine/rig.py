"""A daemon without its listeners: tracker, store, maintenance and pollers, wired as the program does."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path

from exporter.config import Settings
from exporter.domain.model import SECOND_US, Message, NewMessage, Source
from exporter.domain.snapshot import Kind, Snapshot
from exporter.domain.states import Status
from exporter.engine.accounts import AccountState
from exporter.engine.maintenance import Maintenance
from exporter.engine.poller import Poller
from exporter.engine.tracker import Tracked, Tracker
from exporter.ingest.unverified_ids import UnverifiedIds
from exporter.ingest.webhook_processor import WebhookProcessor
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from tests.engine.fillable import FillableStore
from tests.engine.provider import Provider
from tests.engine.settings import make_settings
from tests.kit.virtual import VirtualExecutor, loop_clock, quick_folder
from tests.store.engines import list_queue

PENDING_WORDS = ("new", "scheduled", "processing", "other")


class Rig:
    """One daemon after the other on the same state; see `start_rig`."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        providers: Mapping[str, Provider],
        thread: Executor,
    ) -> None:
        """`thread` runs the store's verbs."""
        self.folder = folder
        self.settings = settings
        self.providers = providers
        self.clock: SteadyClock
        self.thread = thread
        self.instruments: Instruments
        self.store: FillableStore
        self.tracker: Tracker
        self.unverified_ids: UnverifiedIds
        self.processor: WebhookProcessor
        self.maintenance: Maintenance
        self.snapshot: Snapshot
        self.submitted = 0
        """How many ids were tracked so far; known ones use up rows too."""
        self._crashes = 0
        self._ready: asyncio.Event
        self._stop: asyncio.Event
        self._reload: asyncio.Event
        self._main: asyncio.Task[None]

    # --- start and stop ---------------------------------------------------------------------------

    async def start(self, wall_error_us: Callable[[], int] = lambda: 0) -> None:
        """Start a daemon on the present state."""
        self.clock = loop_clock(wall_error_us)
        self.instruments = Instruments()
        self.instruments.configure(self.settings)
        self.store = FillableStore(self.folder, now=self.clock.now())
        self.tracker = Tracker(self.store, self.thread, self.settings, self.clock, self.instruments)
        self.unverified_ids = UnverifiedIds(self.tracker, self.store, self.clock, self.instruments)
        self.processor = WebhookProcessor(
            self.tracker, self.store, self.unverified_ids, self.clock, self.instruments
        )
        self.maintenance = Maintenance(self.tracker, self.store, self.clock, self.instruments, self._publish)
        self._ready, self._stop, self._reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._main = asyncio.get_running_loop().create_task(self._live())
        ready = asyncio.get_running_loop().create_task(self._ready.wait())
        await asyncio.wait({ready, self._main}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        self._raise_its_error()

    async def stop(self) -> None:
        """Stop the daemon in order, as on a signal."""
        self._stop.set()
        await self._main
        await self.tracker.drain()
        self.store.close()

    async def crash(self) -> None:
        """Kill the daemon: only what is on the disk at this moment is left."""
        self._crashes += 1
        image = (
            self.folder.parent / f"{self._crashes}-{self.folder.name.partition('-')[2] or self.folder.name}"
        )
        shutil.copytree(self.folder, image)
        self._main.cancel()
        await asyncio.wait({self._main})
        # What the cancelled tasks wrote is in a copy that is not opened again.
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder = image

    async def _live(self) -> None:
        await self.tracker.start()
        await self.maintenance.publish()
        async with asyncio.TaskGroup() as loops:
            work = [
                loops.create_task(self.tracker.commit_forever()),
                loops.create_task(self.processor.run()),
                loops.create_task(self.maintenance.run()),
                loops.create_task(self._run_workers()),
            ]
            self._ready.set()
            await self._stop.wait()
            for task in work:
                task.cancel()

    async def _run_workers(self) -> None:
        while True:
            async with asyncio.TaskGroup() as group:
                workers = group.create_task(self._poll())
                await self._reload.wait()
                self._reload.clear()
                workers.cancel()
            await self.tracker.configure(self.settings)
            self.instruments.configure(self.settings)

    async def _poll(self) -> None:
        async with asyncio.TaskGroup() as pollers:
            for configured in self.settings.accounts:
                fetch = self.providers[configured.name].fetch
                account = self.tracker.accounts[configured.name]
                poller = Poller(
                    account, fetch, self.tracker, self.clock, self.instruments, configured.max_in_flight
                )
                pollers.create_task(poller.run())
                webhook = self.settings.webhook
                if webhook is not None and webhook.track_unknown and webhook.mode == "verify":
                    pollers.create_task(self.unverified_ids.run(account, fetch))

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    # --- what tests do ----------------------------------------------------------------------------

    def reload(self, settings: Settings | None = None) -> None:
        """Reload with new settings, or with the same once more."""
        self.settings = settings or self.settings
        self._reload.set()

    def slow_down(self, seconds: float) -> None:
        """Let each call of the store take that long from now on."""
        assert isinstance(self.thread, VirtualExecutor)
        self.thread.seconds = seconds

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; raises the error that ended the daemon meanwhile."""
        await asyncio.wait({self._main}, timeout=seconds)
        self._raise_its_error()
        await self.maintenance.publish()

    async def wait_until(self, condition: Callable[[], bool], within_seconds: float) -> float:
        """Let time pass until the condition is true; returns how many seconds that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not condition():
            assert loop.time() - began < within_seconds, "not within its time"
            await self.pass_time(0.1)
        return loop.time() - began

    async def send(
        self,
        count: int,
        campaign: str = "default",
        *,
        account: str = "main",
        prefix: str = "m",
        age_seconds: int = 0,
    ) -> list[str]:
        """Track that many new ids, sent `age_seconds` ago; returns them."""
        ids = [f"{prefix}-{campaign[:20]}-{number:06}" for number in range(count)]
        sent_at = self.clock.now() - age_seconds * SECOND_US
        batch = [NewMessage(message_id, campaign, account, sent_at) for message_id in ids]
        self.submitted += count
        for start in range(0, count, 10_000):
            tracked = await self.tracker.track(batch[start : start + 10_000], Source.INTAKE)
            assert tracked == Tracked(len(batch[start : start + 10_000]), 0)
        return ids

    def _raise_its_error(self) -> None:
        if self._main.done() and not self._main.cancelled():
            self._main.result()

    # --- what tests read --------------------------------------------------------------------------

    @property
    def now_seconds(self) -> float:
        """Virtual time, as in the provider's requests; unlike the daemon's clock it never starts again."""
        return asyncio.get_running_loop().time()

    @property
    def account(self) -> AccountState:
        """The account `main`, as the tracker has it."""
        return self.tracker.accounts["main"]

    @property
    def api_requests(self) -> dict[str, int]:
        """Requests of the account `main` since the start, by outcome; outcomes with none are left out."""
        family = next(f for f in self.instruments.registry.collect() if f.name == "smsbat_api_requests")
        return {
            s.labels["outcome"]: int(s.value)
            for s in family.samples
            if s.name.endswith("_total") and s.labels["account"] == "main" and s.value
        }

    def read_gauge(self, name: str, **labels: str) -> float | None:
        """A sample of the daemon's instruments."""
        return self.instruments.registry.get_sample_value(name, {"account": "main"} | labels)

    def sum_series(self, kind: Kind, label1: str | None = None, campaign: str | None = None) -> int:
        """A series as published, summed over all campaigns and labels that are not named."""
        return sum(
            value
            for key, value in self.snapshot.values.items()
            if key.kind is kind
            and label1 in {None, key.label1}
            and campaign in {None, self.snapshot.campaigns[key.campaign_id].campaign}
        )

    def count_finished(self, word: str | None = None) -> int:
        """How many messages are finished, with this status or with any."""
        return self.sum_series(Kind.FINISHED, word)

    @property
    def pending(self) -> int:
        """How many messages the series show as pending."""
        return sum(self.sum_series(Kind.MESSAGES, word) for word in PENDING_WORDS)

    async def check_counts(self) -> None:
        """Assert that the published series are what a recount of the store's messages gives."""
        messages = await self.read_messages()
        by_status = Counter(message.status for message in messages)
        assert [self.sum_series(Kind.MESSAGES, status.word) for status in Status] == [
            by_status[s] for s in Status
        ]
        outcomes = Counter(message.outcome for message in messages if not message.pending)
        assert [self.sum_series(Kind.FINISHED, status.word) for status in Status] == [
            outcomes[s] for s in Status
        ]
        assert self.sum_series(Kind.TRACKED) - self.sum_series(Kind.FINISHED) == self.pending
        assert self.pending == self.tracker.state.pending == sum(message.pending for message in messages)

    async def read_messages(self) -> list[Message]:
        """All messages, read from the store."""
        return await self.read(range(1, self.submitted + 1))

    async def read(self, rows: Iterable[int]) -> list[Message]:
        """Messages by row."""
        return await self.tracker.run(self.store.read, rows)

    async def list_queue(self) -> list[Message]:
        """The messages in the store's queue, whenever they are due."""
        return await self.tracker.run(list_queue, self.store)


@asynccontextmanager
async def start_rig(
    tmp_path: Path,
    provider: Provider | Mapping[str, Provider],
    settings: Settings | None = None,
    *,
    wall_error_us: Callable[[], int] = lambda: 0,
    thread: Executor | None = None,
) -> AsyncIterator[Rig]:
    """A rig that has started, and is stopped in order at the end."""
    with quick_folder(tmp_path) as folder:
        providers = provider if isinstance(provider, Mapping) else {"main": provider}
        rig = Rig(
            folder / "0-state", settings or make_settings(*providers), providers, thread or VirtualExecutor()
        )
        await rig.start(wall_error_us)
        try:
            yield rig
        except BaseException:
            await rig.crash()
            raise
        else:
            await rig.stop()
