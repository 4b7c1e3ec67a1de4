"""Whether webhooks bring an account's final statuses, so that polling can be a safety net only.

Only final statuses that a poll confirmed count. Old ones fade, so that a stop of
the webhooks is noticed. When webhooks miss too many, polling returns to normal:
a missed one would be seen at the deadline only.
"""

from __future__ import annotations

from math import exp

from exporter.domain.model import SECOND_US

LIFE_US = 600 * SECOND_US
"""When no webhook has been first for this long, webhooks are not reliable."""
RELIABLE_SHARE = 0.75
"""The share of the latest final statuses that webhooks must have brought first."""


class WebhookCoverage:
    """What brought an account's latest final statuses first; `at` may be of any clock."""

    def __init__(self) -> None:
        self._webhook_first = 0.0
        self._missed = 0.0
        self._counted_at = 0
        self._webhook_first_at = -LIFE_US

    def record_final(self, at: int, *, webhook_first: bool) -> None:
        """Note that a poll brought a final status; `webhook_first`: a webhook had brought the same before."""
        fading = exp(-max(0, at - self._counted_at) / LIFE_US)
        self._counted_at = at
        self._webhook_first = self._webhook_first * fading + webhook_first
        self._missed = self._missed * fading + (not webhook_first)
        if webhook_first:
            self._webhook_first_at = at

    def webhooks_reliable(self, at: int) -> bool:
        """Whether polling may leave most final statuses to webhooks."""
        lately = at - self._webhook_first_at < LIFE_US
        return lately and self._webhook_first >= RELIABLE_SHARE * (self._webhook_first + self._missed)
