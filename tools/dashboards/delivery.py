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
from tools.dashboards.layout import Row, campaign_link, dashboard, only_campaign
from tools.dashboards.looks import (
    coloured,
    graded,
    limited,
    logarithmic,
    lowest_first,
    sized,
    spelled,
    stacked,
    styled,
    thin,
)
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
)
from tools.dashboards.promql import (
    RANGE,
    RATE,
    complement,
    increase,
    one_of,
    per_minute,
    quantile,
    share,
    shown,
    total,
)

SHARE_STEPS = ((None, RED), (LOWEST_FAIR_SHARE, AMBER), (LOWEST_GOOD_SHARE, GREEN))
BUDGET_STEPS = ((None, RED), (0, AMBER), (0.25, GREEN))

ANSWER_STEP = "15m"
"""A rate looks back four steps: an hour, as the alert about hanging messages does."""

_OBJECTIVE = shown(catalogue.SLO_OBJECTIVE)
_PENDING = shown(catalogue.MESSAGES, one_of("status", PENDING_STATUSES))
_BUCKETS = shown(catalogue.DELIVERY_DURATION, part="_bucket")


def build() -> Json:
    """The whole dashboard."""
    return dashboard(
        DELIVERY,
        "How many messages arrive in time, how fast, and what hangs. Judged by the time of sending: every "
        "message counts once, when it reaches its campaign's deadline.",
        (
            Row("Is it fine now?", (_headlines(),)),
            Row("Delivery", (_rates(), (_campaigns(),))),
            Row("Latency and what hangs", (_latency(), _waiting())),
            Row("Fallback and cost", ((cost.fallback_share(), cost.spend_per_hour()),)),
            Row(
                "Exporter",
                ((provider.requests(), provider.poll_lag(), provider.polls_due()),),
                collapsed=True,
            ),
        ),
    )


def _in_time(window: str, *labels: str) -> str:
    """Of the messages judged in the window, the share delivered by their deadline."""
    missed = total(increase(shown(catalogue.SLO_MISSED), window), *labels)
    judged = total(increase(shown(catalogue.SLO_MESSAGES), window), *labels)
    return complement(share(missed, judged))


def _budget_left(window: str, *labels: str) -> str:
    """What is left of the misses that the objectives allow, weighted by each campaign's messages."""
    matched = ("job", "campaign")
    missed = total(increase(shown(catalogue.SLO_MISSED), window), *labels)
    judged = total(increase(shown(catalogue.SLO_MESSAGES), window), *matched)
    objective = f"min by ({', '.join(matched)}) ({_OBJECTIVE})"
    allowed = total(f"{judged} * on ({', '.join(matched)}) (1 - {objective})", *labels)
    return complement(share(missed, allowed))


def _headlines() -> tuple[Panel, ...]:
    in_time = stat(
        "In time",
        "Share of the messages judged in the selected range that were delivered by their deadline. A "
        "message is judged once, at its deadline. When red, see which campaign in the table below.",
        SHARE,
        now(_in_time(RANGE)),
    )
    budget = stat(
        "Budget left",
        "Of the misses that the campaigns' objectives allow for the messages of the selected range, the "
        "share not used up; below 0 the objective is broken. When red, find the campaign below and follow "
        "its runbook.",
        SHARE,
        now(_budget_left(RANGE)),
    )
    accepted = stat(
        "Accepted",
        "Message ids taken in during the selected range, from all sources. Falls to 0 when nothing is sent "
        "or when ids no longer reach the exporter.",
        WHOLE,
        now(total(increase(shown(catalogue.MESSAGES_TRACKED), RANGE))),
    )
    pending = stat(
        "Pending",
        "Messages without a final status at this moment. Grows during a campaign; when it grows without "
        "one, look at what hangs.",
        WHOLE,
        now(total(_PENDING)),
    )
    p95 = stat(
        "95 % within",
        "95 % of the messages delivered in the selected range arrived faster than this. Survivors only: "
        "messages that never arrive are not in it.",
        SECONDS,
        now(quantile(0.95, _BUCKETS, RANGE)),
    )
    answering = stat(
        "Provider",
        "Whether the last answer of every selected account's provider was usable. Down: see the row "
        "Exporter for how requests end.",
        TIMES,
        now(f"min({shown(catalogue.API_UP)})"),
    )
    return (
        graded(in_time, *SHARE_STEPS),
        graded(budget, *BUDGET_STEPS, background=True),
        accepted,
        pending,
        p95,
        graded(
            replace(spelled(answering, UP_OR_DOWN), decimals=0, no_value="no answer yet"), background=True
        ),
    )


def _rates() -> tuple[Panel, ...]:
    in_time = graph(
        "Delivered in time by campaign",
        "Share of judged messages that were delivered by their deadline; a gap means none was judged. "
        "Dashed: the lowest objective among the selected campaigns. Delay: one deadline. Click a campaign "
        "to see it alone.",
        SHARE,
        ratio(_in_time(RATE, "campaign"), "{{campaign}}"),
        Target(f"min({_OBJECTIVE})", "lowest objective"),
    )
    dashed = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.lineWidth": 1,
        "color": {"mode": "fixed", "fixedColor": RED},
        # The line is no campaign: a click on it leads nowhere.
        "links": [],
    }
    finished = graph(
        "Messages finished by status",
        "Messages per minute by how they ended, each counted once, when its first final status was seen. "
        "Orange: we stopped asking. Delay: the polling interval of the campaign.",
        COUNT,
        Target(per_minute(catalogue.MESSAGES_FINISHED, "status"), "{{status}}"),
    )
    return (
        sized(styled(only_campaign(lowest_first(in_time)), "lowest objective", dashed), 12, 11),
        sized(coloured(replace(stacked(finished), decimals=1), STATUS_COLOURS), 12, 11),
    )


def _campaigns() -> Panel:
    columns = {
        "Accepted": column(total(increase(shown(catalogue.MESSAGES_TRACKED), RANGE), "campaign")),
        "In time": column(_in_time(RANGE, "campaign")),
        "Objective": column(f"min by (campaign) ({_OBJECTIVE})"),
        "Budget left": column(_budget_left(RANGE, "campaign")),
        "Deadline": column(f"min by (campaign) ({shown(catalogue.SLO_DEADLINE)})"),
        "95 % within": column(quantile(0.95, _BUCKETS, RANGE, "campaign")),
        "Pending": column(total(_PENDING, "campaign")),
        "Oldest": column(f"time() - min by (campaign) ({shown(catalogue.OLDEST_PENDING)})"),
    }
    panel = table(
        "Campaigns",
        "One line a campaign over the selected range: ids accepted, share delivered in time and its "
        "objective, budget of misses left, 95th percentile of delivery time; what is pending now, and how "
        "long the oldest of it. Click a name for it alone.",
        columns,
        "campaign",
    )
    panel = styled(panel, "Campaign", {"links": [campaign_link("${__value.raw}")], "custom.minWidth": 92})
    share_look: Json = {"unit": SHARE, "decimals": 1}
    coloured_text = {"custom.cellOptions": {"type": "color-text"}}
    # What has no value is not the worst.
    blank: Json = {"match": "null", "result": {"color": "text", "index": 0, "text": "-"}}
    nothing = {"mappings": [{"type": "special", "options": blank}]}
    for name, steps in (("In time", SHARE_STEPS), ("Budget left", BUDGET_STEPS)):
        thresholds = {"mode": "absolute", "steps": [{"color": c, "value": start} for start, c in steps]}
        panel = styled(panel, name, share_look | coloured_text | nothing | {"thresholds": thresholds})
    panel = styled(panel, "Objective", share_look)
    for name in ("Deadline", "95 % within", "Oldest"):
        panel = styled(panel, name, {"unit": SECONDS, "decimals": 1})
    return panel


def _latency() -> tuple[Panel, ...]:
    buckets = total(increase(_BUCKETS, RATE), "le")
    spread = heatmap(
        "Delivery time",
        "Delivered messages by the time from sending to delivery: the darker, the more. With polling the "
        "time is an upper bound. A band that climbs is a provider that slows down.",
        buckets,
    )
    within = f'le="{QUICK_SECONDS}"'
    quick = graph(
        "Within half a minute",
        "Of the delivered messages, the share that took at most 30 s. Messages that never arrive are not "
        "in it.",
        SHARE,
        ratio(
            share(
                total(increase(shown(catalogue.DELIVERY_DURATION, within, part="_bucket"), RATE), "campaign"),
                total(increase(shown(catalogue.DELIVERY_DURATION, part="_count"), RATE), "campaign"),
            ),
            "{{campaign}}",
        ),
    )
    quantiles = graph(
        "Time to delivery",
        "Half of the delivered messages arrived within the lower line of a campaign, 95 % within the "
        "upper. Logarithmic. Estimated from buckets: between two bounds it is a guess.",
        SECONDS,
        ratio(quantile(0.5, _BUCKETS, RATE, "campaign"), "{{campaign}} 50 %"),
        ratio(quantile(0.95, _BUCKETS, RATE, "campaign"), "{{campaign}}"),
    )
    return (
        sized(spread, 8, 10),
        sized(only_campaign(logarithmic(thin(quantiles, ".* 50 %"))), 8, 10),
        sized(only_campaign(quick), 8, 10),
    )


def _waiting() -> tuple[Panel, ...]:
    answers = increase(shown(catalogue.MESSAGES_FINISHED, one_of("status", ANSWERED_STATUSES)), RATE)
    accepted = total(increase(shown(catalogue.MESSAGES_TRACKED), RATE), "campaign")
    # After a burst there are more answers than new messages.
    unanswered = f"clamp_min({complement(share(total(answers, 'campaign'), accepted))}, 0)"
    hanging = graph(
        "Without an answer",
        "One minus the messages that got a final status, per message accepted, over an hour. High while a "
        "campaign is sent; an alert fires when it stays above the line and the oldest message is past twice "
        "its deadline.",
        SHARE,
        Target(unanswered, "{{campaign}}", min_step=ANSWER_STEP),
    )
    waiting = graph(
        "Messages waiting",
        "Messages without a final status, by current status. `new` has not been answered yet.",
        WHOLE,
        Target(total(_PENDING, "status"), "{{status}}"),
    )
    unseen = total(increase(shown(catalogue.SLO_UNOBSERVED), RATE), "campaign")
    judged = total(increase(shown(catalogue.SLO_MESSAGES), RATE), "campaign")
    unobserved = graph(
        "Not looked at in time",
        "Share of messages that nobody could look at by their deadline: provider down, or more messages "
        "than the request rate allows. They are in no other share here. Above the line, see the Exporter "
        "dashboard.",
        SHARE,
        ratio(share(unseen, f"({unseen} + {judged})"), "{{campaign}}"),
    )
    return (
        sized(only_campaign(limited(hanging, STUCK_SHARE)), 8, 10),
        sized(coloured(stacked(waiting), STATUS_COLOURS), 8, 10),
        sized(only_campaign(limited(unobserved, UNOBSERVED_SHARE)), 8, 10),
    )
