"""What dashboards, rules and runbooks agree on: thresholds, windows, names and colours.

A number that a graph draws and an alert compares is set here once, or in
`exporter.metrics.thresholds` where the exporter's page judges by it too; the table of
thresholds in the runbooks is printed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.domain.model import FINAL_BY_PROVIDER, FINISHED, Outcome, Priority, Status
from exporter.metrics import thresholds
from exporter.metrics.thresholds import Threshold

JOB = "smsbat"
"""The scrape job that the alerts about the exporter itself look for."""
DOCS_URL = "docs"
"""Where the documentation is: prefix it here when the project's pages have an address."""
GRAFANA_URL = ""
"""Put before /d/... in the alerts' links; empty for links relative to Grafana."""
DATASOURCE_UID = "smsbat-prometheus"
TAG = "smsbat"

SCRAPE_INTERVAL_SECONDS = 15
EVALUATION_INTERVAL = "1m"
RATIO_STEP = "5m"
"""Shortest step of graphed ratios: those of a quiet night jump between 0 and 1 with less."""

REPLICA_LABELS = ("instance", "pod")
"""What tells copies of the exporter apart; dropped, so that a move goes on with the same series."""

PENDING_STATUSES = tuple(status.word for status in Status if status not in FINISHED)
ANSWERED_STATUSES = tuple(status.word for status in Status if status in FINAL_BY_PROVIDER)
FAILED_OUTCOMES = tuple(
    outcome.value
    for outcome in Outcome
    # Those left out have an alert or a meaning of their own: a refused key, our own rate, an unknown id.
    if outcome not in {Outcome.OK, Outcome.NOT_FOUND, Outcome.UNAUTHORIZED, Outcome.RATE_LIMITED}
)
QUICK_SECONDS = 30.0
"""What the share of quick deliveries counts as quick; a bound of the histogram."""

DELIVERY_WINDOW = thresholds.DELIVERY_WINDOW
DELIVERY_Z = thresholds.DELIVERY_Z
DELIVERY_MIN_MISSED = thresholds.DELIVERY_MIN_MISSED
DROP_WINDOW = "15m"
DROP_Z = Threshold(4, "", "Standard deviations above a campaign's own normal share of missed messages")
DROP_FLOOR = Threshold(0.02, "ratio", "Share of missed messages that is normal for every campaign")
DROP_MIN_MISSED = Threshold(5, "messages", "Fewest missed messages in 15 minutes for a drop")
DROP_MIN_HISTORY = Threshold(
    50, "messages", "Fewest judged messages in the day before for a normal to be known"
)
BURN_CEILING = Threshold(
    0.60, "ratio", "Largest share of missed messages that a burn-rate alert may wait for"
)
BURN_MIN_MISSED = Threshold(10, "messages", "Fewest missed messages in the long window for a burn-rate alert")
STUCK_WINDOWS = ("1h", "6h")
STUCK_DEADLINES = Threshold(2, "", "Age of the oldest pending message, in deadlines of its campaign")
STUCK_SHARE = Threshold(0.5, "ratio", "Share of accepted messages that got no answer in 1 hour, or in 6")
STUCK_MIN_MESSAGES = Threshold(
    20, "messages", "Fewest accepted messages in that window for messages to be stuck"
)
UNOBSERVED_WINDOW = "1h"
UNOBSERVED_SHARE = Threshold(0.05, "ratio", "Share of messages that nobody could look at in time, in 1 hour")
UNOBSERVED_MIN = Threshold(20, "messages", "Fewest unobserved messages in 1 hour")
COST_WINDOW = "1h"
FALLBACK_SHARE = Threshold(0.30, "ratio", "Used fallbacks per finished message, in 1 hour")
FALLBACK_RISE = Threshold(1.5, "", "Times the share of the day before that a high share of fallbacks must be")
FALLBACK_MIN_USED = Threshold(20, "messages", "Fewest used fallbacks in 1 hour")
SPEND_HISTORY = "2h"
"""How old a campaign must be for its hours to be compared."""
SPEND_RISE = Threshold(2, "", "Times the dearest hour of the last week that an hour's spend must be")
SPEND_MIN_MESSAGES = Threshold(20, "messages", "Fewest finished messages in that hour")
REVOKED_MIN_REFUSALS = Threshold(
    2, "requests", "Fewest refused requests in 5 minutes, with none answered in 2"
)
FAILING_WINDOW = "10m"
FAILING_SHARE = Threshold(0.30, "ratio", "Share of requests to the provider that failed in 10 minutes")
FAILING_MIN = Threshold(5, "requests", "Fewest failed requests in 10 minutes")
LAG_WINDOW = "10m"
LAG_SECONDS = thresholds.LAG_SECONDS
LAG_MIN_DUE = thresholds.LAG_MIN_DUE
STALE_AFTER = Threshold(600, "seconds", "Time without a usable answer of the provider while there is work")

GREEN, AMBER, RED = "green", "orange", "red"
GREY, BLUE, LIGHT_BLUE, PURPLE, YELLOW = "#8e8e8e", "blue", "light-blue", "purple", "yellow"

STATUS_COLOURS: Mapping[str, str] = {
    Status.DELIVERED.word: GREEN,
    Status.NEW.word: GREY,
    Status.SCHEDULED.word: LIGHT_BLUE,
    Status.PROCESSING.word: BLUE,
    Status.OTHER.word: YELLOW,
    Status.EXPIRED.word: AMBER,
    Status.UNDELIVERABLE.word: RED,
    Status.PERMANENTERROR.word: PURPLE,
    Status.NOT_FOUND.word: "dark-yellow",
    Status.REJECTED.word: "dark-red",
    # Words of entries for single channels and fallbacks only.
    "read": "dark-green",
    "not_used": GREY,
}
OUTCOME_COLOURS: Mapping[str, str] = {
    Outcome.OK: GREEN,
    Outcome.NOT_FOUND: GREY,
    Outcome.UNAUTHORIZED: PURPLE,
    Outcome.RATE_LIMITED: YELLOW,
    Outcome.CLIENT_ERROR: "light-red",
    Outcome.SERVER_ERROR: RED,
    Outcome.TIMEOUT: AMBER,
    Outcome.CONNECT: "dark-red",
    Outcome.DNS: "dark-orange",
    Outcome.TLS: "dark-purple",
    Outcome.REDIRECT: BLUE,
    Outcome.BAD_BODY: "light-orange",
    Outcome.BAD_SCHEMA: "semi-dark-orange",
    Outcome.TOO_LARGE: "dark-yellow",
}
PRIORITY_COLOURS: Mapping[str, str] = {
    Priority.HIGH.word: RED,
    Priority.NORMAL.word: BLUE,
    Priority.LOW.word: GREY,
}
CURRENCIES = ("UAH", "USD", "EUR", "PLN", "GBP")
"""Those drawn with their sign; others are plain numbers beside their code."""
LOWEST_GOOD_SHARE, LOWEST_FAIR_SHARE = 0.95, 0.90
"""Objectives of the built-in profiles: what shares over all campaigns are coloured by."""
UP_OR_DOWN: Mapping[int, tuple[str, str]] = {0: ("Down", RED), 1: ("Up", GREEN)}


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard's fixed name."""

    uid: str
    title: str


DELIVERY = Board("smsbat-delivery", "SMSBAT / Delivery")
COST = Board("smsbat-cost", "SMSBAT / Cost and fallback")
EXPORTER = Board("smsbat-exporter", "SMSBAT / Exporter")
