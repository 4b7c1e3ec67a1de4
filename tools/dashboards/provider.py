"""Panels about talking to the provider: how requests end, how fast they go, whether polls keep up."""

from __future__ import annotations

from dataclasses import replace

from exporter.metrics import catalogue
from tools.dashboards import constants
from tools.dashboards.constants import (
    FAILED_OUTCOMES,
    FAILING_SHARE,
    OUTCOME_COLOURS,
    PRIORITY_COLOURS,
    UP_OR_DOWN,
)
from tools.dashboards.panels import (
    COUNT,
    SECONDS,
    SHARE,
    TIMES,
    WHOLE,
    Panel,
    Target,
    build_graph,
    build_timeline,
    query_ratio,
)
from tools.dashboards.promql import (
    RATE,
    divide,
    estimate_quantile,
    increase,
    keep_active,
    match_any,
    rate,
    rate_per_minute,
    select_shown,
    sum_by,
)
from tools.dashboards.styling import (
    colour_series,
    draw_thin,
    draw_threshold,
    list_legend,
    map_values,
    resize,
    stack,
    use_log_scale,
)


def build_requests() -> Panel:
    """How requests to the provider end."""
    panel = build_graph(
        "Requests by outcome",
        "Requests to the provider per minute, by how they ended. Purple: the key is refused; yellow: the "
        "provider says too many; reds and oranges: it fails.",
        COUNT,
        Target(
            keep_active(
                rate_per_minute(catalogue.API_REQUESTS, "outcome"), catalogue.API_REQUESTS, "outcome"
            ),
            "{{outcome}}",
        ),
    )
    return resize(colour_series(replace(stack(panel), decimals=1), OUTCOME_COLOURS), 8, 9)


def build_answers() -> tuple[Panel, ...]:
    """How requests end, how many fail, how long they take."""
    failed = increase(select_shown(catalogue.API_REQUESTS, match_any("outcome", FAILED_OUTCOMES)), RATE)
    failing = build_graph(
        "Requests that failed",
        "Share of the requests that failed: refused keys and too high rates are counted apart. Above the "
        "line an alert fires when it stays there.",
        SHARE,
        query_ratio(
            divide(
                sum_by(failed, "account"),
                sum_by(increase(select_shown(catalogue.API_REQUESTS), RATE), "account"),
            ),
            "{{account}}",
        ),
    )
    buckets = select_shown(catalogue.API_REQUEST_DURATION, part="_bucket")
    duration = build_graph(
        "Request duration",
        "Half of the requests took less than the lower line, 95 % less than the upper, whatever their "
        "outcome.",
        SECONDS,
        query_ratio(estimate_quantile(0.5, buckets, RATE, "account"), "{{account}} 50 %"),
        query_ratio(estimate_quantile(0.95, buckets, RATE, "account"), "{{account}}"),
    )
    return (
        build_requests(),
        resize(draw_threshold(failing, FAILING_SHARE), 8, 9),
        resize(use_log_scale(draw_thin(duration, ".* 50 %")), 8, 9),
    )


def build_pace() -> tuple[Panel, ...]:
    """How fast requests go, and what holds them back."""
    used = build_graph(
        "Request rate and its limit",
        "Requests per second against what is allowed now: as agreed, or less for a while after the "
        "provider said too many. At the limit, polls come late.",
        COUNT,
        Target(sum_by(rate(select_shown(catalogue.API_REQUESTS)), "account"), "{{account}} used"),
        Target(f"min by (account) ({select_shown(catalogue.API_RATE_LIMIT)})", "{{account}} allowed"),
    )
    state = build_timeline(
        "Provider by account",
        "Up while answers are usable, down while requests are refused or fail.",
        Target(f"min by (account) ({select_shown(catalogue.API_UP)})", "{{account}}"),
    )
    paused = build_graph(
        "Pauses and probes",
        "Seconds left of a pause that the provider asked for, and 1 while only a probe is sent now and then.",
        TIMES,
        Target(
            f"max by (account) (clamp_min({select_shown(catalogue.API_PAUSED_UNTIL)} - time(), 0))",
            "{{account}} seconds left",
        ),
        Target(f"max by (account) ({select_shown(catalogue.CIRCUIT_OPEN)})", "{{account}} probing"),
    )
    return (
        resize(replace(used, decimals=1), 8, 7),
        resize(map_values(state, UP_OR_DOWN), 8, 7),
        resize(replace(list_legend(paused), decimals=0), 8, 7),
    )


def build_poll_lag() -> Panel:
    """How late polls are."""
    panel = build_graph(
        "Poll lag",
        "How long after its due time the latest poll was made, by priority. The line is the limit for high "
        "priority: one-time passwords. The others may wait longer. Logarithmic.",
        SECONDS,
        Target(f"max by (priority) ({select_shown(catalogue.POLL_LAG)})", "{{priority}}"),
    )
    first = next(iter(constants.LAG_SECONDS.values()))
    return resize(colour_series(draw_threshold(use_log_scale(panel, low=0.1), first), PRIORITY_COLOURS), 8, 9)


def build_polls_due() -> Panel:
    """What waits for its poll."""
    panel = build_graph(
        "Messages due",
        "Messages whose time to be asked about has come, by priority. It swells during a campaign; high "
        "priority should stay near 0 all the same.",
        WHOLE,
        Target(sum_by(select_shown(catalogue.POLLS_DUE), "priority"), "{{priority}}"),
    )
    return resize(colour_series(stack(panel), PRIORITY_COLOURS), 8, 9)


def build_first_knowledge() -> Panel:
    """Whether webhooks come before polls."""
    panel = build_graph(
        "Who knew first",
        "Final statuses per minute by who brought them first. With webhooks on, those by poll are webhooks "
        "missed.",
        COUNT,
        Target(rate_per_minute(catalogue.FIRST_KNOWLEDGE, "source"), "{{source}}"),
    )
    return resize(replace(stack(panel), decimals=1), 12, 8)


def build_requests_per_message() -> Panel:
    """What it costs of the request rate to learn one end."""
    # By what is learned and not by what finished: neither has the campaign's label.
    panel = build_graph(
        "Requests per finished message",
        "Requests to the provider for each final status that was learned: about 1 while webhooks bring "
        "them, 2 to 6 by polling alone. It rises while messages hang: they are asked about for nothing. "
        "Logarithmic.",
        TIMES,
        query_ratio(
            divide(
                sum_by(increase(select_shown(catalogue.API_REQUESTS), RATE), "account"),
                sum_by(increase(select_shown(catalogue.FIRST_KNOWLEDGE), RATE), "account"),
            ),
            "{{account}}",
        ),
    )
    return resize(use_log_scale(replace(panel, decimals=1), low=0.5), 12, 8)
