"""What each command does, once its arguments are known; returns the exit code."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import uvloop

from exporter import dashboards as boards
from exporter import log, webconfig
from exporter.app import Daemon, Options
from exporter.clock import SteadyClock
from exporter.config import Account, Settings, check, load
from exporter.config.addresses import Listen, parse_listen
from exporter.demo import run_demo
from exporter.errors import ExporterError, UsageError
from exporter.feeds import client_of
from exporter.ids import refusal
from exporter.model import NANOS_PER_UNIT, Outcome, Reply
from exporter.precautions import take_precautions
from exporter.simulator.scenarios import SCENARIOS as _SCENARIOS
from exporter.simulator.server import serve
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.webhooks import WebhookOrder, read_webhook_order

SCENARIOS = tuple(_SCENARIOS)
NEVER_SENT = "smsbat-exporter-check"
"""An id that no message has: a provider that accepts the key answers that it is not found."""
THREAD_TURN_SECONDS = 0.001
"""How long a thread may keep the interpreter while another waits for it."""


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon."""
    options = Options(
        config_file=Path(arguments.config_file),
        listen_addresses=_listen(arguments),
        web_config_file=_path(arguments.web_config_file),
        enable_lifecycle=arguments.web_enable_lifecycle,
        storage_path=_path(arguments.storage_path),
    )
    settings = load(options.config_file, environ)

    async def daemon(stop: asyncio.Event, handle: log.LogHandle) -> None:
        running = Daemon(replace(options, lines_dropped=handle.dropped), settings, environ, SteadyClock())
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, running.reload)
        await running.run(stop)

    return _until_stopped(arguments, daemon)


def demo(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon and the simulator in one process."""
    simulated = SimulatorSettings(
        port=0, seed=arguments.seed, speed=_positive(arguments.speed), scenario=arguments.scenario
    )
    with tempfile.TemporaryDirectory(prefix="smsbat-demo-") as folder:
        options = Options(
            config_file=Path(folder, "config.yaml"),
            listen_addresses=_listen(arguments),
            web_config_file=_path(arguments.web_config_file),
        )
        return _until_stopped(arguments, lambda stop, _: run_demo(simulated, options, environ, stop))


def simulator(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The simulator alone."""
    listen = _address(arguments.listen)
    settings = SimulatorSettings(
        host=listen.host or "127.0.0.1",
        port=listen.port,
        seed=arguments.seed,
        speed=_positive(arguments.speed),
        scenario=arguments.scenario,
        requests_per_second=_not_negative(arguments.requests_per_second),
        webhook=_webhook_order(arguments.webhook_url),
    )
    return _until_stopped(arguments, lambda stop, _: serve(settings, stop))


def check_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Every problem of a file, and of a web configuration beside it.

    78 when one of them can't be used, 1 when a key does not work.
    """
    report = check(arguments.file, environ)
    for problem in (*report.problems, *report.warnings):
        print(problem.text(str(arguments.file)))
    web_config_file = _path(arguments.web_config_file)
    web = webconfig.check(web_config_file) if web_config_file is not None else None
    for problem in (*web.problems, *web.warnings) if web is not None else ():
        print(problem.text(str(web_config_file)))
    if report.settings is None or (web is not None and web.config is None):
        return 78
    if arguments.online:
        refused = [a.name for a in report.settings.accounts if not asyncio.run(_key_works(a))]
        if refused:
            return 1
    print(f"{arguments.file}: fine")
    if web_config_file is not None:
        print(f"{web_config_file}: fine")
    return 0


async def _key_works(account: Account) -> bool:
    async with client_of(account, SteadyClock()) as client:
        reply = await client.fetch(NEVER_SENT)
    works = reply.outcome in {Outcome.OK, Outcome.NOT_FOUND}
    verdict = "the provider accepts the key" if works else f"failed: {reply.outcome.value} {reply.detail}"
    print(f"account {account.name}: {verdict}")
    return works


def check_message(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask about some messages once; 1 when one of them has no answer."""
    settings = load(Path(arguments.config_file), environ)
    account = _account(settings, arguments.account)
    for message_id in arguments.ids:
        if refusal(message_id):
            hint = "ids are 1 to 128 letters, digits, - and _"
            raise UsageError(f"an id can't be asked about ({refusal(message_id)})", hint=hint)

    async def ask() -> list[Reply]:
        replies = []
        pause_seconds = max(1.0 / account.requests_per_second, 0.0)
        async with client_of(account, SteadyClock()) as client:
            for message_id in dict.fromkeys(arguments.ids):
                replies.append(await client.fetch(message_id))
                print(f"{message_id}: {_in_words(replies[-1], account.currency)}")
                await asyncio.sleep(pause_seconds)
        return replies

    return 0 if all(reply.answer is not None for reply in asyncio.run(ask())) else 1


def dashboards(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The dashboards and rules of this version, as files; 1 when they can't be written."""
    try:
        written = boards.write(arguments.out)
    except OSError as error:
        print(f"{arguments.out} can't be written: {error.strerror}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


def _in_words(reply: Reply, currency: str) -> str:
    answer = reply.answer
    if answer is None:
        return f"no answer: {reply.outcome.value} {reply.detail}".rstrip()
    words = [answer.unknown_word or answer.status.word]
    if answer.cost_nanos is not None:
        words.append(f"cost {answer.cost_nanos / NANOS_PER_UNIT:g} {answer.currency or currency}")
    if answer.parts:
        words.append(f"parts {answer.parts}")
    words += [f"{channel} {status}" for channel, status in answer.channels]
    return ", ".join(words)


def _account(settings: Settings, name: str) -> Account:
    for account in settings.accounts:
        if name in {"", account.name}:
            return account
    known = ", ".join(account.name for account in settings.accounts)
    raise UsageError(f"there is no account {name!r}", hint=f"one of: {known}")


def _listen(arguments: argparse.Namespace) -> tuple[str, ...]:
    addresses = tuple(arguments.listen_addresses or arguments.default_listen)
    for address in addresses:
        _address(address)
    return addresses


def _path(text: str) -> Path | None:
    """The path that a flag names; None where it is empty."""
    return Path(text) if text else None


def _address(text: str) -> Listen:
    listen = parse_listen(text)
    if listen is None:
        raise UsageError(f"{text!r} is not an address", hint="write host:port, [v6]:port or :port")
    return listen


def _webhook_order(url: str) -> WebhookOrder | None:
    order = read_webhook_order({"url": url}) if url else None
    if isinstance(order, str):
        raise UsageError(f"--webhook-url: {order}", hint="write it like http://127.0.0.1:10979/webhook/TOKEN")
    return order


def _not_negative(rate: float) -> float:
    if not 0 <= rate < inf:
        raise UsageError(f"--requests-per-second {rate:g} is out of range", hint="0 for no limit, or more")
    return rate


def _positive(speed: float) -> float:
    if not 0 < speed <= 3600:  # noqa: PLR2004 - an hour a second
        raise UsageError(f"--speed {speed:g} is out of range", hint="more than 0, at most 3600")
    return speed


def _until_stopped(
    arguments: argparse.Namespace,
    work: Callable[[asyncio.Event, log.LogHandle], Awaitable[None]],
) -> int:
    """Run `work` on a fast loop until SIGTERM or SIGINT; the second of them ends the process at once."""
    # The event loop shares the interpreter with the threads of the store, the files and the rendering. While
    # a large file comes in, a scrape waits for several of their turns: half as long as with the usual 5 ms.
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    take_precautions()
    handle = log.setup(arguments.log_level, arguments.log_format, sys.stderr)

    async def main() -> None:
        stop = asyncio.Event()

        def stopping() -> None:
            if stop.is_set():
                signal.raise_signal(signal.SIGKILL)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping)
        await work(stop, handle)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    finally:
        handle.close()
    return 0


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the loops: one of ours if there is one, else the first."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, ExporterError)), leaves[-1])
