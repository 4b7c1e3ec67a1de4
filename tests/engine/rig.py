"""A daemon without its listeners: tracker, store, maintenance and pollers, wired as the program does."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path

from exporter.config import Settings
from exporter.domain.model import SECOND_US, Message, NewMessage, Source, Status
from exporter.domain.snapshot import Kind, Snapshot
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
from tests.engine.settings import settings_of
from tests.kit.virtual import VirtualExecutor, loop_clock, quick_folder

PENDING_WORDS = ("new", "scheduled", "processing", "other")


class Rig:
    """One daemon after the other on the same state; see `running`."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        providers: Mapping[str, Provider],
        thread: Executor,
    ) -> None:
        """Nothing runs before `start`; `thread` is the store's."""
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
        self.brought = 0
        """Ids that were handed over so far: known ones use up rows too."""
        self._lives = 0
        self._ready: asyncio.Event
        self._stop: asyncio.Event
        self._reload: asyncio.Event
        self._main: asyncio.Task[None]

    # --- lives ------------------------------------------------------------------------------------

    async def start(self, wall_error_us: Callable[[], int] = lambda: 0) -> None:
        """Begin a life on the state that there is."""
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
        self._raise_what_ended_it()

    async def stop(self) -> None:
        """End a life in order, as the daemon does on a signal."""
        self._stop.set()
        await self._main
        await self.tracker.drain()
        self.store.close()

    async def crash(self) -> None:
        """End a life between two moments: only what the disk held at this one is left."""
        self._lives += 1
        image = self.folder.parent / f"{self._lives}-{self.folder.name.partition('-')[2] or self.folder.name}"
        shutil.copytree(self.folder, image)
        self._main.cancel()
        await asyncio.wait({self._main})
        # What its end wrote goes to a copy that nobody opens again.
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
                loops.create_task(self._feed()),
            ]
            self._ready.set()
            await self._stop.wait()
            for task in work:
                task.cancel()

    async def _feed(self) -> None:
        while True:
            async with asyncio.TaskGroup() as group:
                feeds = group.create_task(self._poll())
                await self._reload.wait()
                self._reload.clear()
                feeds.cancel()
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

    # --- what happens to it -----------------------------------------------------------------------

    def reload(self, settings: Settings | None = None) -> None:
        """Take new settings, or the same once more."""
        self.settings = settings or self.settings
        self._reload.set()

    def slow_down(self, seconds: float) -> None:
        """Let each of the store's verbs take that long from now on."""
        assert isinstance(self.thread, VirtualExecutor)
        self.thread.seconds = seconds

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; raises whatever ended this life meanwhile."""
        await asyncio.wait({self._main}, timeout=seconds)
        self._raise_what_ended_it()
        await self.maintenance.publish()

    async def until(self, condition: Callable[[], bool], within_seconds: float) -> float:
        """Let time pass until the condition holds; returns how many seconds that took."""
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
        self.brought += count
        for start in range(0, count, 10_000):
            tracked = await self.tracker.track(batch[start : start + 10_000], Source.INTAKE)
            assert tracked == Tracked(len(batch[start : start + 10_000]), 0)
        return ids

    def _raise_what_ended_it(self) -> None:
        if self._main.done() and not self._main.cancelled():
            self._main.result()

    # --- what is to be seen -----------------------------------------------------------------------

    @property
    def now_seconds(self) -> float:
        """Virtual time, as the provider's log has it; unlike the program's clock it knows of no lives."""
        return asyncio.get_running_loop().time()

    @property
    def account(self) -> AccountState:
        """The account `main`, as the tracker has it."""
        return self.tracker.accounts["main"]

    @property
    def api_requests(self) -> dict[str, int]:
        """Requests of the account `main` in this life by outcome, without those that did not occur."""
        family = next(f for f in self.instruments.registry.collect() if f.name == "smsbat_api_requests")
        return {
            s.labels["outcome"]: int(s.value)
            for s in family.samples
            if s.name.endswith("_total") and s.labels["account"] == "main" and s.value
        }

    def gauge(self, name: str, **labels: str) -> float | None:
        """A sample of this process's own instruments."""
        return self.instruments.registry.get_sample_value(name, {"account": "main"} | labels)

    def counted(self, kind: Kind, label1: str | None = None, campaign: str | None = None) -> int:
        """A series as published, summed over all campaigns and labels that are not named."""
        return sum(
            value
            for key, value in self.snapshot.values.items()
            if key.kind is kind
            and label1 in {None, key.label1}
            and campaign in {None, self.snapshot.campaigns[key.campaign_id].campaign}
        )

    def finished(self, word: str | None = None) -> int:
        """How many messages have ended (so)."""
        return self.counted(Kind.FINISHED, word)

    @property
    def pending(self) -> int:
        """How many messages the series show as pending."""
        return sum(self.counted(Kind.MESSAGES, word) for word in PENDING_WORDS)

    async def recount(self) -> None:
        """Assert that the published series are what a recount of the store's messages gives."""
        messages = await self.stored()
        by_status = Counter(message.status for message in messages)
        assert [self.counted(Kind.MESSAGES, status.word) for status in Status] == [
            by_status[s] for s in Status
        ]
        ends = Counter(message.outcome for message in messages if not message.pending)
        assert [self.counted(Kind.FINISHED, status.word) for status in Status] == [ends[s] for s in Status]
        assert self.counted(Kind.TRACKED) - self.counted(Kind.FINISHED) == self.pending
        assert self.pending == self.tracker.state.pending == sum(message.pending for message in messages)

    async def stored(self) -> list[Message]:
        """All messages, read from the store."""
        return await self.tracker.claim(range(1, self.brought + 1))


@asynccontextmanager
async def running(
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
            folder / "0-state", settings or settings_of(*providers), providers, thread or VirtualExecutor()
        )
        await rig.start(wall_error_us)
        try:
            yield rig
        except BaseException:
            await rig.crash()
            raise
        else:
            await rig.stop()
