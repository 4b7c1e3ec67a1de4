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
from tools.dashboards.looks import coloured, limited, listed, logarithmic, sized, spelled, stacked, thin
from tools.dashboards.panels import (
    COUNT,
    SECONDS,
    SHARE,
    TIMES,
    WHOLE,
    Panel,
    Target,
    graph,
    ratio,
    timeline,
)
from tools.dashboards.promql import (
    RATE,
    active,
    increase,
    one_of,
    per_minute,
    quantile,
    rate,
    share,
    shown,
    total,
)


def requests() -> Panel:
    """How requests to the provider end."""
    panel = graph(
        "Requests by outcome",
        "Requests to the provider per minute, by how they ended. Purple: the key is refused; yellow: the "
        "provider says too many; reds and oranges: it fails.",
        COUNT,
        Target(
            active(per_minute(catalogue.API_REQUESTS, "outcome"), catalogue.API_REQUESTS, "outcome"),
            "{{outcome}}",
        ),
    )
    return sized(coloured(replace(stacked(panel), decimals=1), OUTCOME_COLOURS), 8, 9)


def answers() -> tuple[Panel, ...]:
    """How requests end, how many fail, how long they take."""
    failed = increase(shown(catalogue.API_REQUESTS, one_of("outcome", FAILED_OUTCOMES)), RATE)
    failing = graph(
        "Requests that failed",
        "Share of the requests that failed: refused keys and too high rates are counted apart. Above the "
        "line an alert fires when it stays there.",
        SHARE,
        ratio(
            share(
                total(failed, "account"),
                total(increase(shown(catalogue.API_REQUESTS), RATE), "account"),
            ),
            "{{account}}",
        ),
    )
    buckets = shown(catalogue.API_REQUEST_DURATION, part="_bucket")
    duration = graph(
        "Request duration",
        "Half of the requests took less than the lower line, 95 % less than the upper, whatever their "
        "outcome.",
        SECONDS,
        ratio(quantile(0.5, buckets, RATE, "account"), "{{account}} 50 %"),
        ratio(quantile(0.95, buckets, RATE, "account"), "{{account}}"),
    )
    return (
        requests(),
        sized(limited(failing, FAILING_SHARE), 8, 9),
        sized(logarithmic(thin(duration, ".* 50 %")), 8, 9),
    )


def pace() -> tuple[Panel, ...]:
    """How fast requests go, and what holds them back."""
    used = graph(
        "Request rate and its limit",
        "Requests per second against what is allowed now: as agreed, or less for a while after the "
        "provider said too many. At the limit, polls come late.",
        COUNT,
        Target(total(rate(shown(catalogue.API_REQUESTS)), "account"), "{{account}} used"),
        Target(f"min by (account) ({shown(catalogue.API_RATE_LIMIT)})", "{{account}} allowed"),
    )
    state = timeline(
        "Provider by account",
        "Up while answers are usable, down while requests are refused or fail.",
        Target(f"min by (account) ({shown(catalogue.API_UP)})", "{{account}}"),
    )
    paused = graph(
        "Pauses and probes",
        "Seconds left of a pause that the provider asked for, and 1 while only a probe is sent now and then.",
        TIMES,
        Target(
            f"max by (account) (clamp_min({shown(catalogue.API_PAUSED_UNTIL)} - time(), 0))",
            "{{account}} seconds left",
        ),
        Target(f"max by (account) ({shown(catalogue.CIRCUIT_OPEN)})", "{{account}} probing"),
    )
    return (
        sized(replace(used, decimals=1), 8, 7),
        sized(spelled(state, UP_OR_DOWN), 8, 7),
        sized(replace(listed(paused), decimals=0), 8, 7),
    )


def poll_lag() -> Panel:
    """How late polls are."""
    panel = graph(
        "Poll lag",
        "How long after its due time the latest poll was made, by priority. The line is the limit for high "
        "priority: one-time passwords. The others may wait longer. Logarithmic.",
        SECONDS,
        Target(f"max by (priority) ({shown(catalogue.POLL_LAG)})", "{{priority}}"),
    )
    first = next(iter(constants.LAG_SECONDS.values()))
    return sized(coloured(limited(logarithmic(panel, low=0.1), first), PRIORITY_COLOURS), 8, 9)


def polls_due() -> Panel:
    """What waits for its poll."""
    panel = graph(
        "Messages due",
        "Messages whose time to be asked about has come, by priority. It swells during a campaign; high "
        "priority should stay near 0 all the same.",
        WHOLE,
        Target(total(shown(catalogue.POLLS_DUE), "priority"), "{{priority}}"),
    )
    return sized(coloured(stacked(panel), PRIORITY_COLOURS), 8, 9)


def first_knowledge() -> Panel:
    """Whether webhooks come before polls."""
    panel = graph(
        "Who knew first",
        "Final statuses per minute by who brought them first. With webhooks on, those by poll are webhooks "
        "missed.",
        COUNT,
        Target(per_minute(catalogue.FIRST_KNOWLEDGE, "source"), "{{source}}"),
    )
    return sized(replace(stacked(panel), decimals=1), 12, 8)


def requests_per_message() -> Panel:
    """What it costs of the request rate to learn one end."""
    # By what is learned and not by what finished: neither has the campaign's label.
    panel = graph(
        "Requests per finished message",
        "Requests to the provider for each final status that was learned: about 1 while webhooks bring "
        "them, 2 to 6 by polling alone. It rises while messages hang: they are asked about for nothing. "
        "Logarithmic.",
        TIMES,
        ratio(
            share(
                total(increase(shown(catalogue.API_REQUESTS), RATE), "account"),
                total(increase(shown(catalogue.FIRST_KNOWLEDGE), RATE), "account"),
            ),
            "{{account}}",
        ),
    )
    return sized(logarithmic(replace(panel, decimals=1), low=0.5), 12, 8)
