"""Polls the provider for a person who waits: is the key valid, what is the status of some messages.

Each failure gets a sentence with a code, and a hint about what to do. Nothing is
tracked, and nothing is kept from one run to the next, so each run starts with the
pause that the provider requires between two requests for one message: the run
before may have polled the same one.
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
from exporter.runtime.errors import Code, find_error_code
from exporter.workers import build_client

NEVER_SENT = ("smsbat-exporter-check", "smsbat-exporter-check-without-key")
"""Ids that no message has: a valid key gets 404 for them, an invalid one 401."""
LONGEST_WAIT_US = 60 * SECOND_US
"""A longer pause ends the check."""
TRIES = 3
"""How often a message is polled when the provider answers 429."""
MOST_FAILURES = 5
"""In a row: then the other ids are not tried."""
_ENDS_CHECK = frozenset({Outcome.RATE_LIMITED, Outcome.UNAUTHORIZED})

_MEANINGS: Mapping[Code, tuple[str, str]] = MappingProxyType(
    {
        Code.MESSAGE_UNKNOWN: (
            "the provider knows no such message",
            "an id is the messageId that the provider returned to this account; try another --account",
        ),
        Code.KEY_REFUSED: (
            "the provider refuses the key",
            "compare the key with the one from the provider, and auth.method with what was agreed",
        ),
        Code.CONFIG_KEY_FILE: (
            "the key can't be used",
            "check auth in the configuration, and whether this user may read the file named there",
        ),
        Code.RATE_LIMITED: (
            "the account's rate is used up",
            "a running exporter uses it too: wait a minute, or lower requests_per_second to what was agreed",
        ),
        Code.REQUEST_REFUSED: (
            "the provider refuses the request",
            "compare base_url with the one from the provider",
        ),
        Code.PROVIDER_FAILS: (
            "the provider fails",
            "there is nothing to fix here: try again later, or report it to the provider",
        ),
        Code.TIMED_OUT: (
            "the answer takes too long",
            "try again; if it happens every time, is there a firewall, or is timeout too short?",
        ),
        Code.UNREACHABLE: ("no connection", "is base_url right, and may this machine connect to it?"),
        Code.NAME_UNRESOLVED: (
            "the name does not resolve",
            "is base_url right, and does this machine's DNS work?",
        ),
        Code.TLS: (
            "the connection can't be trusted",
            "is base_url right? write the file of a private certificate authority into ca_file",
        ),
        Code.REDIRECTED: (
            "the answer is a redirect, which is never followed",
            "write the address of the API itself into base_url",
        ),
        Code.STRANGE_ANSWER: (
            "the answer is not one of the provider's",
            "is base_url right, and is there a proxy in between?",
        ),
        Code.ANSWERS_ANYBODY: (
            "can't tell whether the key is valid: same answer with and without it",
            "is base_url right? try: smsbat-exporter check-message with the id of a message that was sent",
        ),
    }
)
_STATUS = re.compile("status=([0-9]{3})")
_EXCEPTION = re.compile("[A-Za-z]+(Error|Exception|Disconnected)|gaierror")
_ERROR_WORDS = MappingProxyType(
    {
        "ConnectionRefusedError": "connection refused",
        "ConnectionResetError": "connection reset",
        "ConnectionLostError": "connection closed",
        "ServerDisconnectedError": "connection closed",
    }
)


class Finding(NamedTuple):
    """What is wrong, for people."""

    message: str
    code: Code
    hint: str


def diagnose(reply: Reply, account: Account) -> Finding | None:
    """Say what is wrong with a reply; None when there is an answer."""
    code = find_error_code(reply.outcome, reply.detail)
    return None if code is None else _make_finding(code, reply, account)


async def check_key(account: Account, clock: Clock) -> Finding | None:
    """Poll a message that was never sent, with the key and without; None when the key works."""
    await clock.sleep(CLOSEST_US)
    async with build_client(account, clock) as client:
        reply = await client.fetch(NEVER_SENT[0])
    if reply.outcome is not Outcome.NOT_FOUND:
        return diagnose(reply, account)
    # A server at a wrong address has no such message either, and accepts any key.
    await clock.sleep(round(SECOND_US / account.requests_per_second))
    async with build_client(account, clock, anonymous=True) as client:
        never_sent = await client.fetch(NEVER_SENT[1])
    if never_sent.outcome is not Outcome.NOT_FOUND:
        return None
    return _make_finding(Code.ANSWERS_ANYBODY, reply, account)


def _make_finding(code: Code, reply: Reply, account: Account) -> Finding:
    sentence, hint = _MEANINGS[code]
    return Finding(f"{sentence} ({_describe_evidence(reply, account)})", code, hint)


def _describe_evidence(reply: Reply, account: Account) -> str:
    """Say which address was asked, and in a few words what happened: the HTTP status, or the error."""
    status = _STATUS.match(reply.detail)
    short = f"HTTP {status[1]}" if status else _describe_error(reply.detail.rsplit(": ", 1)[-1])
    if reply.outcome is Outcome.TIMEOUT:
        short = f"nothing within {account.timeout / SECOND_US:g} s"
    return f"{account.base_url}: {short}" if short else account.base_url


class ProviderCheck:
    """Polls messages of one account, one after the other, as fast as its rate allows."""

    def __init__(self, account: Account, clock: Clock, on_pause: Callable[[int], None]) -> None:
        """`on_pause` is called with each pause that the provider asks for, in microseconds."""
        self._account = account
        self._clock = clock
        self._on_pause = on_pause
        self._limiter = AccountLimiter(account.requests_per_second, clock.monotonic())

    async def fetch_replies(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Reply]]:
        """Yield the reply for each id; ends early when further requests would fail too."""
        await self._clock.sleep(CLOSEST_US)
        failures = 0
        async with build_client(self._account, self._clock) as client:
            for row, message_id in enumerate(ids):
                reply = await self._fetch(client, row, message_id)
                yield message_id, reply
                failures = 0 if reply.outcome in USABLE else failures + 1
                if reply.outcome in _ENDS_CHECK or failures == MOST_FAILURES:
                    return

    async def _fetch(self, client: Client, row: int, message_id: str) -> Reply:
        """Poll once, and again after a pause that the provider asks for, unless that is long."""
        tries = 0
        while True:
            await self._clock.sleep(self._limiter.get_wait_us(self._clock.monotonic()))
            sent_at = self._clock.monotonic()
            self._limiter.record_sent(sent_at)
            reply = await client.fetch(message_id)
            now = self._clock.monotonic()
            self._limiter.record_outcome(now, sent_at, row, reply.outcome, reply.retry_after_us)
            tries += 1
            pause_us = max(CLOSEST_US, self._limiter.get_wait_us(now))
            if reply.outcome is not Outcome.RATE_LIMITED or tries == TRIES or pause_us > LONGEST_WAIT_US:
                return reply
            self._on_pause(pause_us)
            await self._clock.sleep(pause_us)


def _describe_error(name: str) -> str:
    """Replace the name of an exception by words; one without says no more than the sentence before it."""
    return _ERROR_WORDS.get(name, "" if _EXCEPTION.fullmatch(name) else name)


def describe(reply: Reply, currency: str) -> str:
    """Describe the provider's answer about a message; empty when there is none."""
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
