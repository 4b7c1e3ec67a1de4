"""Asking the provider for somebody who waits for the answer: is a key right, what became of some ids.

What an outcome means is told in a sentence with a code, and what to do about
it in another. Nothing is tracked, and nothing is kept from one run to the next,
so each run begins with the pause that the provider wants between two requests
about one message: the run before may have asked about the same.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from exporter.config import Account
from exporter.domain.limiter import USABLE, AccountLimiter
from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Outcome, Reply
from exporter.domain.schedule import CLOSEST_US
from exporter.provider.client import Client
from exporter.runtime.clock import Clock
from exporter.runtime.errors import Code, code_of
from exporter.workers import client_of

NEVER_SENT = ("smsbat-exporter-check", "smsbat-exporter-check-without-key")
"""Ids that no message has: who is let in hears that there is none, and who is not hears 401."""
LONGEST_WAIT_US = 60 * SECOND_US
"""A longer pause is not waited for: it is told."""
TRIES = 3
"""How often a message is asked about when the provider answers 429."""
MOST_FAILURES = 5
"""In a row: somebody waits, and would rather know than have all ids tried."""
_IN_VAIN = frozenset({Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED})

_MEANINGS: Mapping[Code, tuple[str, str]] = MappingProxyType(
    {
        Code.MESSAGE_UNKNOWN: (
            "the provider knows no such message",
            "ids are what the provider answered to sending, to this account; choose one with --account",
        ),
        Code.KEY_REFUSED: (
            "the provider refuses the key",
            "compare it with the one that the provider gave, and auth.method with what was agreed",
        ),
        Code.CONFIG_KEY_FILE: (
            "the key can't be used",
            "check auth in the configuration, and whether this user may read the file that it names",
        ),
        Code.RATE_LIMITED: (
            "the account's rate is used up",
            "a running exporter counts too: wait a minute, or lower requests_per_second to what was agreed",
        ),
        Code.REQUEST_REFUSED: (
            "the provider refuses the request",
            "compare base_url with the one that the provider gave",
        ),
        Code.PROVIDER_FAILS: (
            "the provider fails",
            "there is nothing to mend here: try again later, or tell the provider",
        ),
        Code.TIMED_OUT: (
            "the answer takes too long",
            "try again; if it is always so, is there a firewall, or is timeout too short?",
        ),
        Code.UNREACHABLE: ("no connection", "is base_url right, and may this machine connect to it?"),
        Code.NAME_UNRESOLVED: (
            "the name does not resolve",
            "is base_url right, and does this machine's name server answer?",
        ),
        Code.TLS: (
            "the connection can't be trusted",
            "is base_url right? a private certificate authority goes into ca_file",
        ),
        Code.REDIRECTED: (
            "the answer is a redirect, which is never followed",
            "write the address of the API itself into base_url",
        ),
        Code.STRANGE_ANSWER: (
            "something answers, but not as the provider does",
            "is base_url right, and is there a proxy in between?",
        ),
        Code.ANSWERS_ANYBODY: (
            "the same answer comes without the key, so nothing is known of it",
            "is base_url right? try: smsbat-exporter check-message with the id of a message that was sent",
        ),
    }
)
_STATUS = re.compile("status=([0-9]{3})")


class Finding(NamedTuple):
    """What is wrong, in words."""

    message: str
    code: Code
    hint: str


def diagnose(reply: Reply, account: Account) -> Finding | None:
    """What is wrong with a reply; None when there is an answer."""
    code = code_of(reply.outcome, reply.detail)
    return None if code is None else _make_finding(code, reply, account)


async def check_key(account: Account, clock: Clock) -> Finding | None:
    """Ask about a message that was never sent, with the key and without; None when the key works."""
    await clock.sleep(CLOSEST_US)
    async with client_of(account, clock) as client:
        reply = await client.fetch(NEVER_SENT[0])
    if reply.outcome is not Outcome.NOT_FOUND:
        return diagnose(reply, account)
    # Whatever answers at a wrong address knows no such message either, and asks nobody for a key.
    await clock.sleep(round(SECOND_US / account.requests_per_second))
    async with client_of(account, clock, anonymous=True) as client:
        never_sent = await client.fetch(NEVER_SENT[1])
    if never_sent.outcome is not Outcome.NOT_FOUND:
        return None
    return _make_finding(Code.ANSWERS_ANYBODY, reply, account)


def _make_finding(code: Code, reply: Reply, account: Account) -> Finding:
    sentence, hint = _MEANINGS[code]
    return Finding(f"{sentence} ({_describe_evidence(reply, account)})", code, hint)


def _describe_evidence(reply: Reply, account: Account) -> str:
    """Where it was asked, and what came of it in a few words: the HTTP status, or the error's innermost."""
    status = _STATUS.match(reply.detail)
    short = f"HTTP {status[1]}" if status else reply.detail.rsplit(": ", 1)[-1]
    if reply.outcome is Outcome.TIMEOUT:
        short = f"nothing within {account.timeout / SECOND_US:g} s"
    return f"{account.base_url}: {short}" if short else account.base_url


class ProviderCheck:
    """Messages of one account, asked about one after the other, as fast as the account may."""

    def __init__(self, account: Account, clock: Clock, on_pause: Callable[[int], None]) -> None:
        """`on_pause` is told of each pause that the provider asks for, in microseconds."""
        self._account = account
        self._clock = clock
        self._on_pause = on_pause
        self._limiter = AccountLimiter(account.requests_per_second, clock.monotonic())

    async def fetch_replies(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Reply]]:
        """What becomes of each question; ends early when asking on would be in vain."""
        await self._clock.sleep(CLOSEST_US)
        failures = 0
        async with client_of(self._account, self._clock) as client:
            for row, message_id in enumerate(ids):
                reply = await self._fetch(client, row, message_id)
                yield message_id, reply
                failures = 0 if reply.outcome in USABLE else failures + 1
                if reply.outcome in _IN_VAIN or failures == MOST_FAILURES:
                    return

    async def _fetch(self, client: Client, row: int, message_id: str) -> Reply:
        """Ask, and again where the provider wants a pause first, unless that is long."""
        tries = 0
        while True:
            await self._clock.sleep(self._limiter.wait_us(self._clock.monotonic()))
            sent_at = self._clock.monotonic()
            self._limiter.sent(sent_at)
            reply = await client.fetch(message_id)
            now = self._clock.monotonic()
            self._limiter.ended(now, sent_at, row, reply.outcome, reply.retry_after_us)
            tries += 1
            pause_us = max(CLOSEST_US, self._limiter.wait_us(now))
            if reply.outcome is not Outcome.RATE_LIMITED or tries == TRIES or pause_us > LONGEST_WAIT_US:
                return reply
            self._on_pause(pause_us)
            await self._clock.sleep(pause_us)


def describe(reply: Reply, currency: str) -> str:
    """What the provider says of a message; empty when there is no answer."""
    answer = reply.answer
    if answer is None:
        return ""
    words = [answer.unknown_word or answer.status.word]
    if answer.cost_nanos is not None:
        words.append(f"cost {answer.cost_nanos / NANOS_PER_UNIT:g} {answer.currency or currency}")
    if answer.parts:
        words.append(f"parts {answer.parts}")
    words += [f"{channel} {status}" for channel, status in answer.channels]
    return ", ".join(words)
