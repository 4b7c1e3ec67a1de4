"""What each account may send and when, and what of it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.agenda import Agenda
from exporter.clock import Clock
from exporter.model import Policy, Priority
from exporter.ratelimit import Gate
from exporter.snapshot import CampaignName
from exporter.store import Planned


@dataclass(slots=True)
class Account:
    """One account's gate and agenda; both outlive a reload."""

    name: str
    id: int
    currency: str
    agenda: Agenda
    gate: Gate
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was added to the agenda, or the gate's hold was lifted."""


class Accounts(dict[str, Account]):
    """The accounts by name."""

    def schedule(
        self,
        planned: Iterable[Planned],
        campaigns: Mapping[int, CampaignName],
        policies: Mapping[int, Policy],
        clock: Clock,
        not_before_us: int,
    ) -> None:
        """Put pending messages on their accounts' agendas, none of them due before `not_before_us` from now.

        Nothing is due later than its longest interval: a stored time may come
        from a clock that was wrong.
        """
        now = clock.now()
        earliest, to_monotonic_us = now + not_before_us, clock.monotonic() - now
        places: dict[int, tuple[Account | None, Priority, int]] = {}
        for row, campaign_id, revision, due_at in planned:
            if campaign_id not in places:
                policy = policies[campaign_id]
                latest = now + policy.max_interval_us + policy.first_poll_us
                places[campaign_id] = (self.get(campaigns[campaign_id].account), policy.priority, latest)
            account, priority, latest = places[campaign_id]
            if account is not None:
                look_at = max(min(due_at, latest), earliest)
                account.agenda.add(priority, row, revision, look_at + to_monotonic_us)
        for account, _, _ in places.values():
            if account is not None:
                account.stirred.set()
