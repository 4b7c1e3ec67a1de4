"""What happens to a message, and when: a pure function of its draws and its scenario.

A timeline is fixed by a few random numbers hashed from (seed, index), so a
million messages need no timer and no record; the status of one is found by
comparing times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from math import exp
from statistics import NormalDist
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

from exporter.domain.model import SECOND_US, Status
from exporter.simulator.identifiers import derive_key
from exporter.simulator.scenarios import Effects

NEVER_AT = 1 << 62
"""The instant of what doesn't happen."""
HANG_SHARE = 0.005
"""Messages that never get a final status, even when everything works."""
VIBER_STALL_SHARE = 0.3
"""Viber attempts of an outage that neither succeed nor fail."""
VIBER_OUTAGE_WAIT_FACTOR = 3
"""How much longer than usual Viber takes to fail in an outage."""
_PERMANENT_SHARE = 0.2
_TWO_PARTS_ABOVE = 0.75
_THREE_PARTS_ABOVE = 0.95
_STANDARD_NORMAL = NormalDist()


class TrafficKind(StrEnum):
    """The three kinds of traffic that live side by side."""

    OTP = "otp"
    ORDER = "order"
    CAMPAIGN = "campaign"


class Draws(NamedTuple):
    """The random numbers of one message, each in 0 < x < 1."""

    channel: float
    lead: float
    viber: float
    falls_back: float
    wait: float
    stall: float
    sms: float
    end: float
    permanent: float
    parts: float
    price: float


_RAW_DRAWS = Struct(f"<{len(Draws._fields)}I")


def draw(seed: int, index: int) -> Draws:
    """Return the random numbers of message number `index`; the same ones each time."""
    digest = blake2b(index.to_bytes(8, "little"), key=derive_key(seed), digest_size=_RAW_DRAWS.size).digest()
    # Half a step up: a draw of exactly 0 has no logarithm.
    return Draws._make([(raw + 0.5) / 4294967296 for raw in _RAW_DRAWS.unpack(digest)])


class Latency(NamedTuple):
    """A lognormal time to delivery."""

    median_seconds: float
    sigma: float

    def quantile_us(self, u: float) -> int:
        """Return the quantile `u` in microseconds."""
        return int(self.median_seconds * exp(self.sigma * _STANDARD_NORMAL.inv_cdf(u)) * SECOND_US)


class Tariff(NamedTuple):
    """What one part costs; the bill may be in another currency than the rate."""

    rate_currency: str
    """Empty: the answer has nothing but `cost`, in the account's currency."""
    lowest: int
    highest: int
    """Both in ten-thousandths of a currency unit."""
    bill_currency: str = ""
    bill_per_rate: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """How one kind of traffic travels."""

    lead_seconds: tuple[float, float]
    """Time in `scheduled`, least and most."""
    viber_share: float
    """Messages that try Viber first; the others are plain SMS."""
    viber: Latency
    viber_wait_seconds: tuple[float, float]
    """How long to wait for Viber, least and most."""
    has_fallback: bool
    """Whether SMS follows when Viber fails."""
    falls_back_share: float
    sms: Latency
    failed_share: float
    """Messages that nothing delivers."""
    tariffs: tuple[Tariff, Tariff]
    first_tariff_share: float


_OTP_TARIFF = Tariff("UAH", 6200, 9800, "UAH")
ROUTES: Mapping[TrafficKind, Route] = MappingProxyType(
    {
        TrafficKind.OTP: Route(
            lead_seconds=(0.1, 0.8),
            viber_share=0.35,
            viber=Latency(3.5, 0.5),
            viber_wait_seconds=(10, 20),
            has_fallback=True,
            falls_back_share=0.04,
            sms=Latency(3.5, 0.6),
            failed_share=0.02,
            tariffs=(_OTP_TARIFF, _OTP_TARIFF),
            first_tariff_share=1,
        ),
        TrafficKind.ORDER: Route(
            lead_seconds=(0.3, 3),
            viber_share=1,
            viber=Latency(25, 0.7),
            viber_wait_seconds=(60, 120),
            has_fallback=True,
            falls_back_share=0.18,
            sms=Latency(8, 0.7),
            failed_share=0.025,
            tariffs=(Tariff("EUR", 80, 320, "UAH", 45), Tariff("EUR", 80, 320, "EUR")),
            first_tariff_share=0.6,
        ),
        # Half Viber billed in USD, half plain SMS with nothing but a cost: one draw decides both.
        TrafficKind.CAMPAIGN: Route(
            lead_seconds=(5, 90),
            viber_share=0.5,
            viber=Latency(480, 0.8),
            viber_wait_seconds=(900, 2400),
            has_fallback=False,
            falls_back_share=0,
            sms=Latency(600, 0.7),
            failed_share=0.04,
            tariffs=(Tariff("USD", 90, 150, "USD"), Tariff("", 3500, 6000)),
            first_tariff_share=0.5,
        ),
    }
)


class Timeline(NamedTuple):
    """All that happens to one message."""

    processing_at: int
    fallback_at: int
    """When SMS took over from Viber; NEVER_AT when it doesn't."""
    final_at: int
    """NEVER_AT for a message that hangs."""
    final: Status
    viber_first: bool
    has_fallback: bool
    parts: int
    tariff: Tariff
    rate_nanos: int
    """Price of one part in the rate's currency."""

    def status_at(self, now: int) -> Status:
        """Return the status at `now`."""
        if now >= self.final_at:
            return self.final
        return Status.PROCESSING if now >= self.processing_at else Status.SCHEDULED

    def fallbacks_at(self, now: int) -> tuple[tuple[str, str], ...]:
        """Return (type, status) of each configured fallback at `now`."""
        if not self.has_fallback:
            return ()
        return (("sms", self.status_at(now).word if now >= self.fallback_at else "not_used"),)

    def channels_at(self, now: int) -> tuple[tuple[str, str], ...]:
        """Return (channel, status) of each channel at `now`; empty for plain SMS."""
        if not self.viber_first:
            return ()
        given_up = now >= self.fallback_at
        viber = Status.UNDELIVERABLE if given_up else self.status_at(now)
        return (("viber", viber.word), *self.fallbacks_at(now))

    def postpone(self, by_us: int, *, from_fallback: bool) -> Timeline:
        """Return the same timeline with its end so much later, and its fallback too if asked to."""
        return self._replace(
            fallback_at=self.fallback_at + by_us if from_fallback else self.fallback_at,
            final_at=self.final_at if self.final_at == NEVER_AT else self.final_at + by_us,
        )

    @property
    def rate_amount_nanos(self) -> int:
        """The price of the message in the rate's currency, once it has ended; 0 when not delivered."""
        return self.rate_nanos * self.parts if self.final is Status.DELIVERED else 0

    @property
    def bill_nanos(self) -> int:
        """The price of the message in the bill's currency, once it has ended."""
        return self.rate_amount_nanos * self.tariff.bill_per_rate


def _interpolate_us(bounds: tuple[float, float], u: float) -> int:
    return int((bounds[0] + (bounds[1] - bounds[0]) * u) * SECOND_US)


def plan_timeline(kind: TrafficKind, draws: Draws, effects: Effects, sent_at: int) -> Timeline:
    """Return the timeline of a message sent at `sent_at` while `effects` hold."""
    route = ROUTES[kind]
    viber_first = draws.channel < route.viber_share
    outage = viber_first and not effects.viber_works
    processing_at = sent_at + _interpolate_us(route.lead_seconds, draws.lead)
    sms_us = route.sms.quantile_us(draws.sms) * effects.sms_delay_factor
    failed = draws.end < HANG_SHARE + route.failed_share
    fallback_at = NEVER_AT
    if not viber_first:
        final_at = processing_at + sms_us
    elif failed or outage or draws.falls_back < route.falls_back_share:
        wait_us = _interpolate_us(route.viber_wait_seconds, draws.wait)
        final_at = processing_at + wait_us * (VIBER_OUTAGE_WAIT_FACTOR if outage else 1)
        if route.has_fallback:
            fallback_at = final_at
            final_at += sms_us
        else:
            failed = True
    else:
        final_at = processing_at + route.viber.quantile_us(draws.viber)
    if outage and draws.stall < VIBER_STALL_SHARE:
        fallback_at = final_at = NEVER_AT
    if effects.hangs or draws.end < HANG_SHARE:
        final_at = NEVER_AT
    tariff = route.tariffs[draws.channel >= route.first_tariff_share]
    tenthousandths = tariff.lowest + int((tariff.highest - tariff.lowest) * draws.price)
    return Timeline(
        processing_at,
        fallback_at,
        final_at,
        _pick_final_status(draws, failed=failed),
        viber_first,
        viber_first and route.has_fallback,
        1 + (draws.parts > _TWO_PARTS_ABOVE) + (draws.parts > _THREE_PARTS_ABOVE),
        tariff,
        tenthousandths * 100_000 * effects.cost_factor,
    )


def _pick_final_status(draws: Draws, *, failed: bool) -> Status:
    if not failed:
        return Status.DELIVERED
    return Status.PERMANENTERROR if draws.permanent < _PERMANENT_SHARE else Status.UNDELIVERABLE
