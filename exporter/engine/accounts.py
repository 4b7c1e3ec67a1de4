"""What each account may send and when, and which of its messages this process holds."""

from __future__ import annotations

from asyncio import Event
from dataclasses import dataclass, field

from exporter.domain.limiter import AccountLimiter
from exporter.engine.poll_queue import PollQueue
from exporter.engine.request_history import RequestHistory
from exporter.engine.webhook_coverage import WebhookCoverage


@dataclass(slots=True)
class AccountState:
    """One account's limiter and poll queue; both outlive a reload."""

    name: str
    id: int
    queue: PollQueue
    limiter: AccountLimiter
    history: RequestHistory
    """The latest requests and their outcomes."""
    currency: str = ""
    webhook_coverage: WebhookCoverage = field(default_factory=WebhookCoverage)
    """Whether webhooks bring its final statuses."""
    unknown_words: set[str] = field(default_factory=set)
    """Unknown words for a status; the first few, each logged once."""

    @property
    def wakeup(self) -> Event:
        """See `PollQueue`."""
        return self.queue.wakeup

    def get_wait_us(self, now: int) -> int:
        """How long until a request may go out; 0 for now."""
        return max(self.limiter.get_wait_us(now), self.queue.get_wait_us())

    def configure(self, requests_per_second: float, currency: str) -> None:
        """Apply new settings."""
        self.currency = currency
        self.limiter.configure(requests_per_second)
        self.wakeup.set()
