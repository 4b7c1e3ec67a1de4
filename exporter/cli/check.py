"""`check-config` and `check-message`: what is wrong, before it matters or after."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from exporter.cli import provider_check
from exporter.cli.flags import PROGRAM
from exporter.cli.progress import Progress
from exporter.config import Account, Settings, check, load
from exporter.domain.message_ids import reject_reason
from exporter.domain.model import SECOND_US
from exporter.http import webconfig
from exporter.runtime.clock import SteadyClock
from exporter.runtime.errors import Code, UsageError, format_error, quoted

_REFUSED_IDS = {
    "empty": "is empty",
    "looks_like_phone": "looks like a phone number",
    "too_long": "is too long",
    "bad_characters": "has characters that no id has",
}


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
