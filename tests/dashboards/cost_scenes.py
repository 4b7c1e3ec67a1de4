"""Scenes of the alerts about fallbacks and money."""

from __future__ import annotations

from tests.dashboards.scenes import Scene, Series, at, every, of_campaign

_LABELS = {"job": "smsbat", "account": "main", "campaign": "fires"}
_ONE = "account=main&var-campaign=fires"


def _fell_back(campaign: str, used: str, finished: str) -> Series:
    return every(
        of_campaign("smsbat_fallbacks_total", campaign, used, ',type="sms",status="delivered"'),
        of_campaign("smsbat_fallbacks_total", campaign, "0+6x1700", ',type="sms",status="not_used"'),
        of_campaign("smsbat_messages_finished_total", campaign, finished, ',status="delivered"'),
    )


FALLBACK_HIGH = Scene(
    "SmsbatFallbackHigh",
    "campaign",
    every(
        _fell_back("fires", "0+4x70 280x50", "0+10x120"),
        _fell_back("just-below", "0+2.9x120", "0+10x120"),
        _fell_back("few", "0+0.3x120", "0+0.4x120"),
        _fell_back("restarts", "5000+1x30 0+1x90", "10000+10x30 0+10x90"),
    ),
    dict((at(65, "fires"), at(115))),
    _LABELS | {"severity": "warning"},
    text=(
        "fires: many messages need a fallback",
        (
            "In the last 1h there were 40% as many used fallbacks as finished messages (600) "
            "of campaign fires (account main). The first channel fails, and the fallback may cost more. "
            "First step: see on the dashboard which channel delivers less."
        ),
        f"/d/smsbat-cost?var-job=smsbat&var-{_ONE}",
    ),
)
FALLBACK_AS_EVER = Scene(
    "SmsbatFallbackHigh",
    "campaign",
    every(
        # From 40 % the day before: 40 % again is no news, 80 % is.
        _fell_back("as-ever", "0+20x320", "0+50x320"),
        _fell_back("fires", "0+20x288 5780+40x32", "0+50x320"),
    ),
    dict((at(1580, "fires"),)),
    _LABELS,
    interval="5m",
)


def _paid(campaign: str, cost: str, finished: str) -> Series:
    return every(
        of_campaign("smsbat_cost_total", campaign, cost, ',currency="UAH"'),
        of_campaign("smsbat_messages_finished_total", campaign, finished, ',status="delivered"'),
    )


SPEND_HIGH = Scene(
    "SmsbatSpendHigh",
    "campaign",
    every(
        _paid("fires", "0+1x120 125+5x60 425+1x80", "0+10x260"),
        _paid("just-below", "0+1x120 121.8+1.8x140", "0+10x260"),
        _paid("few", "0+1x120 125+5x140", "0+0.2x260"),
        _paid("restarts", "10000+1x150 0+1x110", "0+10x150 0+10x110"),
        # A first campaign has no dearest hour.
        _paid("new", "_x125 0+50x130", "_x125 0+10x130"),
        # In its second hour a campaign can only be compared with a part of its first.
        _paid("young", "_x70 0+1x30 35+5x160", "_x70 0+10x190"),
    ),
    dict((at(175, "fires"), at(240))),
    _LABELS | {"severity": "warning", "currency": "UAH"},
    text=(
        "fires: an hour costs far more than usual",
        (
            "In the last 1h campaign fires (account main) cost 280.00 UAH for 600 finished messages: "
            "more than 2 times its dearest hour of the week before. "
            "First step: see whether the number of messages rose, or the price of one."
        ),
        f"/d/smsbat-cost?var-job=smsbat&var-{_ONE}",
    ),
)

COST = (
    FALLBACK_HIGH,
    FALLBACK_AS_EVER,
    SPEND_HIGH,
)
