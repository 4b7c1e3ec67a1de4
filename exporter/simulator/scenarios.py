"""What can be made to happen at the provider, as data: the scenarios and what each changes.

A scenario holds for messages sent while it runs and for those still undecided
when it begins. What it did to a message stays done when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from exporter.simulator.faults import FaultKind, FaultOrder


@dataclass(frozen=True, slots=True)
class Effects:
    """What a scenario does to the timelines of messages."""

    viber_works: bool = True
    """Otherwise Viber attempts never end or fail after a long wait."""
    sms_delay_factor: int = 1
    cost_factor: int = 1
    hangs: bool = False
    """Nothing gets beyond `processing`."""

    def combine(self, other: Effects) -> Effects:
        """Return the worse of both in every respect: a later scenario never heals a message."""
        return Effects(
            viber_works=self.viber_works and other.viber_works,
            sms_delay_factor=max(self.sms_delay_factor, other.sms_delay_factor),
            cost_factor=max(self.cost_factor, other.cost_factor),
            hangs=self.hangs or other.hangs,
        )

    def without_viber(self) -> Effects:
        """Return what is left of them for a message that Viber has already given up."""
        return replace(self, viber_works=True)


NORMAL = Effects()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One state of the provider's world."""

    name: str
    summary: str
    effects: Effects = NORMAL
    key_revoked: bool = False
    """Every key and password is answered with 401."""
    fault: FaultOrder | None = None
    """Hits status requests, beside the faults that were ordered."""
    campaign_messages: int = 300
    """How many messages a campaign of the traffic generator has."""
    campaign_every_seconds: int = 1200


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("calm", "everything works; a few per cent are never delivered"),
            Scenario(
                "campaign",
                "large campaigns are sent in bursts",
                campaign_messages=50_000,
                campaign_every_seconds=3600,
            ),
            Scenario(
                "viber-outage",
                "Viber stalls or fails: orders hang or fall back to SMS late",
                Effects(viber_works=False),
            ),
            Scenario("slow-sms", "SMS takes 20 times as long", Effects(sms_delay_factor=20)),
            Scenario("key-revoked", "every key and password is refused", key_revoked=True),
            Scenario(
                "failing",
                "six of ten requests end in a server error",
                fault=FaultOrder(FaultKind.STATUS, share=0.6),
            ),
            Scenario("cost-spike", "everything costs ten times as much", Effects(cost_factor=10)),
            Scenario("hanging", "no message gets beyond processing", Effects(hangs=True)),
        )
    }
)
"""By name, in the order in which they are listed."""
