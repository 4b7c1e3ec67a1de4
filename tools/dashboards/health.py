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
from tools.dashboards.layout import Row, dashboard
from tools.dashboards.looks import coloured, graded, listed, shortened, sized, spelled, stacked, styled
from tools.dashboards.panels import (
    COUNT,
    SECONDS,
    SHARE,
    TIMES,
    WHOLE,
    Json,
    Panel,
    Target,
    column,
    graph,
    heatmap,
    now,
    ratio,
    stat,
    table,
    timeline,
)
from tools.dashboards.promql import RANGE, RATE, active, increase, per_minute, quantile, shown, total

_JOB = 'job=~"$job"'


def build() -> Json:
    """The whole dashboard."""
    return dashboard(
        EXPORTER,
        "The exporter itself: the provider's answers, the order of polls, what drop directories, intake "
        "and webhooks bring, odd answers, the store and the process.",
        (
            Row("Is it fine now?", (_headlines(),)),
            Row("Talking to the provider", (provider.answers(), provider.pace())),
            Row("Polling", (_polls(), (provider.first_knowledge(), provider.requests_per_message()))),
            Row("Taking in", (_taken_in(), _drop_directories())),
            Row("What should not happen", (_odd(),)),
            Row("Process", (_process(), _store(), (_builds(),))),
        ),
    )


def _headlines() -> tuple[Panel, ...]:
    exporter = stat(
        "Exporter",
        "Whether Prometheus reaches every selected exporter. Down: nothing below is news.",
        TIMES,
        now(f"min(up{{{_JOB}}})"),
    )
    answering = stat(
        "Provider",
        "Whether the last answer of every selected account's provider was usable.",
        TIMES,
        now(f"min({shown(catalogue.API_UP)})"),
    )
    store = stat(
        "Store",
        "Whether durable state can be written. While it can't, polling stops and files wait.",
        TIMES,
        now(f"min({shown(catalogue.STORE_UP)})"),
    )
    answer = stat(
        "Last answer",
        "Time since the account that waits longest got a usable answer. Grows also while there is nothing "
        "to ask.",
        SECONDS,
        now(f"time() - min(max by (job, account) ({shown(catalogue.API_LAST_SUCCESS)}))"),
    )
    due = stat(
        "Due",
        "Messages whose time to be asked about has come. A few are normal; thousands mean that the request "
        "rate is too small for the traffic.",
        WHOLE,
        now(total(shown(catalogue.POLLS_DUE))),
    )
    configuration = stat(
        "Config",
        "Whether the configuration was read without an error last time; when not, the old one goes on.",
        TIMES,
        now(f"min({shown(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)})"),
    )
    words = {0: ("Refused", AMBER), 1: ("In use", GREEN)}
    return (
        graded(_worded(exporter, UP_OR_DOWN), background=True),
        graded(_worded(answering, UP_OR_DOWN), background=True),
        _worded(store, UP_OR_DOWN),
        graded(
            replace(answer, decimals=0, no_value="no answer yet"), (None, GREEN), (STALE_AFTER.value, AMBER)
        ),
        due,
        _worded(configuration, words),
    )


def _worded(panel: Panel, words: Mapping[int, tuple[str, str]]) -> Panel:
    return replace(spelled(panel, words), decimals=0, no_value="no sample")


def _active(family: catalogue.Family, label: str) -> str:
    return active(per_minute(family, label), family, label)


def _polls() -> tuple[Panel, ...]:
    return tuple(sized(panel, 12, 9) for panel in (provider.poll_lag(), provider.polls_due()))


def _taken_in() -> tuple[Panel, ...]:
    tracked = graph(
        "Ids accepted by source",
        "Ids per minute that are new and now followed, by how they came.",
        COUNT,
        Target(per_minute(catalogue.MESSAGES_TRACKED, "source"), "{{source}}"),
    )
    offered = graph(
        "Ids offered",
        "Ids per minute in dropped files and posted over HTTP, by what became of them. Duplicates are "
        "harmless; rejected ones never count anywhere else.",
        COUNT,
        Target(per_minute(catalogue.DROP_LINES, "result"), "drop {{result}}"),
        Target(_active(catalogue.INTAKE_MESSAGES, "result"), "intake {{result}}"),
    )
    rejected = graph(
        "Ids rejected by reason",
        "Entries of dropped files per minute that were refused, by reason. The lines are named in the "
        "folder failed/ beside the file.",
        COUNT,
        Target(_active(catalogue.DROP_LINES_REJECTED, "reason"), "{{reason}}"),
    )
    return (
        sized(replace(stacked(tracked), decimals=1), 8, 8),
        sized(replace(listed(offered), decimals=1), 8, 8),
        sized(replace(listed(rejected), decimals=1, no_value="none rejected in range"), 8, 8),
    )


def _drop_directories() -> tuple[Panel, ...]:
    state = timeline(
        "Drop directories",
        "Whether each drop directory could be read at the last pass.",
        Target(f"min by (directory) ({shown(catalogue.DROP_UP)})", "{{directory}}"),
    )
    files = graph(
        "Dropped files",
        "Files per minute by what became of them. Failed ones are in failed/, with the reason beside them.",
        COUNT,
        Target(_active(catalogue.DROP_FILES, "result"), "{{result}}"),
    )
    webhooks = graph(
        "Webhook events",
        "Events per minute by what became of them. Unknown ids and wrong tokens change nothing.",
        COUNT,
        Target(_active(catalogue.WEBHOOK_EVENTS, "result"), "{{result}}"),
    )
    return (
        sized(shortened(spelled(state, {0: ("Unreadable", RED), 1: ("Read", GREEN)})), 8, 8),
        sized(replace(listed(files), decimals=1, no_value="no file in range"), 8, 8),
        sized(replace(listed(webhooks), decimals=1, no_value="no webhook in range"), 8, 8),
    )


def _odd() -> tuple[Panel, ...]:
    odd = graph(
        "Odd answers",
        "Answers per minute with a status word that we don't know, a cost that is no amount, or a status "
        "that contradicts an earlier final one. Not zero: the provider's API may have changed.",
        COUNT,
        Target(per_minute(catalogue.UNKNOWN_STATUSES, "account"), "{{account}} unknown status"),
        Target(per_minute(catalogue.INVALID_COSTS, "account"), "{{account}} invalid cost"),
        Target(per_minute(catalogue.STATUS_CONFLICTS, "account"), "{{account}} conflict"),
    )
    late = graph(
        "Late statuses",
        "Messages per minute whose final status came after we had given up: not part of any share. Many of "
        "them: raise give_up_after.",
        COUNT,
        Target(per_minute(catalogue.MESSAGES_LATE, "status"), "{{status}}"),
    )
    clock = graph(
        "Clock and log",
        "Jumps of the wall clock, and log lines lost because they could not be written fast enough, in "
        "each minute.",
        COUNT,
        Target(per_minute(catalogue.CLOCK_STEPS), "clock steps"),
        Target(per_minute(catalogue.LOG_MESSAGES_DROPPED), "log lines lost"),
    )
    bounds = graph(
        "At the limits",
        "1 while files wait because too much is followed, and messages per minute that were counted under "
        "a stand-in because a label had too many values.",
        TIMES,
        Target(f"max({shown(catalogue.DROP_BLOCKED)})", "files wait"),
        Target(per_minute(catalogue.LABEL_OVERFLOW, "label"), "{{label}} overflow"),
    )
    return (
        sized(replace(listed(odd), decimals=1), 6, 8),
        sized(coloured(replace(stacked(late), decimals=1), STATUS_COLOURS), 6, 8),
        sized(replace(listed(bounds), decimals=1), 6, 8),
        sized(replace(listed(clock), decimals=1), 6, 8),
    )


def _process() -> tuple[Panel, ...]:
    loop = graph(
        "Event loop lag",
        "How late the event loop woke up. Above a tenth of a second polls and scrapes suffer.",
        SECONDS,
        Target(f"max by (instance) ({shown(catalogue.EVENT_LOOP_LAG)})", "{{instance}}"),
    )
    memory = graph(
        "Memory",
        "Resident memory of the process. About 200 bytes for each message followed, on top of the start.",
        "bytes",
        Target(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),
    )
    cpu = graph(
        "CPU",
        "Share of one processor core that the process uses.",
        SHARE,
        ratio(f"rate(process_cpu_seconds_total{{{_JOB}}}[{RATE}])", "{{instance}}"),
    )
    files = graph(
        "Open files",
        "Share of the allowed file descriptors in use. At 100 % no connection can be made or taken.",
        SHARE,
        ratio(
            f"process_open_fds{{{_JOB}}}\n  / (process_max_fds{{{_JOB}}} > 0)",
            "{{instance}}",
        ),
    )
    return tuple(sized(listed(panel), 6, 7) for panel in (loop, memory, cpu, files))


def _store() -> tuple[Panel, ...]:
    commits = shown(catalogue.STORE_COMMIT_DURATION, part="_bucket")
    spread = heatmap(
        "Commit time",
        "Transactions of the store by their duration: the darker, the more. A band that climbs is a slow "
        "disk.",
        total(increase(commits, RATE), "le"),
    )
    slow = graph(
        "Slowest commits",
        "99 % of the transactions took less than this.",
        SECONDS,
        ratio(quantile(0.99, commits, RATE, "instance"), "{{instance}}"),
    )
    state = timeline(
        "Accounts polled here",
        "Which exporter polls an account and shows its messages; of several copies, one at a time.",
        Target(
            f"max by (account, instance) ({shown(catalogue.ACCOUNT_LEASE_HELD)})",
            "{{account}} {{instance}}",
        ),
    )
    return (
        sized(spread, 8, 8),
        sized(listed(slow), 8, 8),
        sized(spelled(state, {0: ("Elsewhere", GREY), 1: ("Here", GREEN)}), 8, 8),
    )


def _builds() -> Panel:
    columns = {
        "Running for": column(f"time() - max by (instance) (process_start_time_seconds{{{_JOB}}})"),
        "Counting for": column(f"time() - max by (instance) ({shown(catalogue.STATE_CREATED)})"),
        "Config read": column(f"time() - max by (instance) ({shown(catalogue.CONFIG_LAST_RELOAD_SUCCESS)})"),
        "Requests": column(total(increase(shown(catalogue.API_REQUESTS), RANGE), "instance")),
    }
    panel = table(
        "Exporters",
        "Each running exporter: since when it runs, how old its durable counters are, and when its "
        "configuration was last read.",
        {"": column(f"max by (instance, version, python) ({shown(catalogue.BUILD_INFO)})")} | columns,
        "instance",
        "version",
        "python",
    )
    for name in ("Running for", "Counting for", "Config read"):
        panel = styled(panel, name, {"unit": SECONDS, "decimals": 0})
    return sized(panel, 24, 5)
