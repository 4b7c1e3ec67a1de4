"""Whether webhooks bring an account's ends: the webhook_coverage on which polling steps back to a safety net.

Only ends that the provider's own answer bore out are webhook_coverage. What is old
fades, so that webhooks which cease are noticed, and those which lose too much
don't keep polling back: what they lose would be known at the deadline only.
"""

from __future__ import annotations

from math import exp

from exporter.domain.model import SECOND_US

LIFE_US = 600 * SECOND_US
"""Without a final status that a webhook brought first for this long, webhooks are not relied on."""
RELIABLE_SHARE = 0.75
"""Of the latest ends, what webhooks must have told first."""


class WebhookCoverage:
    """Who told an account's latest ends first; instants come in, and may be any clock's."""

    def __init__(self) -> None:
        """There is none."""
        self._foretold = 0.0
        self._missed = 0.0
        self._counted_at = 0
        self._foretold_at = -LIFE_US

    def end(self, at: int, *, webhook_first: bool) -> None:
        """The provider's answer told an end; `webhook_first`: a webhook had told the same before."""
        kept = exp(-max(0, at - self._counted_at) / LIFE_US)
        self._counted_at = at
        self._foretold = self._foretold * kept + webhook_first
        self._missed = self._missed * kept + (not webhook_first)
        if webhook_first:
            self._foretold_at = at

    def webhooks_reliable(self, at: int) -> bool:
        """Whether polling may leave most of the news to webhooks."""
        lately = at - self._foretold_at < LIFE_US
        return lately and self._foretold >= RELIABLE_SHARE * (self._foretold + self._missed)
