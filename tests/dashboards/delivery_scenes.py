"""Scenes of the alerts about messages that don't arrive in time."""

from __future__ import annotations

from tests.dashboards.scenes import TARGET, Scene, Series, at, every, of_campaign

_LABELS = {"job": "smsbat", "account": "main", "campaign": "fires"}
_ONE = "account=main&var-campaign=fires"


def _judged(campaign: str, judged: str, missed: str, objective: float = 0.95, minutes: int = 300) -> Series:
    return every(
        of_campaign("smsbat_slo_messages_total", campaign, judged),
        of_campaign("smsbat_slo_missed_total", campaign, missed),
        {f'smsbat_slo_objective_ratio{{{TARGET},campaign="{campaign}"}}': f"{objective}x{minutes}"},
    )


RATE_LOW = Scene(
    "SmsbatDeliveryRateLow",
    "campaign",
    every(
        _judged("fires", "0+10x120", "0+2x60 120x60"),
        # 5.1 % of 2,940 is more than 5 %, but may be chance.
        _judged("just-below", "0+98x120", "0+5x120"),
        # All of 4 missed.
        _judged("few", "0x30 0+1x4 4x90", "0x30 0+1x4 4x90"),
        _judged("restarts", "10000+10x30 0+10x90", "5000+0.2x30 0+0.2x90"),
        # A third of few messages.
        _judged("one-of-three", "0x30 0+1x3 3x90", "0x30 0+1x1 1x90", 0.90),
        # What the other alerts must miss is seen here: an objective of 1 allows nothing.
        _judged("perfect", "0+10x120", "0+2x60 120x60", 1.0),
    ),
    dict((at(45, "fires", "perfect"), at(115))),
    _LABELS,
)
RATE_LOW_TEXT = Scene(
    "SmsbatDeliveryRateLow",
    "campaign",
    _judged("fires", "0+10x60", "0+2x60"),
    dict((at(45, "fires"),)),
    _LABELS | {"severity": "critical"},
    text=(
        "fires: too few messages arrive in time",
        (
            "In the last 30m 20% of 300 messages of campaign fires (account main) missed their deadline; "
            "the objective is 95% in time, and chance can't explain it. "
            "First step: see on the dashboard whether all campaigns or channels are hit."
        ),
        f"/d/smsbat-delivery?var-job=smsbat&var-{_ONE}",
    ),
)

RATE_DROPPED = Scene(
    "SmsbatDeliveryRateDropped",
    "campaign",
    every(
        _judged("fires", "0+20x240", "0+0.6x120 75+3x40 195+0.6x80", 0.5),
        # Twice the normal 3 % of 300 messages is a little more than 3 standard deviations.
        _judged("just-below", "0+20x240", "0+0.6x120 73.3+1.3x120", 0.5),
        _judged("few", "0+1x240", "0x120 0+0.25x40 10x80", 0.5),
        _judged("restarts", "10000+20x140 0+20x100", "5000+0.6x140 0+0.6x100", 0.5),
        # 20 good messages are no past to have a normal from.
        _judged("new", "_x128 0+3x100", "_x128 0x6 0+1x94", 0.5),
    ),
    dict((at(150, "fires"), at(200))),
    _LABELS | {"severity": "critical"},
    text=(
        "fires: delivery dropped against its own normal",
        (
            "In the last 15m 15% of 300 messages of campaign fires (account main) missed their deadline; "
            "in the day before it was 4.333%. First step: see on the dashboard what changed, and when."
        ),
        f"/d/smsbat-delivery?var-job=smsbat&var-{_ONE}",
    ),
)

BURN_FAST = Scene(
    "SmsbatDeliveryBudgetBurn",
    "campaign",
    every(
        # 6 times 5 % is 30 %.
        _judged("fires", "0+10x120", "0+4x70 280x50"),
        _judged("just-below", "0+10x120", "0+2.8x120"),
        # 0.12 a minute are 7 an hour.
        _judged("few", "0+0.2x120", "0+0.12x120"),
        _judged("restarts", "10000+10x30 0+10x90", "5000+0.2x30 0+0.2x90"),
        # Every class of objectives has factors that can be reached: 14.4, 2 and 1 times.
        _judged("fires-strict", "0+10x120", "0+2x70 140x50", 0.99),
        _judged("below-strict", "0+10x120", "0+1.3x120", 0.99),
        _judged("fires-loose", "0+10x120", "0+4.5x70 315x50", 0.80),
        _judged("below-loose", "0+10x120", "0+3.5x120", 0.80),
        _judged("fires-lax", "0+10x120", "0+5.5x70 385x50", 0.50),
        _judged("fires-perfect", "0+10x120", "0+0.5x70 35x50", 1.0),
        # Below 0.4 no pace is fast: the objective itself is what is watched.
        _judged("careless", "0+10x120", "0+9x120", 0.30),
    ),
    dict((at(65, "fires", "fires-strict", "fires-loose", "fires-lax", "fires-perfect"), at(100))),
    _LABELS,
    matcher=',pace="fast"',
)
BURN_MEDIUM = Scene(
    "SmsbatDeliveryBudgetBurn",
    "campaign",
    every(
        # 3 times 5 % is 15 %.
        _judged("fires", "0+50x60", "0+10x24 240x36"),
        _judged("just-below", "0+50x60", "0+7x60"),
        _judged("few", "0+0.4x60", "0+0.2x60"),
        _judged("restarts", "10000+50x20 0+50x40", "5000+1x20 0+1x40"),
    ),
    dict((at(110, "fires"), at(190))),
    _LABELS,
    matcher=',pace="medium"',
    interval="5m",
)
BURN_SLOW = Scene(
    "SmsbatDeliveryBudgetBurn",
    "campaign",
    every(
        # Once 5 % is 5 %.
        _judged("fires", "0+50x60", "0+3.5x24 84x36"),
        _judged("just-below", "0+50x60", "0+2.3x60"),
        _judged("few", "0+0.1x60", "0+0.05x60"),
        _judged("restarts", "10000+50x20 0+50x40", "5000+1x20 0+1x40"),
    ),
    dict((at(115, "fires"), at(220))),
    _LABELS | {"severity": "warning", "pace": "slow"},
    matcher=',pace="slow"',
    interval="5m",
    text=(
        "fires: the error budget burns too fast",
        (
            "In the last 3d 7% of 600 messages of campaign fires (account main) missed their deadline, "
            "and in the last 6h 7%; the objective is 95% in time. "
            "First step: see on the dashboard since when."
        ),
        f"/d/smsbat-delivery?var-job=smsbat&var-{_ONE}",
    ),
)


def _waiting(campaign: str, oldest: str, accepted: str, answered: str) -> Series:
    """With a deadline of 5 minutes; what is not answered expires, which is no answer."""
    return every(
        {f'smsbat_slo_deadline_seconds{{{TARGET},campaign="{campaign}"}}': "300x200"},
        of_campaign("smsbat_oldest_pending_timestamp_seconds", campaign, oldest),
        of_campaign("smsbat_messages_tracked_total", campaign, accepted, ',source="drop"'),
        of_campaign("smsbat_messages_finished_total", campaign, answered, ',status="delivered"'),
        of_campaign("smsbat_messages_finished_total", campaign, "0+0.4x120", ',status="expired"'),
    )


STUCK = Scene(
    "SmsbatMessagesStuck",
    "campaign",
    every(
        _waiting("fires", "0x70 stale", "0+1x120", "0+0.2x120"),
        _waiting("just-below", "0x120", "0+1x120", "0+0.55x120"),
        _waiting("few", "0x120", "0+0.1x120", "0x120"),
        _waiting("restarts", "0x120", "10000+1x30 0+1x90", "10+0.9x30 0+0.9x90"),
        # As a campaign just sent: nothing is answered, but nothing is late.
        _waiting("young", "-300+60x120", "0+1x120", "0+0.2x120"),
    ),
    dict((at(60, "fires"), at(90))),
    _LABELS | {"severity": "warning"},
    text=(
        "fires: messages hang",
        (
            "The oldest pending message of campaign fires (account main) waits for 12.0 deadlines, "
            "and 80% of what was accepted in the last 6h has no final status. "
            "First step: ask the provider about one of them with check-message."
        ),
        f"/d/smsbat-delivery?var-job=smsbat&var-{_ONE}",
    ),
)


def _seen(campaign: str, unobserved: str, judged: str) -> Series:
    return every(
        of_campaign("smsbat_slo_unobserved_total", campaign, unobserved),
        of_campaign("smsbat_slo_messages_total", campaign, judged),
    )


UNOBSERVED = Scene(
    "SmsbatMessagesUnobserved",
    "campaign",
    every(
        _seen("fires", "0+1x70 70x80", "0+9x150"),
        _seen("just-below", "0+0.4x150", "0+9.6x150"),
        _seen("few", "0+0.25x150", "0x150"),
        _seen("restarts", "100x30 0x120", "0+10x30 0+10x120"),
    ),
    dict((at(65, "fires"), at(130))),
    _LABELS | {"severity": "warning"},
    text=(
        "fires: messages are not looked at in time",
        (
            "In the last 1h nobody could look at 10% of the messages of campaign fires (account main) "
            "by their deadline: 60 messages are in no delivery rate. "
            "First step: see whether the provider was down or the request rate is too small."
        ),
        f"/d/smsbat-exporter?var-job=smsbat&var-{_ONE}",
    ),
)


DELIVERY = (
    RATE_LOW,
    RATE_LOW_TEXT,
    RATE_DROPPED,
    BURN_FAST,
    BURN_MEDIUM,
    BURN_SLOW,
    STUCK,
    UNOBSERVED,
)
