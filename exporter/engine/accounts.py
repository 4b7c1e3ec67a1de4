"""What each account may send and when, and what of it is due."""

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
    """One account's gate and agenda; both outlive a reload."""

    name: str
    id: int
    currency: str
    agenda: Agenda
    limiter: AccountLimiter
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was added to the agenda, or the gate's hold was lifted."""
    webhook_coverage: WebhookCoverage = field(default_factory=WebhookCoverage)
    """Whether webhooks bring its news."""
    unknown_words: set[str] = field(default_factory=set)
    """Words for a status that nobody told us of; the first few, for the log."""
    history: RequestHistory = field(default_factory=RequestHistory)
    """What came of the latest requests."""
    _resting: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def mark_requested(self, row: int, now: int) -> None:
        """A request about this row goes out: none may follow within the provider's second."""
        self._resting[row] = now + CLOSEST_US
        self._resting.move_to_end(row)
        while next(iter(self._resting.values())) <= now:
            self._resting.popitem(last=False)

    def cooldown_until(self, row: int) -> int:
        """Until when a row is left alone, whatever is planned for it; 0 when it may be asked about."""
        return self._resting.get(row, 0)

    def follow(self, requests_per_second: float, currency: str) -> None:
        """Take new settings."""
        self.currency = currency
        self.limiter.configure(requests_per_second)
        self.wakeup.set()


class Accounts(dict[str, AccountState]):
    """The accounts by name; one that is taken out of the settings stays here, and is asked nothing."""

    def open(
        self, name: str, account_id: int, requests_per_second: float, kept: LimiterState, clock: Clock
    ) -> None:
        """Begin with an account, and with what an earlier run kept of it."""
        now = clock.monotonic()
        limiter = AccountLimiter(requests_per_second, now, kept=kept, wall_now=clock.now())
        self[name] = AccountState(
            name, account_id, "", Agenda(now), limiter, history=RequestHistory(clock.now())
        )

    @property
    def planned(self) -> int:
        """How many entries their agendas have."""
        return sum(len(account.agenda) for account in self.values())

    def schedule(
        self,
        planned: Iterable[Planned],
        campaigns: Mapping[int, CampaignName],
        policies: Mapping[int, Policy],
        clock: Clock,
        not_before_us: int,
    ) -> None:
        """Put pending messages on their accounts' agendas, none of them due before `not_before_us` from now.

        Nothing is due later than its longest interval, or its deadline: a
        stored time may come from a clock that was wrong.
        """
        now = clock.now()
        earliest, to_monotonic_us = now + not_before_us, clock.monotonic() - now
        places: dict[int, tuple[AccountState | None, Priority, int]] = {}
        for row, campaign_id, revision, due_at in planned:
            if campaign_id not in places:
                policy = policies[campaign_id]
                # As far as a plan can reach: see `schedule`.
                latest = now + max(policy.max_interval_us, policy.deadline_us) + policy.first_poll_us
                places[campaign_id] = (self.get(campaigns[campaign_id].account), policy.priority, latest)
            account, priority, latest = places[campaign_id]
            if account is not None:
                look_at = max(min(due_at, latest), earliest)
                account.agenda.add(priority, row, revision, look_at + to_monotonic_us)
        for account, _, _ in places.values():
            if account is not None:
                account.wakeup.set()
