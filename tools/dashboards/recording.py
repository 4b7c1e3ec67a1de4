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
from tools.dashboards.promql import increase, one_of, over_replicas, select

_RAW_WINDOWS = ("5m", "15m", "30m", "1h", "6h", "1d")
_LONG_WINDOW = "3d"
_NORMAL_LIMIT = 0.98
"""A share of misses near 1 would divide by nothing below."""


class Recorded(NamedTuple):
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


def delivery() -> tuple[Recorded, ...]:
    """What the alerts about messages in time read."""
    return (
        *_delivery_counts(),
        *_shares(),
        _objective(),
        *_burn(),
        _lower_bound(),
        *_normal(),
        *_waiting(),
        _grew(UNOBSERVED, select(catalogue.SLO_UNOBSERVED), UNOBSERVED_WINDOW),
    )


def _grew(record: str, selector: str, window: str, *dropped: str) -> Recorded:
    return Recorded(record, over_replicas("sum", increase(selector, window), *dropped))


def _delivery_counts() -> list[Recorded]:
    pairs = ((judged, catalogue.SLO_MESSAGES), (missed, catalogue.SLO_MISSED))
    counts = [
        _grew(name(window), select(family), window) for window in _RAW_WINDOWS for name, family in pairs
    ]
    # Hours added up: 3 days of raw samples would cost more than all other rules together. In the
    # first hour no full one was recorded yet, and the hour so far is all there is.
    counts += [
        Recorded(name(_LONG_WINDOW), f"sum_over_time({name('1h')}[{_LONG_WINDOW}:1h])\nor\n{name('1h')}")
        for name, _ in pairs
    ]
    return counts


def _shares() -> list[Recorded]:
    windows = sorted(
        {window for pace in burn.PACES for window in (pace.long, pace.short)} | {DELIVERY_WINDOW}
    )
    return [Recorded(missed_share(w), f"{missed(w)}\n  / ({judged(w)} > 0)") for w in windows]


def _objective() -> Recorded:
    return Recorded(OBJECTIVE, over_replicas("min", select(catalogue.SLO_OBJECTIVE)))


def _burn() -> list[Recorded]:
    return [
        Recorded(burn_threshold(pace), burn.threshold(OBJECTIVE, number))
        for number, pace in enumerate(burn.PACES)
    ]


def _lower_bound() -> Recorded:
    """Wilson's lower bound of the missed share: with few messages it is far below the share itself."""
    n, z = judged(DELIVERY_WINDOW), DELIVERY_Z.value
    # Both counts are extrapolated, each by itself: the share could come out a little above 1.
    p = f"clamp_max({missed_share(DELIVERY_WINDOW)}, 1)"
    spread = f"{z:g} * sqrt({p} * (1 - {p}) / {n} + {z * z / 4:.10g} / ({n} ^ 2))"
    return Recorded(
        LOWER_BOUND,
        f"(\n  {p}\n  + {z * z / 2:.10g} / {n}\n  - {spread}\n)\n/ (1 + {z * z:.10g} / {n})",
    )


def _normal() -> list[Recorded]:
    """How far the missed share is from the campaign's own normal: that of the day before the window."""
    n, k = judged(DROP_WINDOW), missed(DROP_WINDOW)
    # A difference of two extrapolated counts may come out just below 0.
    earlier_missed = f"clamp_min({missed('1d')} - {k}, 0)"
    expected = f"clamp_max(clamp_min({NORMAL}, {DROP_FLOOR}), {_NORMAL_LIMIT})"
    return [
        Recorded(JUDGED_BEFORE, f"{judged('1d')} - {n}"),
        Recorded(NORMAL, f"{earlier_missed}\n  / ({JUDGED_BEFORE} > 0)"),
        Recorded(
            DEVIATION,
            f"(\n  {k} - {n} * {expected}\n)\n/ sqrt(({n} > 0) * {expected} * (1 - {expected}))",
        ),
    ]


def _waiting() -> list[Recorded]:
    answered = select(catalogue.MESSAGES_FINISHED, one_of("status", ANSWERED_STATUSES))
    age = f"time() - {over_replicas('min', select(catalogue.OLDEST_PENDING))}"
    deadline = over_replicas("max", select(catalogue.SLO_DEADLINE))
    waiting = [Recorded(PENDING_AGE, f"({age})\n  / {FROM_CAMPAIGN} ({deadline} > 0)")]
    for window in STUCK_WINDOWS:
        in_window = over_replicas("sum", increase(answered, window), "status")
        waiting += [
            _grew(accepted(window), select(catalogue.MESSAGES_TRACKED), window, "source"),
            Recorded(unanswered_share(window), f"1 - {in_window}\n  / ({accepted(window)} > 0)"),
        ]
    return waiting


def cost() -> tuple[Recorded, ...]:
    """What the alerts about fallbacks and money read."""
    used = select(catalogue.FALLBACKS, 'status!="not_used"')
    return (
        _grew(FINISHED, select(catalogue.MESSAGES_FINISHED), COST_WINDOW, "status"),
        _grew(FALLBACKS_USED, used, COST_WINDOW, "type", "status"),
        Recorded(FALLBACK_SHARE, f"{FALLBACKS_USED}\n  / ({FINISHED} > 0)"),
        _grew(SPEND, select(catalogue.COST), COST_WINDOW),
    )


def provider() -> tuple[Recorded, ...]:
    """What the alerts about the provider's answers read."""
    failed = select(catalogue.API_REQUESTS, one_of("outcome", FAILED_OUTCOMES))
    return (
        _grew(REQUESTS, select(catalogue.API_REQUESTS), FAILING_WINDOW, "outcome"),
        _grew(FAILURES, failed, FAILING_WINDOW, "outcome"),
    )
