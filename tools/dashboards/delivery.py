"""The dashboard "Delivery": is it fine now, and if not, whose messages, since when, how slow."""

from __future__ import annotations

from dataclasses import replace

from exporter.metrics import catalogue
from tools.dashboards import cost, provider
from tools.dashboards.constants import (
    AMBER,
    ANSWERED_STATUSES,
    DELIVERY,
    GREEN,
    LOWEST_FAIR_SHARE,
    LOWEST_GOOD_SHARE,
    PENDING_STATUSES,
    QUICK_SECONDS,
    RED,
    STATUS_COLOURS,
    STUCK_SHARE,
    UNOBSERVED_SHARE,
    UP_OR_DOWN,
)
from tools.dashboards.layout import Row, build_campaign_link, build_dashboard, link_campaign
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
    query_column,
    query_now,
    query_ratio,
)
from tools.dashboards.promql import (
    RANGE,
    RATE,
    complement,
    divide,
    estimate_quantile,
    increase,
    match_any,
    rate_per_minute,
    select_shown,
    sum_by,
)
from tools.dashboards.styling import (
    colour_series,
    draw_thin,
    draw_threshold,
    map_values,
    override_field,
    resize,
    set_thresholds,
    sort_lowest_first,
    stack,
    use_log_scale,
)

SHARE_STEPS = ((None, RED), (LOWEST_FAIR_SHARE, AMBER), (LOWEST_GOOD_SHARE, GREEN))
BUDGET_STEPS = ((None, RED), (0, AMBER), (0.25, GREEN))

ANSWER_STEP = "15m"
"""A rate looks back four steps: an hour, as the alert about hanging messages does."""

_OBJECTIVE = select_shown(catalogue.SLO_OBJECTIVE)
_PENDING = select_shown(catalogue.MESSAGES, match_any("status", PENDING_STATUSES))
_BUCKETS = select_shown(catalogue.DELIVERY_DURATION, part="_bucket")


def build() -> Json:
    """The whole dashboard."""
    return build_dashboard(
        DELIVERY,
        "How many messages arrive in time, how fast, and what hangs. Judged by the time of sending: every "
        "message counts once, when it reaches its campaign's deadline.",
        (
            Row("Is it fine now?", (_build_headlines(),)),
            Row("Delivery", (_build_rates(), (_build_campaign_table(),))),
            Row("Latency and what hangs", (_build_latency(), _build_waiting())),
            Row("Fallback and cost", ((cost.build_fallback_share(), cost.build_spend_per_hour()),)),
            Row(
                "Exporter",
                ((provider.build_requests(), provider.build_poll_lag(), provider.build_polls_due()),),
                collapsed=True,
            ),
        ),
    )


def _on_time_share(window: str, *labels: str) -> str:
    """Of the messages judged in the window, the share delivered by their deadline."""
    missed = sum_by(increase(select_shown(catalogue.SLO_MISSED), window), *labels)
    judged = sum_by(increase(select_shown(catalogue.SLO_MESSAGES), window), *labels)
    return complement(divide(missed, judged))


def _budget_left(window: str, *labels: str) -> str:
    """What is left of the misses that the objectives allow, weighted by each campaign's messages."""
    matched = ("job", "campaign")
    missed = sum_by(increase(select_shown(catalogue.SLO_MISSED), window), *labels)
    judged = sum_by(increase(select_shown(catalogue.SLO_MESSAGES), window), *matched)
    objective = f"min by ({', '.join(matched)}) ({_OBJECTIVE})"
    allowed = sum_by(f"{judged} * on ({', '.join(matched)}) (1 - {objective})", *labels)
    return complement(divide(missed, allowed))


def _build_headlines() -> tuple[Panel, ...]:
    in_time = build_stat(
        "In time",
        "Share of the messages judged in the selected range that were delivered by their deadline. A "
        "message is judged once, at its deadline. When red, see which campaign in the table below.",
        SHARE,
        query_now(_on_time_share(RANGE)),
    )
    budget = build_stat(
        "Budget left",
        "Of the misses that the campaigns' objectives allow for the messages of the selected range, the "
        "share not used up; below 0 the objective is broken. When red, find the campaign below and follow "
        "its runbook.",
        SHARE,
        query_now(_budget_left(RANGE)),
    )
    accepted = build_stat(
        "Accepted",
        "Message ids taken in during the selected range, from all sources. Falls to 0 when nothing is sent "
        "or when ids no longer reach the exporter.",
        WHOLE,
        query_now(sum_by(increase(select_shown(catalogue.MESSAGES_TRACKED), RANGE))),
    )
    pending = build_stat(
        "Pending",
        "Messages without a final status at this moment. Grows during a campaign; when it grows without "
        "one, look at what hangs.",
        WHOLE,
        query_now(sum_by(_PENDING)),
    )
    p95 = build_stat(
        "95 % within",
        "95 % of the messages delivered in the selected range arrived faster than this. Survivors only: "
        "messages that never arrive are not in it.",
        SECONDS,
        query_now(estimate_quantile(0.95, _BUCKETS, RANGE)),
    )
    answering = build_stat(
        "Provider",
        "Whether the last answer of every selected account's provider was usable. Down: see the row "
        "Exporter for how requests end.",
        TIMES,
        query_now(f"min({select_shown(catalogue.API_UP)})"),
    )
    return (
        set_thresholds(in_time, *SHARE_STEPS),
        set_thresholds(budget, *BUDGET_STEPS, background=True),
        accepted,
        pending,
        p95,
        set_thresholds(
            replace(map_values(answering, UP_OR_DOWN), decimals=0, no_value="no answer yet"), background=True
        ),
    )


def _build_rates() -> tuple[Panel, ...]:
    in_time = build_graph(
        "Delivered in time by campaign",
        "Share of judged messages that were delivered by their deadline; a gap means none was judged. "
        "Dashed: the lowest objective among the selected campaigns. Delay: one deadline. Click a campaign "
        "to see it alone.",
        SHARE,
        query_ratio(_on_time_share(RATE, "campaign"), "{{campaign}}"),
        Target(f"min({_OBJECTIVE})", "lowest objective"),
    )
    dashed = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.lineWidth": 1,
        "color": {"mode": "fixed", "fixedColor": RED},
        # The line is no campaign: a click on it leads nowhere.
        "links": [],
    }
    finished = build_graph(
        "Messages finished by status",
        "Messages per minute by how they ended, each counted once, when its first final status was seen. "
        "Orange: we stopped asking. Delay: the polling interval of the campaign.",
        COUNT,
        Target(rate_per_minute(catalogue.MESSAGES_FINISHED, "status"), "{{status}}"),
    )
    return (
        resize(override_field(link_campaign(sort_lowest_first(in_time)), "lowest objective", dashed), 12, 11),
        resize(colour_series(replace(stack(finished), decimals=1), STATUS_COLOURS), 12, 11),
    )


def _build_campaign_table() -> Panel:
    columns = {
        "Accepted": query_column(
            sum_by(increase(select_shown(catalogue.MESSAGES_TRACKED), RANGE), "campaign")
        ),
        "In time": query_column(_on_time_share(RANGE, "campaign")),
        "Objective": query_column(f"min by (campaign) ({_OBJECTIVE})"),
        "Budget left": query_column(_budget_left(RANGE, "campaign")),
        "Deadline": query_column(f"min by (campaign) ({select_shown(catalogue.SLO_DEADLINE)})"),
        "95 % within": query_column(estimate_quantile(0.95, _BUCKETS, RANGE, "campaign")),
        "Pending": query_column(sum_by(_PENDING, "campaign")),
        "Oldest": query_column(f"time() - min by (campaign) ({select_shown(catalogue.OLDEST_PENDING)})"),
    }
    panel = build_table(
        "Campaigns",
        "One line a campaign over the selected range: ids accepted, share delivered in time and its "
        "objective, budget of misses left, 95th percentile of delivery time; what is pending now, and how "
        "long the oldest of it. Click a name for it alone.",
        columns,
        "campaign",
    )
    panel = override_field(
        panel, "Campaign", {"links": [build_campaign_link("${__value.raw}")], "custom.minWidth": 92}
    )
    share_look: Json = {"unit": SHARE, "decimals": 1}
    coloured_text = {"custom.cellOptions": {"type": "color-text"}}
    # What has no value is not the worst.
    blank: Json = {"match": "null", "result": {"color": "text", "index": 0, "text": "-"}}
    nothing = {"mappings": [{"type": "special", "options": blank}]}
    for name, steps in (("In time", SHARE_STEPS), ("Budget left", BUDGET_STEPS)):
        thresholds = {"mode": "absolute", "steps": [{"color": c, "value": start} for start, c in steps]}
        panel = override_field(panel, name, share_look | coloured_text | nothing | {"thresholds": thresholds})
    panel = override_field(panel, "Objective", share_look)
    for name in ("Deadline", "95 % within", "Oldest"):
        panel = override_field(panel, name, {"unit": SECONDS, "decimals": 1})
    return panel


def _build_latency() -> tuple[Panel, ...]:
    buckets = sum_by(increase(_BUCKETS, RATE), "le")
    spread = build_heatmap(
        "Delivery time",
        "Delivered messages by the time from sending to delivery: the darker, the more. With polling the "
        "time is an upper bound. A band that climbs is a provider that slows down.",
        buckets,
    )
    within = f'le="{QUICK_SECONDS}"'
    quick = build_graph(
        "Within half a minute",
        "Of the delivered messages, the share that took at most 30 s. Messages that never arrive are not "
        "in it.",
        SHARE,
        query_ratio(
            divide(
                sum_by(
                    increase(select_shown(catalogue.DELIVERY_DURATION, within, part="_bucket"), RATE),
                    "campaign",
                ),
                sum_by(increase(select_shown(catalogue.DELIVERY_DURATION, part="_count"), RATE), "campaign"),
            ),
            "{{campaign}}",
        ),
    )
    quantiles = build_graph(
        "Time to delivery",
        "Half of the delivered messages arrived within the lower line of a campaign, 95 % within the "
        "upper. Logarithmic. Estimated from buckets: between two bounds it is a guess.",
        SECONDS,
        query_ratio(estimate_quantile(0.5, _BUCKETS, RATE, "campaign"), "{{campaign}} 50 %"),
        query_ratio(estimate_quantile(0.95, _BUCKETS, RATE, "campaign"), "{{campaign}}"),
    )
    return (
        resize(spread, 8, 10),
        resize(link_campaign(use_log_scale(draw_thin(quantiles, ".* 50 %"))), 8, 10),
        resize(link_campaign(quick), 8, 10),
    )


def _build_waiting() -> tuple[Panel, ...]:
    answers = increase(
        select_shown(catalogue.MESSAGES_FINISHED, match_any("status", ANSWERED_STATUSES)), RATE
    )
    accepted = sum_by(increase(select_shown(catalogue.MESSAGES_TRACKED), RATE), "campaign")
    # After a burst there are more answers than new messages.
    unanswered = f"clamp_min({complement(divide(sum_by(answers, 'campaign'), accepted))}, 0)"
    hanging = build_graph(
        "Without an answer",
        "One minus the messages that got a final status, per message accepted, over an hour. High while a "
        "campaign is sent; an alert fires when it stays above the line and the oldest message is past twice "
        "its deadline.",
        SHARE,
        Target(unanswered, "{{campaign}}", min_step=ANSWER_STEP),
    )
    waiting = build_graph(
        "Messages waiting",
        "Messages without a final status, by current status. `new` has not been answered yet.",
        WHOLE,
        Target(sum_by(_PENDING, "status"), "{{status}}"),
    )
    unseen = sum_by(increase(select_shown(catalogue.SLO_UNOBSERVED), RATE), "campaign")
    judged = sum_by(increase(select_shown(catalogue.SLO_MESSAGES), RATE), "campaign")
    unobserved = build_graph(
        "Not looked at in time",
        "Share of messages that nobody could look at by their deadline: provider down, or more messages "
        "than the request rate allows. They are in no other share here. Above the line, see the Exporter "
        "dashboard.",
        SHARE,
        query_ratio(divide(unseen, f"({unseen} + {judged})"), "{{campaign}}"),
    )
    return (
        resize(link_campaign(draw_threshold(hanging, STUCK_SHARE)), 8, 10),
        resize(colour_series(stack(waiting), STATUS_COLOURS), 8, 10),
        resize(link_campaign(draw_threshold(unobserved, UNOBSERVED_SHARE)), 8, 10),
    )
