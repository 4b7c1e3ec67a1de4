"""Alerts about campaigns: what arrives in time, what hangs, what nobody saw, fallbacks and money.

A share is believed only with enough messages behind it, and delivery only
where chance can't explain it.
"""

from __future__ import annotations

from tools.dashboards import burn, recording
from tools.dashboards import constants as limits
from tools.dashboards.alert import (
    CAMPAIGN,
    CRITICAL,
    OBJECTIVE,
    PER_CAMPAIGN,
    SHARE,
    WARNING,
    Alert,
    count_of,
    percentage_of,
)


def delivery() -> tuple[Alert, ...]:
    """Alerts about messages that don't arrive in time."""
    return (_rate_low(), _rate_dropped(), *map(_budget_burn, burn.PACES), _stuck(), _unobserved())


def cost() -> tuple[Alert, ...]:
    """Alerts about the way that messages take, and its price."""
    return (_fallback_high(), _spend_high())


def _rate_low() -> Alert:
    window = limits.DELIVERY_WINDOW
    judged = count_of(recording.judged(window))
    return Alert(
        "SmsbatDeliveryRateLow",
        CRITICAL,
        f"{recording.missed_share(window)}\n"
        f"and {recording.LOWER_BOUND} > {recording.FROM_CAMPAIGN} {recording.ALLOWED}\n"
        f"and {recording.missed(window)} >= {limits.DELIVERY_MIN_MISSED}",
        "{{ $labels.campaign }}: too few messages arrive in time",
        f"In the last {window} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline; "
        f"the objective is {OBJECTIVE} in time, and chance can't explain it. "
        "First step: see on the dashboard whether all campaigns or channels are hit.",
        limits.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _rate_dropped() -> Alert:
    window = limits.DROP_WINDOW
    judged, normal = count_of(recording.judged(window)), percentage_of(recording.NORMAL)
    return Alert(
        "SmsbatDeliveryRateDropped",
        CRITICAL,
        f"({recording.missed(window)}\n  / ({recording.judged(window)} > 0))\n"
        f"and {recording.DEVIATION} > {limits.DROP_Z}\n"
        f"and {recording.missed(window)} >= {limits.DROP_MIN_MISSED}\n"
        f"and {recording.JUDGED_BEFORE} >= {limits.DROP_MIN_HISTORY}",
        "{{ $labels.campaign }}: delivery dropped against its own normal",
        f"In the last {window} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline; "
        f"in the day before it was {normal}. "
        "First step: see on the dashboard what changed, and when.",
        limits.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _budget_burn(pace: burn.Pace) -> Alert:
    too_fast = f"> {recording.FROM_CAMPAIGN} {recording.burn_threshold(pace)}"
    judged = count_of(recording.judged(pace.long))
    lately = percentage_of(recording.missed_share(pace.short))
    return Alert(
        "SmsbatDeliveryBudgetBurn",
        pace.severity,
        f"{recording.missed_share(pace.long)} {too_fast}\n"
        f"and {recording.missed_share(pace.short)} {too_fast}\n"
        f"and {recording.missed(pace.long)} >= {limits.BURN_MIN_MISSED}",
        "{{ $labels.campaign }}: the error budget burns too fast",
        f"In the last {pace.long} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline, "
        f"and in the last {pace.short} {lately}; the objective is {OBJECTIVE} in time. "
        "First step: see on the dashboard since when.",
        limits.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
        extra_labels={"pace": pace.name},
    )


def _stuck() -> Alert:
    unanswered = "\nor\n".join(
        f"({recording.unanswered_share(window)} > {limits.STUCK_SHARE}\n"
        f"  and {recording.accepted(window)} >= {limits.STUCK_MIN_MESSAGES})"
        for window in limits.STUCK_WINDOWS
    )
    longest = limits.STUCK_WINDOWS[-1]
    share = percentage_of(recording.unanswered_share(longest))
    return Alert(
        "SmsbatMessagesStuck",
        WARNING,
        f"{recording.PENDING_AGE} > {limits.STUCK_DEADLINES}\nand (\n{unanswered}\n)",
        "{{ $labels.campaign }}: messages hang",
        f'The oldest pending message of {CAMPAIGN} waits for {{{{ $value | printf "%.1f" }}}} deadlines, '
        f"and {share} of what was accepted in the last {longest} has no final status. "
        "First step: ask the provider about one of them with check-message.",
        limits.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _unobserved() -> Alert:
    window = limits.UNOBSERVED_WINDOW
    whole = f"(({recording.UNOBSERVED} + {recording.judged(window)}) > 0)"
    unseen = count_of(recording.UNOBSERVED)
    return Alert(
        "SmsbatMessagesUnobserved",
        WARNING,
        f"{recording.UNOBSERVED}\n  / {whole} > {limits.UNOBSERVED_SHARE}\n"
        f"and {recording.UNOBSERVED} >= {limits.UNOBSERVED_MIN}",
        "{{ $labels.campaign }}: messages are not looked at in time",
        f"In the last {window} nobody could look at {SHARE} of the messages of {CAMPAIGN} "
        f"by their deadline: {unseen} messages are in no delivery rate. "
        "First step: see whether the provider was down or the request rate is too small.",
        limits.EXPORTER,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _fallback_high() -> Alert:
    window, finished = limits.COST_WINDOW, count_of(recording.FINISHED)
    return Alert(
        "SmsbatFallbackHigh",
        WARNING,
        f"(\n{recording.FALLBACK_SHARE} > {limits.FALLBACK_SHARE}\n"
        f"and {recording.FALLBACKS_USED} >= {limits.FALLBACK_MIN_USED}\n)\n"
        # Campaigns that always fall back a lot are no news; without a yesterday the share alone decides.
        f"unless {recording.FALLBACK_SHARE}\n"
        f"  < {limits.FALLBACK_RISE} * ({recording.FALLBACK_SHARE} offset 1d)",
        "{{ $labels.campaign }}: many messages need a fallback",
        f"In the last {window} there were {SHARE} as many used fallbacks as finished messages "
        f"({finished}) of {CAMPAIGN}. The first channel fails, and the fallback may cost more. "
        "First step: see on the dashboard which channel delivers less.",
        limits.COST,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _spend_high() -> Alert:
    window, finished = limits.COST_WINDOW, count_of(recording.FINISHED)
    peak = f"max_over_time({recording.SPEND}[1w] offset {window})"
    return Alert(
        "SmsbatSpendHigh",
        WARNING,
        f"{recording.SPEND} > {limits.SPEND_RISE} * ({peak} > 0)\n"
        # Before that the dearest hour is only a part of one, and every campaign's second would be dearer.
        f"and {recording.SPEND} offset {limits.SPEND_HISTORY}\n"
        f"and ignoring (currency) {recording.FINISHED} >= {limits.SPEND_MIN_MESSAGES}",
        "{{ $labels.campaign }}: an hour costs far more than usual",
        f'In the last {window} {CAMPAIGN} cost {{{{ $value | printf "%.2f" }}}} {{{{ $labels.currency }}}} '
        f"for {finished} finished messages: more than {limits.SPEND_RISE} times its dearest hour "
        "of the week before. First step: see whether the number of messages rose, or the price of one.",
        limits.COST,
        (*PER_CAMPAIGN, "currency"),
        keeps_firing=True,
    )
