"""What each command does, once its arguments are known; returns the exit code."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import uvloop

from exporter.app import Daemon, Options
from exporter.cli import completion as completions
from exporter.cli import provider_check
from exporter.cli.demo import run_demo
from exporter.cli.flags import PROGRAM
from exporter.cli.progress import Progress
from exporter.config import Account, Settings, check, load
from exporter.config.problem import quoted
from exporter.domain.message_ids import reject_reason
from exporter.domain.model import SECOND_US
from exporter.http import webconfig
from exporter.runtime import log
from exporter.runtime.clock import SteadyClock
from exporter.runtime.errors import Code, ExporterError, UsageError, format_error
from exporter.runtime.startup import check_environment
from exporter.simulator.scenarios import SCENARIOS as _SCENARIOS
from exporter.simulator.server import serve
from exporter.simulator.settings import SimulatorSettings

SCENARIOS = tuple(_SCENARIOS)
THREAD_TURN_SECONDS = 0.001
"""How long a thread may keep the interpreter while another waits for it."""
_REFUSED_IDS = {
    "empty": "is empty",
    "looks_like_phone": "looks like a phone number",
    "too_long": "is too long",
    "bad_characters": "has characters that no id has",
}


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon."""
    options = Options(
        config_file=arguments.config_file,
        listen_addresses=tuple(arguments.web_listen_address),
        web_config_file=arguments.web_config_file,
        enable_lifecycle=arguments.web_enable_lifecycle,
        storage_path=arguments.storage_path,
    )
    settings = load(options.config_file, environ)

    async def daemon(stop: asyncio.Event, handle: log.LogHandle) -> None:
        running = Daemon(
            replace(options, lines_dropped=handle.count_dropped), settings, environ, SteadyClock()
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, running.reload)
        await running.run(stop)

    return _until_stopped(arguments, daemon)


def demo(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The daemon and the simulator in one process."""
    simulated = SimulatorSettings(
        port=0, seed=arguments.seed, speed=arguments.speed, scenario=arguments.scenario
    )
    try:
        temporary = tempfile.TemporaryDirectory(prefix="smsbat-demo-")
    except OSError as error:
        raise ExporterError(
            f"no directory for temporary files can be written: {error.strerror}",
            hint=f"name one; try: TMPDIR=/dev/shm {PROGRAM} demo",
            code=Code.OUTPUT,
        ) from None
    with temporary as folder:
        options = Options(
            config_file=Path(folder, "config.yaml"),
            listen_addresses=tuple(arguments.web_listen_address),
            web_config_file=arguments.web_config_file,
            demo_speed=arguments.speed,
        )
        return _until_stopped(arguments, lambda stop, _: run_demo(simulated, options, environ, stop))


def simulator(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The simulator alone."""
    settings = SimulatorSettings(
        host=arguments.listen.host or "127.0.0.1",
        port=arguments.listen.port,
        seed=arguments.seed,
        speed=arguments.speed,
        scenario=arguments.scenario,
        requests_per_second=arguments.requests_per_second,
        webhook=arguments.webhook_url,
    )
    return _until_stopped(arguments, lambda stop, _: serve(settings, stop))


def check_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Every problem of a file, and of a web configuration beside it.

    78 when one of them can't be used, 1 when a key does not work.
    """
    report = check(arguments.file, environ)
    for problem in (*report.problems, *report.warnings):
        print(problem.render(str(arguments.file)))
    web_config_file: Path | None = arguments.web_config_file
    web = webconfig.check_web_config(web_config_file) if web_config_file is not None else None
    for problem in (*web.problems, *web.warnings) if web is not None else ():
        print(problem.render(str(web_config_file)))
    if report.settings is None or (web is not None and web.config is None):
        return 78
    if arguments.online and not asyncio.run(_keys_work(report.settings)):
        return 1
    print(f"{arguments.file}: fine")
    if web_config_file is not None:
        print(f"{web_config_file}: fine")
    return 0


async def _keys_work(settings: Settings) -> bool:
    """Try the key of every account, all at the same time; a line for each, in the order of the file."""
    clock = SteadyClock()
    works = True
    with Progress(len(settings.accounts), clock) as progress:
        async with asyncio.TaskGroup() as tries:
            found = [
                tries.create_task(provider_check.check_key(account, clock)) for account in settings.accounts
            ]
            for account, trial in zip(settings.accounts, found, strict=True):
                wrong = await trial
                works = works and wrong is None
                text = "the provider accepts the key" if wrong is None else format_error(*wrong)
                progress.step()
                progress.say(f"account {account.name}: {text}")
    return works


def check_message(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask about some messages once; 1 when one of them has no answer."""
    ids = tuple(dict.fromkeys(arguments.id))
    for number, message_id in enumerate(arguments.id, 1):
        if reason := reject_reason(message_id):
            # Not repeated: it may be a phone number.
            message = f"id {number} of {len(arguments.id)} {_REFUSED_IDS[reason]}"
            hint = f"an id is 1 to 128 letters, digits, - and _; try: {PROGRAM} check-message abc123def456"
            raise UsageError(message, hint=hint, code=Code.BAD_ID)
    settings = load(arguments.config_file, environ)
    account = _account(settings, arguments.account)
    return asyncio.run(_ask(account, ids))


async def _ask(account: Account, ids: tuple[str, ...]) -> int:
    """Ask about each, and print what comes; the advice for what goes wrong only once."""
    clock = SteadyClock()
    unanswered, advised = 0, set()
    with Progress(len(ids), clock) as progress:

        def pausing(pause_us: int) -> None:
            text = f"the account's rate is used up: asking again in {pause_us / SECOND_US:.0f} s"
            progress.say(format_error(text, Code.RATE_LIMITED), sys.stderr)

        try:
            async for message_id, reply in provider_check.ProviderCheck(
                account, clock, pausing
            ).fetch_replies(ids):
                wrong = provider_check.diagnose(reply, account)
                progress.step()
                if wrong is None:
                    progress.say(f"{message_id}: {provider_check.describe(reply, account.currency)}")
                    continue
                unanswered += 1
                hint = "" if wrong.code in advised else wrong.hint
                advised.add(wrong.code)
                progress.say(f"{message_id}: no answer: {format_error(wrong.message, wrong.code, hint)}")
        finally:
            left = len(ids) - progress.done
            if left:
                progress.say(f"{progress.done} of {len(ids)} were asked about, {left} not", sys.stderr)
    return 1 if unanswered or left else 0


def dashboards(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The dashboards and rules of this version, as files."""
    files = {arguments.out / name: content for name, content in _read_dashboards().items()}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise ExporterError(
            f"{arguments.out} can't be written: {error.strerror}",
            hint=f"choose another place; try: {PROGRAM} dashboards --out=grafana",
            code=Code.OUTPUT,
        ) from None
    for path in files:
        print(path)
    return 0


def _read_dashboards() -> dict[Path, bytes]:
    """The files of `grafana/` that users need, by their path in it."""
    package = Path(__file__).parents[1]
    # An installed package contains the folder; in a checkout it is beside the package.
    for folder in (package / "grafana", package.parent / "grafana"):
        if folder.is_dir():
            names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
            # Unit tests of the rules are for those who change the rules.
            return {name: (folder / name).read_bytes() for name in names if "tests" not in name.parts}
    raise ExporterError(
        f"this installation is incomplete: {package / 'grafana'} is missing",
        hint=f"install {PROGRAM} again",
    )


def completion(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The script that a shell completes with."""
    print(completions.script(arguments.parser, arguments.shell), end="")
    return 0


def _account(settings: Settings, name: str | None) -> Account:
    if name is None:
        return settings.accounts[0]
    for account in settings.accounts:
        if name == account.name:
            return account
    known = ", ".join(account.name for account in settings.accounts)
    line = f"{PROGRAM} check-message --account={settings.accounts[0].name} abc123def456"
    raise UsageError(
        f"there is no account {quoted(name)}", hint=f"one of: {known}; try: {line}", code=Code.UNKNOWN_ACCOUNT
    )


def _until_stopped(
    arguments: argparse.Namespace,
    work: Callable[[asyncio.Event, log.LogHandle], Awaitable[None]],
) -> int:
    """Run `work` on a fast loop until SIGTERM or SIGINT; the second of them ends the process at once."""
    # The event loop shares the interpreter with the threads of the store, the files and the rendering. While
    # a large file comes in, a scrape waits for several of their turns: half as long as with the usual 5 ms.
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    check_environment()
    handle = log.start_logging(arguments.log_level, arguments.log_format, sys.stderr)

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
