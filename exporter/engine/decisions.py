"""What an event does to a message, and when to look at it next: the pure rules, given what they depend on.

Runs in the store's thread, inside its transaction: it only reads what the event
loop replaces as a whole, or single numbers for which either value will do.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from exporter.domain import lifecycle, schedule
from exporter.domain.events import Event, Observed, PollFailed, Step, Tick
from exporter.domain.model import Message, Via
from exporter.engine.accounts import AccountState
from exporter.engine.agenda import next_revision
from exporter.engine.campaigns import Campaigns
from exporter.runtime.clock import Clock


class Decisions:
    """See the module's docstring."""

    def __init__(
        self, campaigns: Campaigns, account_of: Callable[[int], AccountState | None], clock: Clock
    ) -> None:
        """`account_of` tells whose a campaign is; None where the account is no longer in the settings."""
        self._campaigns = campaigns
        self._account_of = account_of
        self._clock = clock

    def decide(self, message: Message, event: Event) -> Step:
        """What an event does, and when to look next."""
        policy = self._campaigns.policies[message.campaign_id]
        account = self._account_of(message.campaign_id)
        step = lifecycle.advance(message, event, policy, account.currency if account else "")
        if not step.message.unsettled:
            return step
        looked = isinstance(event, PollFailed) or (isinstance(event, Observed) and event.via is Via.POLL)
        look_at = schedule.plan(
            message,
            step.message,
            policy,
            event.at,
            random.random(),  # noqa: S311 - jitter
            uptime_us=event.uptime_us,
            looked=looked,
            webhooks_reliable=account is not None and account.webhook_coverage.webhooks_reliable(event.at),
        )
        if look_at is None:
            return step
        return step._replace(
            message=step.message._replace(due_at=look_at, revision=next_revision(message.revision)),
            planned=True,
        )

    def tick(self, message: Message) -> Step:
        """What the passing of time alone does to a message."""
        account = self._account_of(message.campaign_id)
        event = Tick(message.row, self._clock.now(), 0)
        policy = self._campaigns.policies[message.campaign_id]
        return lifecycle.advance(message, event, policy, account.currency if account else "")
