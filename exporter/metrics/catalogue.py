"""The catalogue: every metric of this program, declared once.

The renderer of the state (`exposition`), the exporter's own counters
(`instruments`), the documentation and the dashboards' tests all read this
table; none of them spells a name again. `process_*` and `python_*` come from
the client library and are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.domain.model import SECOND_US
from exporter.domain.snapshot import BUCKETS_US


class Type(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, meaning and labels."""

    name: str
    """As the text format and every query spell it: counters with `_total`."""
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without +Inf, in the unit of the name."""

    @property
    def base_name(self) -> str:
        """The name that OpenMetrics gives the family: that of a counter has no `_total`."""
        return self.name.removesuffix("_total") if self.type is Type.COUNTER else self.name

    @property
    def unit(self) -> str:
        """The unit that ends the name, or "" where it counts things."""
        last_word = self.base_name.rpartition("_")[2]
        return last_word if last_word in {"seconds", "ratio"} else ""


CACHED = " Gathered in the background and cached."


def _make_counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, Type.COUNTER, text, labels)


def _make_gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, Type.GAUGE, text, labels)


def _make_campaign_counter(name: str, text: str, *labels: str) -> Family:
    return _make_counter(name, text + CACHED, "account", "campaign", *labels)


def _make_campaign_gauge(name: str, text: str, *labels: str) -> Family:
    return _make_gauge(name, text + CACHED, "account", "campaign", *labels)


def _make_histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Family:
    return Family(name, Type.HISTOGRAM, text, labels, buckets)


MESSAGES = _make_campaign_gauge(
    "smsbat_messages", "Messages within retention by current status, each in exactly one.", "status"
)
MESSAGES_TRACKED = _make_campaign_counter(
    "smsbat_messages_tracked_total", "Message ids accepted, by source.", "source"
)
MESSAGES_FINISHED = _make_campaign_counter(
    "smsbat_messages_finished_total",
    "Messages that finished, each counted once, when it first finished. During an outage only fast messages "
    "finish, so a ratio of these looks too good: use smsbat_slo_messages_total.",
    "status",
)
MESSAGES_LATE = _make_campaign_counter(
    "smsbat_messages_late_total",
    "Final statuses learned after polling was given up; not part of smsbat_messages_finished_total.",
    "status",
)
SLO_MESSAGES = _make_campaign_counter(
    "smsbat_slo_messages_total", "Messages judged against their deadline, each once when its age reached it."
)
SLO_MISSED = _make_campaign_counter(
    "smsbat_slo_missed_total", "Judged messages that were not delivered by their deadline."
)
SLO_UNOBSERVED = _make_campaign_counter(
    "smsbat_slo_unobserved_total",
    "Messages that could not be polled in time; not judged, not in smsbat_slo_messages_total.",
)
SLO_DEADLINE = _make_gauge(
    "smsbat_slo_deadline_seconds",
    "Time from sending within which the campaign's profile wants messages delivered.",
    "campaign",
)
SLO_OBJECTIVE = _make_gauge(
    "smsbat_slo_objective_ratio",
    "Share of messages that the campaign's profile wants delivered by the deadline.",
    "campaign",
)
DELIVERY_RATIO = _make_campaign_gauge(
    "smsbat_delivery_ratio",
    "Of the messages sent in the window and old enough to be judged, the share delivered by now; no sample "
    "where there are none. Never average ratios: divide sums of counters instead.",
    "window",
)
FALLBACK_RATIO = _make_campaign_gauge(
    "smsbat_fallback_ratio",
    "Of the messages finished in the window, the share that used a fallback; no sample where there are none. "
    "Never average ratios: divide sums of counters instead.",
    "window",
)
COST = _make_campaign_counter(
    "smsbat_cost_total",
    "Cost of finished messages in units of the label currency. Never sum over currencies.",
    "currency",
)
MESSAGE_PARTS = _make_campaign_counter("smsbat_message_parts_total", "Parts of finished messages.")
FALLBACKS = _make_campaign_counter(
    "smsbat_fallbacks_total",
    "Fallback entries of finished messages; a message can have several.",
    "type",
    "status",
)
CHANNEL_MESSAGES = _make_campaign_counter(
    "smsbat_channel_messages_total",
    "Channel entries of finished messages; a message can have several.",
    "channel",
    "status",
)
DELIVERY_DURATION = _make_histogram(
    "smsbat_delivery_duration_seconds",
    "Time from sending to delivery, of delivered messages only: never the base of an objective. With source "
    "webhook by the provider's clock, with poll an upper bound. Never average quantiles: sum buckets."
    + CACHED,
    "account",
    "campaign",
    "source",
    buckets=tuple(bound_us / SECOND_US for bound_us in BUCKETS_US),
)
OLDEST_PENDING = _make_campaign_gauge(
    "smsbat_oldest_pending_timestamp_seconds",
    "When the oldest pending message was sent; no sample where none is pending.",
)
FIRST_KNOWLEDGE = _make_counter(
    "smsbat_first_knowledge_total",
    "Final statuses, by the source that reported them first." + CACHED,
    "account",
    "source",
)
STATE_CREATED = _make_gauge("smsbat_state_created_timestamp_seconds", "When the durable counters began at 0.")

# The declarations themselves are the list: one beside them could forget a metric.
STATE = tuple(family for family in list(globals().values()) if isinstance(family, Family))
"""Rendered from a snapshot: durable, the same after a restart, exposed only by an account's owner."""

API_UP = _make_gauge(
    "smsbat_api_up",
    "1 when the provider's last answer was usable, 0 when it was refused or failed; no sample before any.",
    "account",
)
API_REQUESTS = _make_counter(
    "smsbat_api_requests_total", "Requests to the provider, by outcome.", "account", "outcome"
)
API_REQUEST_DURATION = _make_histogram(
    "smsbat_api_request_duration_seconds",
    "Duration of requests to the provider, whatever their outcome.",
    "account",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
API_LAST_SUCCESS = _make_gauge(
    "smsbat_api_last_success_timestamp_seconds",
    "When the provider last gave a usable answer; no sample before the first.",
    "account",
)
API_RATE_LIMIT = _make_gauge(
    "smsbat_api_rate_limit",
    "Requests per second allowed now: as configured, lowered for a while after the provider's 429.",
    "account",
)
API_PAUSED_UNTIL = _make_gauge(
    "smsbat_api_paused_until_timestamp_seconds",
    "When the pause that the provider asked for ends; no sample while there is none.",
    "account",
)
CIRCUIT_OPEN = _make_gauge(
    "smsbat_circuit_open",
    "1 while requests fail in a row and only a probe is sent now and then, else 0.",
    "account",
)
POLLS_DUE = _make_gauge("smsbat_polls_due", "Messages whose poll is due.", "account", "priority")
POLL_LAG = _make_gauge(
    "smsbat_poll_lag_seconds",
    "How long after its due time the latest poll was made; no sample before the first.",
    "account",
    "priority",
)
UNKNOWN_STATUSES = _make_counter(
    "smsbat_unknown_statuses_total", "Answers with an unknown status word.", "account"
)
STATUS_CONFLICTS = _make_counter(
    "smsbat_status_conflicts_total",
    "Statuses that contradict an earlier final one, and were ignored.",
    "account",
)
INVALID_COSTS = _make_counter(
    "smsbat_invalid_costs_total", "Answers whose cost could not be used; the status was counted.", "account"
)
DROP_FILES = _make_counter("smsbat_drop_files_total", "Dropped files, by result.", "result")
DROP_LINES = _make_counter("smsbat_drop_lines_total", "Entries of dropped files, by result.", "result")
DROP_LINES_REJECTED = _make_counter(
    "smsbat_drop_lines_rejected_total", "Entries of dropped files that were refused, by reason.", "reason"
)
DROP_UP = _make_gauge(
    "smsbat_drop_up", "1 when the directory could be read at the last pass, else 0.", "directory"
)
DROP_BLOCKED = _make_gauge(
    "smsbat_drop_blocked",
    "1 while dropped files wait because the limit of tracked messages is reached, else 0.",
)
WEBHOOK_EVENTS = _make_counter("smsbat_webhook_events_total", "Webhook events, by result.", "result")
INTAKE_MESSAGES = _make_counter("smsbat_intake_messages_total", "Ids posted over HTTP, by result.", "result")
LABEL_OVERFLOW = _make_counter(
    "smsbat_label_overflow_total",
    "Messages counted under a substitute value because a label had too many values.",
    "label",
)
BUILD_INFO = _make_gauge(
    "smsbat_exporter_build_info", "Always 1; the labels hold the versions.", "version", "python"
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _make_gauge(
    "smsbat_exporter_config_last_reload_successful",
    "1 when the configuration was last read without an error, 0 when that failed and the old one stays.",
)
CONFIG_LAST_RELOAD_SUCCESS = _make_gauge(
    "smsbat_exporter_config_last_reload_success_timestamp_seconds",
    "When the configuration was last read without an error.",
)
STORE_UP = _make_gauge("smsbat_store_up", "1 while durable state can be written, else 0.")
STORE_COMMIT_DURATION = _make_histogram(
    "smsbat_store_commit_duration_seconds",
    "Duration of the store's transactions, commit included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
ACCOUNT_LEASE_HELD = _make_gauge(
    "smsbat_account_lease_held",
    "1 when this process polls the account and exposes its state, 0 when another one does.",
    "account",
)
EVENT_LOOP_LAG = _make_gauge(
    "smsbat_event_loop_lag_seconds", "How late the event loop came back from its last short sleep."
)
CLOCK_STEPS = _make_counter(
    "smsbat_clock_steps_total", "Jumps of the wall clock; deadlines don't follow them at once."
)
LOG_MESSAGES_DROPPED = _make_counter(
    "smsbat_exporter_log_messages_dropped_total",
    "Log lines lost because the log could not be written fast enough.",
)

ALL = tuple(family for family in list(globals().values()) if isinstance(family, Family))
SELF = ALL[len(STATE) :]
"""Counted by this process alone; they begin at 0 with each start."""
