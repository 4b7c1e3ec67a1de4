"""The dashboard "Exporter": how the provider answers, whether polling keeps up, what comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exporter.metrics import catalogue
from tools.dashboards import provider
from tools.dashboards.constants import (
    AMBER,
    EXPORTER,
    GREEN,
    GREY,
    RED,
    STALE_AFTER,
    STATUS_COLOURS,
    UP_OR_DOWN,
)
from tools.dashboards.layout import Row, build_dashboard
from tools.dashboards.panels import (
    COUNT,
    SECONDS,
    SHARE,
    TIMES,
    WHOLE,
    Json,
    Panel,
    Target,
    build_graph,
    build_heatmap,
    build_stat,
    build_table,
    build_timeline,
    query_column,
    query_now,
    query_ratio,
)
from tools.dashboards.promql import (
    RANGE,
    RATE,
    estimate_quantile,
    increase,
    keep_active,
    rate_per_minute,
    select_shown,
    sum_by,
)
from tools.dashboards.styling import (
    colour_series,
    list_legend,
    map_values,
    override_field,
    resize,
    set_thresholds,
    shorten_paths,
    stack,
)

_JOB = 'job=~"$job"'


def build() -> Json:
    """The whole dashboard."""
    return build_dashboard(
        EXPORTER,
        "The exporter itself: the provider's answers, the order of polls, what drop directories, intake "
        "and webhooks bring, odd answers, the store and the process.",
        (
            Row("Is it fine now?", (_build_headlines(),)),
            Row("Talking to the provider", (provider.build_answers(), provider.build_pace())),
            Row(
                "Polling",
                (_build_polls(), (provider.build_first_knowledge(), provider.build_requests_per_message())),
            ),
            Row("Taking in", (_build_ingestion(), _build_drop_directories())),
            Row("What should not happen", (_build_anomalies(),)),
            Row("Process", (_build_process(), _build_store(), (_build_exporter_table(),))),
        ),
    )


def _build_headlines() -> tuple[Panel, ...]:
    exporter = build_stat(
        "Exporter",
        "Whether Prometheus reaches every selected exporter. Down: nothing below is news.",
        TIMES,
        query_now(f"min(up{{{_JOB}}})"),
    )
    answering = build_stat(
        "Provider",
        "Whether the last answer of every selected account's provider was usable.",
        TIMES,
        query_now(f"min({select_shown(catalogue.API_UP)})"),
    )
    store = build_stat(
        "Store",
        "Whether durable state can be written. While it can't, polling stops and files wait.",
        TIMES,
        query_now(f"min({select_shown(catalogue.STORE_UP)})"),
    )
    answer = build_stat(
        "Last answer",
        "Time since the account that waits longest got a usable answer. Grows also while there is nothing "
        "to ask.",
        SECONDS,
        query_now(f"time() - min(max by (job, account) ({select_shown(catalogue.API_LAST_SUCCESS)}))"),
    )
    due = build_stat(
        "Due",
        "Messages whose time to be asked about has come. A few are normal; thousands mean that the request "
        "rate is too small for the traffic.",
        WHOLE,
        query_now(sum_by(select_shown(catalogue.POLLS_DUE))),
    )
    configuration = build_stat(
        "Config",
        "Whether the configuration was read without an error last time; when not, the old one goes on.",
        TIMES,
        query_now(f"min({select_shown(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)})"),
    )
    words = {0: ("Refused", AMBER), 1: ("In use", GREEN)}
    return (
        set_thresholds(_show_state(exporter, UP_OR_DOWN), background=True),
        set_thresholds(_show_state(answering, UP_OR_DOWN), background=True),
        _show_state(store, UP_OR_DOWN),
        set_thresholds(
            replace(answer, decimals=0, no_value="no answer yet"), (None, GREEN), (STALE_AFTER.value, AMBER)
        ),
        due,
        _show_state(configuration, words),
    )


def _show_state(panel: Panel, words: Mapping[int, tuple[str, str]]) -> Panel:
    return replace(map_values(panel, words), decimals=0, no_value="no sample")


def _rate_active(family: catalogue.Family, label: str) -> str:
    return keep_active(rate_per_minute(family, label), family, label)


def _build_polls() -> tuple[Panel, ...]:
    return tuple(resize(panel, 12, 9) for panel in (provider.build_poll_lag(), provider.build_polls_due()))


def _build_ingestion() -> tuple[Panel, ...]:
    tracked = build_graph(
        "Ids accepted by source",
        "Ids per minute that are new and now followed, by how they came.",
        COUNT,
        Target(rate_per_minute(catalogue.MESSAGES_TRACKED, "source"), "{{source}}"),
    )
    offered = build_graph(
        "Ids offered",
        "Ids per minute in dropped files and posted over HTTP, by what became of them. Duplicates are "
        "harmless; rejected ones never count anywhere else.",
        COUNT,
        Target(rate_per_minute(catalogue.DROP_LINES, "result"), "drop {{result}}"),
        Target(_rate_active(catalogue.INTAKE_MESSAGES, "result"), "intake {{result}}"),
    )
    rejected = build_graph(
        "Ids rejected by reason",
        "Entries of dropped files per minute that were refused, by reason. The lines are named in the "
        "folder failed/ beside the file.",
        COUNT,
        Target(_rate_active(catalogue.DROP_LINES_REJECTED, "reason"), "{{reason}}"),
    )
    return (
        resize(replace(stack(tracked), decimals=1), 8, 8),
        resize(replace(list_legend(offered), decimals=1), 8, 8),
        resize(replace(list_legend(rejected), decimals=1, no_value="none rejected in range"), 8, 8),
    )


def _build_drop_directories() -> tuple[Panel, ...]:
    state = build_timeline(
        "Drop directories",
        "Whether each drop directory could be read at the last pass.",
        Target(f"min by (directory) ({select_shown(catalogue.DROP_UP)})", "{{directory}}"),
    )
    files = build_graph(
        "Dropped files",
        "Files per minute by what became of them. Failed ones are in failed/, with the reason beside them.",
        COUNT,
        Target(_rate_active(catalogue.DROP_FILES, "result"), "{{result}}"),
    )
    webhooks = build_graph(
        "Webhook events",
        "Events per minute by what became of them. Unknown ids and wrong tokens change nothing.",
        COUNT,
        Target(_rate_active(catalogue.WEBHOOK_EVENTS, "result"), "{{result}}"),
    )
    return (
        resize(shorten_paths(map_values(state, {0: ("Unreadable", RED), 1: ("Read", GREEN)})), 8, 8),
        resize(replace(list_legend(files), decimals=1, no_value="no file in range"), 8, 8),
        resize(replace(list_legend(webhooks), decimals=1, no_value="no webhook in range"), 8, 8),
    )


def _build_anomalies() -> tuple[Panel, ...]:
    odd = build_graph(
        "Odd answers",
        "Answers per minute with a status word that we don't know, a cost that is no amount, or a status "
        "that contradicts an earlier final one. Not zero: the provider's API may have changed.",
        COUNT,
        Target(rate_per_minute(catalogue.UNKNOWN_STATUSES, "account"), "{{account}} unknown status"),
        Target(rate_per_minute(catalogue.INVALID_COSTS, "account"), "{{account}} invalid cost"),
        Target(rate_per_minute(catalogue.STATUS_CONFLICTS, "account"), "{{account}} conflict"),
    )
    late = build_graph(
        "Late statuses",
        "Messages per minute whose final status came after we had given up: not part of any share. Many of "
        "them: raise give_up_after.",
        COUNT,
        Target(rate_per_minute(catalogue.MESSAGES_LATE, "status"), "{{status}}"),
    )
    clock = build_graph(
        "Clock and log",
        "Jumps of the wall clock, and log lines lost because they could not be written fast enough, in "
        "each minute.",
        COUNT,
        Target(rate_per_minute(catalogue.CLOCK_STEPS), "clock steps"),
        Target(rate_per_minute(catalogue.LOG_MESSAGES_DROPPED), "log lines lost"),
    )
    bounds = build_graph(
        "At the limits",
        "1 while files wait because too much is followed, and messages per minute that were counted under "
        "a stand-in because a label had too many values.",
        TIMES,
        Target(f"max({select_shown(catalogue.DROP_BLOCKED)})", "files wait"),
        Target(rate_per_minute(catalogue.LABEL_OVERFLOW, "label"), "{{label}} overflow"),
    )
    return (
        resize(replace(list_legend(odd), decimals=1), 6, 8),
        resize(colour_series(replace(stack(late), decimals=1), STATUS_COLOURS), 6, 8),
        resize(replace(list_legend(bounds), decimals=1), 6, 8),
        resize(replace(list_legend(clock), decimals=1), 6, 8),
    )


def _build_process() -> tuple[Panel, ...]:
    loop = build_graph(
        "Event loop lag",
        "How late the event loop woke up. Above a tenth of a second polls and scrapes suffer.",
        SECONDS,
        Target(f"max by (instance) ({select_shown(catalogue.EVENT_LOOP_LAG)})", "{{instance}}"),
    )
    memory = build_graph(
        "Memory",
        "Resident memory of the process. About 200 bytes for each message followed, on top of the start.",
        "bytes",
        Target(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),
    )
    cpu = build_graph(
        "CPU",
        "Share of one processor core that the process uses.",
        SHARE,
        query_ratio(f"rate(process_cpu_seconds_total{{{_JOB}}}[{RATE}])", "{{instance}}"),
    )
    files = build_graph(
        "Open files",
        "Share of the allowed file descriptors in use. At 100 % no connection can be made or taken.",
        SHARE,
        query_ratio(
            f"process_open_fds{{{_JOB}}}\n  / (process_max_fds{{{_JOB}}} > 0)",
            "{{instance}}",
        ),
    )
    return tuple(resize(list_legend(panel), 6, 7) for panel in (loop, memory, cpu, files))


def _build_store() -> tuple[Panel, ...]:
    commits = select_shown(catalogue.STORE_COMMIT_DURATION, part="_bucket")
    spread = build_heatmap(
        "Commit time",
        "Transactions of the store by their duration: the darker, the more. A band that climbs is a slow "
        "disk.",
        sum_by(increase(commits, RATE), "le"),
    )
    slow = build_graph(
        "Slowest commits",
        "99 % of the transactions took less than this.",
        SECONDS,
        query_ratio(estimate_quantile(0.99, commits, RATE, "instance"), "{{instance}}"),
    )
    state = build_timeline(
        "Accounts polled here",
        "Which exporter polls an account and shows its messages; of several copies, one at a time.",
        Target(
            f"max by (account, instance) ({select_shown(catalogue.ACCOUNT_LEASE_HELD)})",
            "{{account}} {{instance}}",
        ),
    )
    return (
        resize(spread, 8, 8),
        resize(list_legend(slow), 8, 8),
        resize(map_values(state, {0: ("Elsewhere", GREY), 1: ("Here", GREEN)}), 8, 8),
    )


def _build_exporter_table() -> Panel:
    columns = {
        "Running for": query_column(f"time() - max by (instance) (process_start_time_seconds{{{_JOB}}})"),
        "Counting for": query_column(f"time() - max by (instance) ({select_shown(catalogue.STATE_CREATED)})"),
        "Config read": query_column(
            f"time() - max by (instance) ({select_shown(catalogue.CONFIG_LAST_RELOAD_SUCCESS)})"
        ),
        "Requests": query_column(sum_by(increase(select_shown(catalogue.API_REQUESTS), RANGE), "instance")),
    }
    panel = build_table(
        "Exporters",
        "Each running exporter: since when it runs, how old its durable counters are, and when its "
        "configuration was last read.",
        {"": query_column(f"max by (instance, version, python) ({select_shown(catalogue.BUILD_INFO)})")}
        | columns,
        "instance",
        "version",
        "python",
    )
    for name in ("Running for", "Counting for", "Config read"):
        panel = override_field(panel, name, {"unit": SECONDS, "decimals": 0})
    return resize(panel, 24, 5)
