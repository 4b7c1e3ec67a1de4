"""Recording rules: counts per window, divided last, which alerts and long graphs read.

The names are `level:metric:operation`. Copies of the exporter are folded
together, every other label stays, the user's own included.
"""

from __future__ import annotations

from typing import NamedTuple

from exporter.metrics import catalogue
from tools.dashboards import burn
from tools.dashboards.constants import (
    ANSWERED_STATUSES,
    COST_WINDOW,
    DELIVERY_WINDOW,
    DELIVERY_Z,
    DROP_FLOOR,
    DROP_WINDOW,
    FAILED_OUTCOMES,
    FAILING_WINDOW,
    STUCK_WINDOWS,
    UNOBSERVED_WINDOW,
)
from tools.dashboards.promql import aggregate_replicas, increase, match_any, select

_RAW_WINDOWS = ("5m", "15m", "30m", "1h", "6h", "1d")
_LONG_WINDOW = "3d"
_NORMAL_LIMIT = 0.98
"""A share of misses near 1 would divide by nothing below."""


class RecordingRule(NamedTuple):
    """One recording rule."""

    record: str
    expr: str


def judged(window: str) -> str:
    """Messages judged in the window."""
    return f"campaign:smsbat_slo_messages:increase{window}"


def missed(window: str) -> str:
    """Of those, the missed ones."""
    return f"campaign:smsbat_slo_missed:increase{window}"


def missed_share(window: str) -> str:
    """The one by the other."""
    return f"campaign:smsbat_slo_missed:ratio{window}"


def accepted(window: str) -> str:
    """Message ids accepted in the window."""
    return f"campaign:smsbat_messages_tracked:increase{window}"


def unanswered_share(window: str) -> str:
    """How much of what was accepted in the window was not answered with a final status in it."""
    return f"campaign:smsbat_messages_unanswered:ratio{window}"


OBJECTIVE = "campaign:smsbat_slo_objective_ratio:min"
ALLOWED = "(1 - campaign:smsbat_slo_objective_ratio:min)"
FROM_CAMPAIGN = "ignoring (account) group_left ()"
"""Objectives are a campaign's whatever the account."""
LOWER_BOUND = f"campaign:smsbat_slo_missed:lower_bound{DELIVERY_WINDOW}"
DEVIATION = f"campaign:smsbat_slo_missed:deviation{DROP_WINDOW}"
JUDGED_BEFORE = "campaign:smsbat_slo_messages:increase1d_before"
NORMAL = "campaign:smsbat_slo_missed:ratio1d_before"
UNOBSERVED = f"campaign:smsbat_slo_unobserved:increase{UNOBSERVED_WINDOW}"
FINISHED = f"campaign:smsbat_messages_finished:increase{COST_WINDOW}"
FALLBACKS_USED = f"campaign:smsbat_fallbacks_used:increase{COST_WINDOW}"
FALLBACK_SHARE = f"campaign:smsbat_fallbacks_used:ratio{COST_WINDOW}"
SPEND = f"campaign:smsbat_cost:increase{COST_WINDOW}"
PENDING_AGE = "campaign:smsbat_oldest_pending:deadlines"
REQUESTS = f"account:smsbat_api_requests:increase{FAILING_WINDOW}"
FAILURES = f"account:smsbat_api_failures:increase{FAILING_WINDOW}"


def burn_threshold(pace: burn.Pace) -> str:
    """The share of missed messages at which the budget burns too fast."""
    return f"campaign:smsbat_slo_burn_threshold:{pace.name}"


def build_delivery() -> tuple[RecordingRule, ...]:
    """What the alerts about messages in time read."""
    return (
        *_record_counts(),
        *_record_shares(),
        _record_objective(),
        *_record_burn_thresholds(),
        _record_lower_bound(),
        *_record_normal(),
        *_record_waiting(),
        _record_increase(UNOBSERVED, select(catalogue.SLO_UNOBSERVED), UNOBSERVED_WINDOW),
    )


def _record_increase(record: str, selector: str, window: str, *dropped: str) -> RecordingRule:
    return RecordingRule(record, aggregate_replicas("sum", increase(selector, window), *dropped))


def _record_counts() -> list[RecordingRule]:
    pairs = ((judged, catalogue.SLO_MESSAGES), (missed, catalogue.SLO_MISSED))
    counts = [
        _record_increase(name(window), select(family), window)
        for window in _RAW_WINDOWS
        for name, family in pairs
    ]
    # Hours added up: 3 days of raw samples would cost more than all other rules together. In the
    # first hour no full one was recorded yet, and the hour so far is all there is.
    counts += [
        RecordingRule(name(_LONG_WINDOW), f"sum_over_time({name('1h')}[{_LONG_WINDOW}:1h])\nor\n{name('1h')}")
        for name, _ in pairs
    ]
    return counts


def _record_shares() -> list[RecordingRule]:
    windows = sorted(
        {window for pace in burn.PACES for window in (pace.long, pace.short)} | {DELIVERY_WINDOW}
    )
    return [RecordingRule(missed_share(w), f"{missed(w)}\n  / ({judged(w)} > 0)") for w in windows]


def _record_objective() -> RecordingRule:
    return RecordingRule(OBJECTIVE, aggregate_replicas("min", select(catalogue.SLO_OBJECTIVE)))


def _record_burn_thresholds() -> list[RecordingRule]:
    return [
        RecordingRule(burn_threshold(pace), burn.build_threshold(OBJECTIVE, number))
        for number, pace in enumerate(burn.PACES)
    ]


def _record_lower_bound() -> RecordingRule:
    """Wilson's lower bound of the missed share: with few messages it is far below the share itself."""
    n, z = judged(DELIVERY_WINDOW), DELIVERY_Z.value
    # Both counts are extrapolated, each by itself: the share could come out a little above 1.
    p = f"clamp_max({missed_share(DELIVERY_WINDOW)}, 1)"
    spread = f"{z:g} * sqrt({p} * (1 - {p}) / {n} + {z * z / 4:.10g} / ({n} ^ 2))"
    return RecordingRule(
        LOWER_BOUND,
        f"(\n  {p}\n  + {z * z / 2:.10g} / {n}\n  - {spread}\n)\n/ (1 + {z * z:.10g} / {n})",
    )


def _record_normal() -> list[RecordingRule]:
    """How far the missed share is from the campaign's own normal: that of the day before the window."""
    n, k = judged(DROP_WINDOW), missed(DROP_WINDOW)
    # A difference of two extrapolated counts may come out just below 0.
    earlier_missed = f"clamp_min({missed('1d')} - {k}, 0)"
    expected = f"clamp_max(clamp_min({NORMAL}, {DROP_FLOOR}), {_NORMAL_LIMIT})"
    return [
        RecordingRule(JUDGED_BEFORE, f"{judged('1d')} - {n}"),
        RecordingRule(NORMAL, f"{earlier_missed}\n  / ({JUDGED_BEFORE} > 0)"),
        RecordingRule(
            DEVIATION,
            f"(\n  {k} - {n} * {expected}\n)\n/ sqrt(({n} > 0) * {expected} * (1 - {expected}))",
        ),
    ]


def _record_waiting() -> list[RecordingRule]:
    answered = select(catalogue.MESSAGES_FINISHED, match_any("status", ANSWERED_STATUSES))
    age = f"time() - {aggregate_replicas('min', select(catalogue.OLDEST_PENDING))}"
    deadline = aggregate_replicas("max", select(catalogue.SLO_DEADLINE))
    waiting = [RecordingRule(PENDING_AGE, f"({age})\n  / {FROM_CAMPAIGN} ({deadline} > 0)")]
    for window in STUCK_WINDOWS:
        in_window = aggregate_replicas("sum", increase(answered, window), "status")
        waiting += [
            _record_increase(accepted(window), select(catalogue.MESSAGES_TRACKED), window, "source"),
            RecordingRule(unanswered_share(window), f"1 - {in_window}\n  / ({accepted(window)} > 0)"),
        ]
    return waiting


def build_cost() -> tuple[RecordingRule, ...]:
    """What the alerts about fallbacks and money read."""
    used = select(catalogue.FALLBACKS, 'status!="not_used"')
    return (
        _record_increase(FINISHED, select(catalogue.MESSAGES_FINISHED), COST_WINDOW, "status"),
        _record_increase(FALLBACKS_USED, used, COST_WINDOW, "type", "status"),
        RecordingRule(FALLBACK_SHARE, f"{FALLBACKS_USED}\n  / ({FINISHED} > 0)"),
        _record_increase(SPEND, select(catalogue.COST), COST_WINDOW),
    )


def build_provider() -> tuple[RecordingRule, ...]:
    """What the alerts about the provider's answers read."""
    failed = select(catalogue.API_REQUESTS, match_any("outcome", FAILED_OUTCOMES))
    return (
        _record_increase(REQUESTS, select(catalogue.API_REQUESTS), FAILING_WINDOW, "outcome"),
        _record_increase(FAILURES, failed, FAILING_WINDOW, "outcome"),
    )
