"""What each account may send and when, and which of its messages are due."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.domain.limiter import AccountLimiter, LimiterState
from exporter.domain.model import Policy, Priority
from exporter.domain.schedule import CLOSEST_US
from exporter.domain.snapshot import CampaignName
from exporter.engine.agenda import Agenda
from exporter.engine.request_history import RequestHistory
from exporter.engine.webhook_coverage import WebhookCoverage
from exporter.runtime.clock import Clock
from exporter.store import Planned


@dataclass(slots=True)
class AccountState:
    """One account's limiter and agenda; both outlive a reload."""

    name: str
    id: int
    currency: str
    agenda: Agenda
    limiter: AccountLimiter
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was added to the agenda, or the limiter may allow a request earlier."""
    webhook_coverage: WebhookCoverage = field(default_factory=WebhookCoverage)
    """Whether webhooks bring its final statuses."""
    unknown_words: set[str] = field(default_factory=set)
    """Unknown words for a status; the first few, each logged once."""
    history: RequestHistory = field(default_factory=RequestHistory)
    """The latest requests and their outcomes."""
    _cooldowns: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def mark_requested(self, row: int, now: int) -> None:
        """Note that this row is polled now: the next poll may follow after the provider's second."""
        self._cooldowns[row] = now + CLOSEST_US
        self._cooldowns.move_to_end(row)
        while next(iter(self._cooldowns.values())) <= now:
            self._cooldowns.popitem(last=False)

    def cooldown_until(self, row: int) -> int:
        """Until when a row must not be polled, whatever is planned; 0 when it may be."""
        return self._cooldowns.get(row, 0)

    def configure(self, requests_per_second: float, currency: str) -> None:
        """Apply new settings."""
        self.currency = currency
        self.limiter.configure(requests_per_second)
        self.wakeup.set()


class Accounts(dict[str, AccountState]):
    """The accounts by name; one that is removed from the settings stays here, but is not polled."""

    def open_account(
        self, name: str, account_id: int, requests_per_second: float, saved: LimiterState, clock: Clock
    ) -> None:
        """Add an account, with what an earlier run saved of it."""
        now = clock.monotonic()
        limiter = AccountLimiter(requests_per_second, now, saved=saved, wall_now=clock.now())
        self[name] = AccountState(
            name, account_id, "", Agenda(now), limiter, history=RequestHistory(clock.now())
        )

    @property
    def scheduled_count(self) -> int:
        """How many entries the agendas have in all."""
        return sum(len(account.agenda) for account in self.values())

    def schedule(
        self,
        planned: Iterable[Planned],
        campaigns: Mapping[int, CampaignName],
        policies: Mapping[int, Policy],
        clock: Clock,
        not_before_us: int,
    ) -> None:
        """Put pending messages on their accounts' agendas, not due before `not_before_us` from now.

        None is due later than its longest interval or its deadline allows: a
        stored time may come from a clock that was wrong.
        """
        now = clock.now()
        earliest, to_monotonic_us = now + not_before_us, clock.monotonic() - now
        places: dict[int, tuple[AccountState | None, Priority, int]] = {}
        for row, campaign_id, revision, due_at in planned:
            if campaign_id not in places:
                policy = policies[campaign_id]
                # The latest time that a plan can have: see `schedule`.
                latest = now + max(policy.max_interval_us, policy.deadline_us) + policy.first_poll_us
                places[campaign_id] = (self.get(campaigns[campaign_id].account), policy.priority, latest)
            account, priority, latest = places[campaign_id]
            if account is not None:
                poll_at = max(min(due_at, latest), earliest)
                account.agenda.add(priority, row, revision, poll_at + to_monotonic_us)
        for account, _, _ in places.values():
            if account is not None:
                account.wakeup.set()
