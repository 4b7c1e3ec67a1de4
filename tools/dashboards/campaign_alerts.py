"""Alerts about campaigns: what arrives in time, what hangs, what was not observed, fallbacks and money.

A share is believed only with enough messages behind it, and delivery only
where chance can't explain it.
"""

from __future__ import annotations

from tools.dashboards import burn, constants, recording
from tools.dashboards.alert import (
    CAMPAIGN,
    CRITICAL,
    OBJECTIVE,
    PER_CAMPAIGN,
    SHARE,
    WARNING,
    Alert,
    look_up_count,
    look_up_percentage,
)


def build_delivery() -> tuple[Alert, ...]:
    """Alerts about messages that don't arrive in time."""
    return (
        _alert_rate_low(),
        _alert_rate_dropped(),
        *map(_alert_budget_burn, burn.PACES),
        _alert_stuck(),
        _alert_unobserved(),
    )


def build_cost() -> tuple[Alert, ...]:
    """Alerts about the way that messages take, and its price."""
    return (_alert_fallback_high(), _alert_spend_high())


def _alert_rate_low() -> Alert:
    window = constants.DELIVERY_WINDOW
    judged = look_up_count(recording.judged(window))
    return Alert(
        "SmsbatDeliveryRateLow",
        CRITICAL,
        f"{recording.missed_share(window)}\n"
        f"and {recording.LOWER_BOUND} > {recording.FROM_CAMPAIGN} {recording.ALLOWED}\n"
        f"and {recording.missed(window)} >= {constants.DELIVERY_MIN_MISSED}",
        "{{ $labels.campaign }}: too few messages arrive in time",
        f"In the last {window} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline; "
        f"the objective is {OBJECTIVE} in time, and chance can't explain it. "
        "First step: see on the dashboard whether all campaigns or channels are hit.",
        constants.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _alert_rate_dropped() -> Alert:
    window = constants.DROP_WINDOW
    judged, normal = look_up_count(recording.judged(window)), look_up_percentage(recording.NORMAL)
    return Alert(
        "SmsbatDeliveryRateDropped",
        CRITICAL,
        f"({recording.missed(window)}\n  / ({recording.judged(window)} > 0))\n"
        f"and {recording.DEVIATION} > {constants.DROP_Z}\n"
        f"and {recording.missed(window)} >= {constants.DROP_MIN_MISSED}\n"
        f"and {recording.JUDGED_BEFORE} >= {constants.DROP_MIN_HISTORY}",
        "{{ $labels.campaign }}: delivery dropped against its own normal",
        f"In the last {window} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline; "
        f"in the day before it was {normal}. "
        "First step: see on the dashboard what changed, and when.",
        constants.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _alert_budget_burn(pace: burn.Pace) -> Alert:
    too_fast = f"> {recording.FROM_CAMPAIGN} {recording.burn_threshold(pace)}"
    judged = look_up_count(recording.judged(pace.long))
    lately = look_up_percentage(recording.missed_share(pace.short))
    return Alert(
        "SmsbatDeliveryBudgetBurn",
        pace.severity,
        f"{recording.missed_share(pace.long)} {too_fast}\n"
        f"and {recording.missed_share(pace.short)} {too_fast}\n"
        f"and {recording.missed(pace.long)} >= {constants.BURN_MIN_MISSED}",
        "{{ $labels.campaign }}: the error budget burns too fast",
        f"In the last {pace.long} {SHARE} of {judged} messages of {CAMPAIGN} missed their deadline, "
        f"and in the last {pace.short} {lately}; the objective is {OBJECTIVE} in time. "
        "First step: see on the dashboard since when.",
        constants.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
        extra_labels={"pace": pace.name},
    )


def _alert_stuck() -> Alert:
    unanswered = "\nor\n".join(
        f"({recording.unanswered_share(window)} > {constants.STUCK_SHARE}\n"
        f"  and {recording.accepted(window)} >= {constants.STUCK_MIN_MESSAGES})"
        for window in constants.STUCK_WINDOWS
    )
    longest = constants.STUCK_WINDOWS[-1]
    share = look_up_percentage(recording.unanswered_share(longest))
    return Alert(
        "SmsbatMessagesStuck",
        WARNING,
        f"{recording.PENDING_AGE} > {constants.STUCK_DEADLINES}\nand (\n{unanswered}\n)",
        "{{ $labels.campaign }}: messages hang",
        f'The oldest pending message of {CAMPAIGN} waits for {{{{ $value | printf "%.1f" }}}} deadlines, '
        f"and {share} of what was accepted in the last {longest} has no final status. "
        "First step: ask the provider about one of them with check-message.",
        constants.DELIVERY,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _alert_unobserved() -> Alert:
    window = constants.UNOBSERVED_WINDOW
    whole = f"(({recording.UNOBSERVED} + {recording.judged(window)}) > 0)"
    unseen = look_up_count(recording.UNOBSERVED)
    return Alert(
        "SmsbatMessagesUnobserved",
        WARNING,
        f"{recording.UNOBSERVED}\n  / {whole} > {constants.UNOBSERVED_SHARE}\n"
        f"and {recording.UNOBSERVED} >= {constants.UNOBSERVED_MIN}",
        "{{ $labels.campaign }}: messages are not looked at in time",
        f"In the last {window} nobody could look at {SHARE} of the messages of {CAMPAIGN} "
        f"by their deadline: {unseen} messages are in no delivery rate. "
        "First step: see whether the provider was down or the request rate is too small.",
        constants.EXPORTER,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _alert_fallback_high() -> Alert:
    window, finished = constants.COST_WINDOW, look_up_count(recording.FINISHED)
    return Alert(
        "SmsbatFallbackHigh",
        WARNING,
        f"(\n{recording.FALLBACK_SHARE} > {constants.FALLBACK_SHARE}\n"
        f"and {recording.FALLBACKS_USED} >= {constants.FALLBACK_MIN_USED}\n)\n"
        # Campaigns that always fall back a lot are no surprise; without a yesterday the share alone decides.
        f"unless {recording.FALLBACK_SHARE}\n"
        f"  < {constants.FALLBACK_RISE} * ({recording.FALLBACK_SHARE} offset 1d)",
        "{{ $labels.campaign }}: many messages need a fallback",
        f"In the last {window} there were {SHARE} as many used fallbacks as finished messages "
        f"({finished}) of {CAMPAIGN}. The first channel fails, and the fallback may cost more. "
        "First step: see on the dashboard which channel delivers less.",
        constants.COST,
        PER_CAMPAIGN,
        keeps_firing=True,
    )


def _alert_spend_high() -> Alert:
    window, finished = constants.COST_WINDOW, look_up_count(recording.FINISHED)
    peak = f"max_over_time({recording.SPEND}[1w] offset {window})"
    return Alert(
        "SmsbatSpendHigh",
        WARNING,
        f"{recording.SPEND} > {constants.SPEND_RISE} * ({peak} > 0)\n"
        # Before that the most expensive hour is only a part of one, and every campaign's second costs more.
        f"and {recording.SPEND} offset {constants.SPEND_HISTORY}\n"
        f"and ignoring (currency) {recording.FINISHED} >= {constants.SPEND_MIN_MESSAGES}",
        "{{ $labels.campaign }}: an hour costs far more than usual",
        f'In the last {window} {CAMPAIGN} cost {{{{ $value | printf "%.2f" }}}} {{{{ $labels.currency }}}} '
        f"for {finished} finished messages: more than {constants.SPEND_RISE} times its dearest hour "
        "of the week before. First step: see whether the number of messages rose, or the price of one.",
        constants.COST,
        (*PER_CAMPAIGN, "currency"),
        keeps_firing=True,
    )
