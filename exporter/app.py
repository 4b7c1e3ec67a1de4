"""The wiring: connects store, tracker, listeners, status page and workers.

Start: store and migrations, the state of earlier runs, a first snapshot, then
the loops; the HTTP listener is bound last, since a refused scrape is better
than zeros. Stop: readiness turns 503, the workers are cancelled (the next run
repeats a poll that was not answered), events that wait are committed, and
resources close in reverse.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from exporter import __version__
from exporter.config import Problem, Settings, load
from exporter.domain.model import SECOND_US
from exporter.domain.snapshot import Snapshot
from exporter.engine.maintenance import Maintenance
from exporter.engine.tracker import Tracker
from exporter.http import Listener, MetricsEndpoints, WebAuth, build_routes
from exporter.ingest.http_api import HttpIntake
from exporter.ingest.unverified_ids import UnverifiedIds
from exporter.ingest.webhook_listener import WebhookListener
from exporter.ingest.webhook_processor import WebhookProcessor
from exporter.metrics.collector import Collector
from exporter.metrics.instruments import Instruments
from exporter.runtime.clock import SteadyClock
from exporter.runtime.errors import Code, ConfigError, ListenError
from exporter.runtime.startup import log_slow_step
from exporter.runtime.systemd import Notifier
from exporter.status.builder import ProcessState, StatusBuilder
from exporter.status.message import Lookups
from exporter.status.page import Pages
from exporter.store.sqlite import SqliteStore
from exporter.workers import run_workers

_log = logging.getLogger("smsbat.app")

STALL_US = 30 * SECOND_US
"""Without a heartbeat for this long, the process is not healthy."""
LITTLE_SPACE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What comes from the command line, and not from the configuration."""

    config_file: Path
    listen_addresses: tuple[str, ...]
    web_config_file: Path | None = None
    """TLS and authentication of the metrics listener; None for neither."""
    enable_lifecycle: bool = False
    storage_path: Path | None = None
    demo_speed: float | None = None
    """How many times faster than real time the demo runs; None outside of the demo."""
    lines_dropped: Callable[[], int] = lambda: 0
    """How many log lines are lost so far."""


class Daemon:
    """One run of the exporter, from its settings to its end."""

    def __init__(
        self, options: Options, settings: Settings, environ: Mapping[str, str], clock: SteadyClock
    ) -> None:
        self._options = options
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._instruments = Instruments()
        self._notifier = Notifier(environ)
        self._reload = asyncio.Event()
        self._reload_waiters: list[asyncio.Future[str]] = []
        self._maintenance: Maintenance | None = None
        self._not_ready = "starting"
        self.addresses: tuple[str, ...] = ()
        """Where `/metrics` is served, once it is."""
        self.scheme = "http"
        self.webhook_addresses: tuple[str, ...] = ()
        """Where webhooks are received, if they are enabled."""

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Daemon], None] | None = None) -> None:
        """Run until `stop` is set; raises `ExporterError` when that is not possible."""
        self._log_start()
        self._log_config_warnings()
        async with AsyncExitStack() as resources:
            web_config = self._options.web_config_file
            web_auth = resources.enter_context(WebAuth(web_config)) if web_config is not None else None
            store, tracker = await self._open_state(resources)
            unverified_ids = UnverifiedIds(tracker, store, self._clock, self._instruments)
            processor = WebhookProcessor(tracker, store, unverified_ids, self._clock, self._instruments)
            webhooks = WebhookListener(processor, self._instruments)
            resources.push_async_callback(webhooks.close)
            intake = HttpIntake(tracker, self._clock, self._instruments)
            intake.configure(self._settings.intake)
            lookups = Lookups(tracker, store, self._clock)
            routes, show = self._build_views(resources, tracker, webhooks, lookups, web_auth)
            self._maintenance = maintenance = Maintenance(
                tracker,
                store,
                self._clock,
                self._instruments,
                show,
                self._options.lines_dropped,
                self._notifier.notify_alive,
            )
            self._apply_settings_to_metrics()
            await maintenance.publish()
            async with asyncio.TaskGroup() as loops:
                work = [
                    loops.create_task(tracker.commit_forever()),
                    loops.create_task(maintenance.run()),
                    loops.create_task(processor.run()),
                    loops.create_task(lookups.run()),
                    loops.create_task(self._run_workers(tracker, unverified_ids, webhooks, intake)),
                ]
                if web_auth is not None:
                    work.append(loops.create_task(web_auth.follow_files()))
                await webhooks.configure(self._settings.webhook)
                addresses = self._options.listen_addresses
                async with Listener(addresses, routes, web_auth, intake.routes()) as listener:
                    self.addresses = listener.addresses
                    self.scheme = "https" if web_auth is not None and web_auth.tls is not None else "http"
                    self.webhook_addresses = webhooks.addresses
                    self._log_ready(tracker.state.pending)
                    if on_ready is not None:
                        on_ready(self)
                    await stop.wait()
                    self._log_stopping()
                    for task in work:
                        task.cancel()
        _log.info("Stopped; everything is saved", extra={"event": "stopped"})

    async def _open_state(self, resources: AsyncExitStack) -> tuple[SqliteStore, Tracker]:
        """Open the state of earlier runs."""
        executor = resources.enter_context(ThreadPoolExecutor(1, "store"))
        with log_slow_step("opening the state"):
            store = await self._open_store(executor)
        loop = asyncio.get_running_loop()
        resources.push_async_callback(lambda: loop.run_in_executor(executor, store.close))
        tracker = Tracker(store, executor, self._settings, self._clock, self._instruments)
        with log_slow_step("reading the state", lambda: _get_restore_progress(tracker)):
            warning = await tracker.start()
        if warning:
            _log.warning(warning, extra={"event": "state_warning", "fields": {"code": Code.STORE_RESET}})
        resources.push_async_callback(tracker.drain)
        return store, tracker

    def _build_views(
        self,
        resources: AsyncExitStack,
        tracker: Tracker,
        webhooks: WebhookListener,
        lookups: Lookups,
        web_auth: WebAuth | None,
    ) -> tuple[list[web.AbstractRouteDef], Callable[[Snapshot], None]]:
        """Build the routes of the metrics listener, and the function that publishes a snapshot on them."""
        exposition = self._settings.exposition
        collector = resources.enter_context(
            Collector(self._instruments.registry, created=exposition.created, exemplars=exposition.exemplars)
        )
        process = ProcessState(
            lambda: self._not_ready,
            self._find_stall,
            lambda: webhooks.addresses,
            self._options.demo_speed,
            lambda: self._collect_warnings(web_auth),
        )
        thread = resources.enter_context(ThreadPoolExecutor(1, "page"))
        status = StatusBuilder(tracker, self._clock, self._instruments, process, thread)

        def show(snapshot: Snapshot) -> None:
            collector.publish(snapshot)
            status.update(snapshot)

        routes = [
            *build_routes(self._build_metrics_endpoints(collector)),
            *Pages(status, lookups, thread).routes(),
        ]
        return routes, show

    def _log_ready(self, pending: int) -> None:
        self._not_ready = ""
        fields = {
            "version": __version__,
            "listen": ",".join(self.addresses),
            "webhook": ",".join(self.webhook_addresses),
            "pending": pending,
        }
        _log.info("Ready", extra={"event": "ready", "fields": fields})
        self._notifier.notify_ready()

    def _log_stopping(self) -> None:
        self._not_ready = "stopping"
        text = "Stopping: saving what the provider reported; a second signal stops at once"
        _log.info(text, extra={"event": "stopping"})

    def _log_start(self) -> None:
        fields = {
            "version": __version__,
            "config": str(self._options.config_file),
            "state": str(self._state_directory),
        }
        _log.info("Starting", extra={"event": "starting", "fields": fields})

    def _log_config_warnings(self) -> None:
        """Log what `check-config` warns of in a configuration that works."""
        for warning in self._settings.warnings:
            fields = warning.build_log_fields(str(self._options.config_file))
            more = {"event": "config_warning", "fields": fields, "unlimited": True}
            _log.warning("The configuration works, but this should be fixed", extra=more)

    def _collect_warnings(self, web_auth: WebAuth | None) -> Iterator[tuple[Path, Problem]]:
        """Collect what should be fixed in the configuration files in force."""
        for warning in self._settings.warnings:
            yield self._options.config_file, warning
        if web_auth is not None:
            for warning in web_auth.warnings:
                yield web_auth.path, warning

    @property
    def _state_directory(self) -> Path:
        return self._options.storage_path or self._settings.storage.path

    async def _open_store(self, executor: ThreadPoolExecutor) -> SqliteStore:
        directory = self._state_directory
        loop = asyncio.get_running_loop()
        fresh = self._settings.storage.on_corrupt == "fresh"
        store = await loop.run_in_executor(
            executor, lambda: SqliteStore(directory, now=self._clock.now(), fresh_when_damaged=fresh)
        )
        free_bytes = shutil.disk_usage(directory).free
        if free_bytes < LITTLE_SPACE_BYTES:
            fields = {"free_bytes": free_bytes, "code": Code.STORE_LITTLE_SPACE}
            _log.warning(
                "Little disk space is left for the state", extra={"event": "little_space", "fields": fields}
            )
        return store

    def _build_metrics_endpoints(self, collector: Collector) -> MetricsEndpoints:
        return MetricsEndpoints(
            scrape=collector.render,
            unhealthy=self._find_stall,
            unready=lambda: self._not_ready,
            reload=self._reload_now if self._options.enable_lifecycle else None,
        )

    def _find_stall(self) -> str:
        """Why this process needs a restart; empty while its loops make progress."""
        # In the demo, half a minute of its own time may be half a second: too short for a loop.
        stall_us = STALL_US * max(1.0, self._options.demo_speed or 1.0)
        if self._maintenance is None or self._clock.monotonic() - self._maintenance.heartbeat_at < stall_us:
            return ""
        return "the loops make no progress"

    def _apply_settings_to_metrics(self) -> None:
        """Adapt the metrics to new settings."""
        self._instruments.configure(self._settings)
        self._instruments.set_reload_succeeded(self._clock.now() / SECOND_US)

    # --- reload -----------------------------------------------------------------------------------

    def reload(self) -> None:
        """Request a reload of the configuration (SIGHUP)."""
        self._reload.set()

    async def _reload_now(self) -> str:
        """Reload the configuration; returns what is wrong with it, or an empty text (`POST /-/reload`)."""
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reload_waiters.append(outcome)
        self._reload.set()
        return await outcome

    async def _run_workers(
        self, tracker: Tracker, unverified_ids: UnverifiedIds, webhooks: WebhookListener, intake: HttpIntake
    ) -> None:
        """Run the workers, and new ones after each successful reload."""
        while True:
            async with asyncio.TaskGroup() as group:
                workers = group.create_task(
                    run_workers(self._settings, tracker, unverified_ids, self._clock, self._instruments)
                )
                waiters = await self._wait_for_settings()
                workers.cancel()
            await tracker.configure(self._settings)
            intake.configure(self._settings.intake)
            try:
                await webhooks.configure(self._settings.webhook)
            except ListenError as error:
                more = {"event": "webhook_refused", "fields": {"code": error.code}}
                _log.error("%s; webhooks go on as before", error.message, extra=more)
            self._apply_settings_to_metrics()
            _answer_reloads(waiters, "")

    async def _wait_for_settings(self) -> list[asyncio.Future[str]]:
        """Wait for a reload with settings that can be used; bad ones change nothing.

        Returns the requests that wait until the new settings are in force.
        """
        while True:
            await self._reload.wait()
            self._reload.clear()
            # A request that comes from here on may mean a newer file: it waits for the next reload.
            waiters, self._reload_waiters = self._reload_waiters, []
            problem = await self._load_settings()
            if not problem:
                return waiters
            _answer_reloads(waiters, problem)

    async def _load_settings(self) -> str:
        """Read the file; returns what is wrong with it, or an empty text when its settings are now in use."""
        try:
            # A hostile file of a megabyte takes seconds: not in the event loop.
            settings = await asyncio.to_thread(load, self._options.config_file, self._environ)
        except ConfigError as error:
            self._instruments.set_reload_failed()
            message = "The configuration has errors; the old one stays in force"
            fields = {"code": error.code, "problems": error.render()}
            _log.error(message, extra={"event": "reload_failed", "fields": fields})
            return error.render()
        if settings.storage != self._settings.storage:
            message = "A change of storage needs a restart; the other changes are in force"
            _log.warning(message, extra={"event": "reload_partial"})
        self._settings = settings
        _log.info("The configuration was reloaded", extra={"event": "reloaded"})
        self._log_config_warnings()
        return ""


def _answer_reloads(waiters: Iterable[asyncio.Future[str]], problem: str) -> None:
    """Answer the requests that wait for a reload, unless they are gone."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(problem)


def _get_restore_progress(tracker: Tracker) -> dict[str, int]:
    """How much of the state is read: pending messages, and of how many an older version's were queued."""
    return {"pending": tracker.state.pending, "queued": tracker.queued_rows}
