"""The dashboard "Cost and fallback": what messages cost, which channel carried them, when SMS had to help."""

from __future__ import annotations

from dataclasses import replace

from exporter.metrics import catalogue
from tools.dashboards.constants import ANSWERED_STATUSES, COST, FALLBACK_SHARE, STATUS_COLOURS
from tools.dashboards.layout import Row, build_campaign_link, build_dashboard, link_campaign
from tools.dashboards.panels import (
    COUNT,
    SHARE,
    TIMES,
    WHOLE,
    Json,
    Panel,
    Target,
    build_graph,
    build_stat,
    build_table,
    query_column,
    query_now,
    query_ratio,
)
from tools.dashboards.promql import (
    RANGE,
    RATE,
    divide,
    increase,
    match_any,
    rate,
    rate_per_minute,
    select_shown,
    sum_by,
)
from tools.dashboards.styling import (
    arrange_vertically,
    colour_series,
    draw_threshold,
    format_currencies,
    override_field,
    resize,
    sort_lowest_first,
    stack,
)

_USED = 'status!="not_used"'
_DELIVERED = 'status="delivered"'
_ANSWERED = match_any("status", ANSWERED_STATUSES)
_NEVER_SUM = "Every currency stands alone."


def build() -> Json:
    """The whole dashboard."""
    return build_dashboard(
        COST,
        "What finished messages cost, per campaign and currency, how often a fallback was used, and which "
        "channels deliver. Money is counted when a message finishes; currencies are never added up.",
        (
            Row("Is it fine now?", (_build_headlines(),)),
            Row("Money", ((_build_hourly_spend(), _build_cost_per_message()), (_build_spend_table(),))),
            Row("Fallback", ((build_fallback_share(), _build_fallbacks()),)),
            Row("Channels and parts", ((_build_channels(), _build_channel_share(), _build_parts()),)),
        ),
    )


def _sum_increase(family: catalogue.Family, window: str, *labels: str, matcher: str = "") -> str:
    selector = select_shown(family, matcher) if matcher else select_shown(family)
    return sum_by(increase(selector, window), *labels)


def _cost_per_delivered(window: str, *labels: str) -> str:
    """Money for each delivered message: what did not arrive is paid for by what did.

    Divided by the messages of the campaigns that are paid in the currency, not by those of all.
    """
    one = ("job", "account", "campaign")
    spent = _sum_increase(catalogue.COST, window, *labels, "currency")
    paid = f"({_sum_increase(catalogue.COST, window, *one, 'currency')} > bool 0)"
    delivered = _sum_increase(catalogue.MESSAGES_FINISHED, window, *one, matcher=_DELIVERED)
    whole = sum_by(f"{paid} * on ({', '.join(one)}) group_left () {delivered}", *labels, "currency")
    return divide(spent, whole)


def _fallback_ratio(window: str, *labels: str) -> str:
    return divide(
        _sum_increase(catalogue.FALLBACKS, window, *labels, matcher=_USED),
        _sum_increase(catalogue.MESSAGES_FINISHED, window, *labels),
    )


def _build_headlines() -> tuple[Panel, ...]:
    spend = build_stat(
        "Spend",
        f"Cost of the messages that finished in the selected range. {_NEVER_SUM}",
        COUNT,
        query_now(_sum_increase(catalogue.COST, RANGE, "currency"), "{{currency}}"),
    )
    price = build_stat(
        "Per delivery",
        f"Spend of the selected range divided by the messages delivered in it. {_NEVER_SUM} Where "
        "campaigns have different currencies, choose one campaign to compare.",
        COUNT,
        query_now(_cost_per_delivered(RANGE), "{{currency}}"),
    )
    finished = build_stat(
        "Finished",
        "Messages that ended in the selected range, however they ended.",
        WHOLE,
        query_now(_sum_increase(catalogue.MESSAGES_FINISHED, RANGE)),
    )
    fallback = build_stat(
        "Fallback share",
        "Used fallbacks per message finished in the selected range. A message with two used fallbacks "
        "counts twice. When it rises, the first channel fails: see which below.",
        SHARE,
        query_now(_fallback_ratio(RANGE)),
    )
    parts = build_stat(
        "Parts",
        "Average number of parts of the messages that got a final status in the selected range: long texts "
        "are billed by part.",
        TIMES,
        query_now(_parts_per_message(RANGE)),
    )
    return (
        resize(arrange_vertically(format_currencies(spend, decimals=2)), 6, 5),
        resize(arrange_vertically(format_currencies(price, decimals=3)), 6, 5),
        resize(finished, 4, 5),
        resize(fallback, 4, 5),
        resize(parts, 4, 5),
    )


def build_spend_per_hour() -> Panel:
    """What all campaigns cost now, extrapolated to an hour."""
    panel = build_graph(
        "Spend per hour",
        f"Cost of finished messages at the pace of each moment, for an hour. {_NEVER_SUM} See the "
        "dashboard Cost and fallback for what each campaign costs.",
        COUNT,
        _query_hourly_spend("currency"),
    )
    return resize(format_currencies(panel, decimals=2), 12, 10)


def _build_hourly_spend() -> Panel:
    panel = build_graph(
        "Spend per hour by campaign",
        f"Cost of finished messages at the pace of each moment, for an hour. {_NEVER_SUM} The alert "
        "compares the last hour with twice the dearest one of the last week.",
        COUNT,
        _query_hourly_spend("campaign", "currency"),
    )
    return resize(link_campaign(format_currencies(panel, decimals=2)), 12, 11)


def _query_hourly_spend(*labels: str) -> Target:
    spent = sum_by(rate(select_shown(catalogue.COST)), *labels)
    name = " ".join(f"{{{{{label}}}}}" for label in labels)
    return query_ratio(f"{spent} * 3600", name)


def _build_cost_per_message() -> Panel:
    panel = build_graph(
        "Cost per delivered message",
        f"Spend divided by delivered messages, by campaign. {_NEVER_SUM} It rises with the price, with "
        "parts, with fallbacks, and when fewer messages arrive.",
        COUNT,
        query_ratio(_cost_per_delivered(RATE, "campaign"), "{{campaign}} {{currency}}"),
    )
    return resize(link_campaign(format_currencies(panel, decimals=3)), 12, 11)


def _build_spend_table() -> Panel:
    columns = {
        "Spend": query_column(_sum_increase(catalogue.COST, RANGE, "campaign", "currency")),
        "Per delivered message": query_column(_cost_per_delivered(RANGE, "campaign")),
    }
    panel = build_table(
        "Spend by campaign",
        "Cost of the messages finished in the selected range, a line for each currency, and what each "
        f"delivered message cost. {_NEVER_SUM}",
        columns,
        "campaign",
        "currency",
    )
    panel = override_field(
        panel, "Campaign", {"links": [build_campaign_link("${__value.raw}")], "custom.minWidth": 160}
    )
    for name, decimals in (("Spend", 2), ("Per delivered message", 3)):
        panel = override_field(panel, name, {"unit": TIMES, "decimals": decimals})
    return resize(panel, 24, 10)


def build_fallback_share() -> Panel:
    """How often the next channel had to help, with the alert's threshold."""
    panel = build_graph(
        "Fallback share by campaign",
        "Used fallbacks per finished message; a message with two counts twice. Above the line the alert "
        "waits for it to be also well above the campaign's day before.",
        SHARE,
        query_ratio(_fallback_ratio(RATE, "campaign"), "{{campaign}}"),
    )
    return resize(link_campaign(draw_threshold(panel, FALLBACK_SHARE)), 12, 10)


def _build_fallbacks() -> Panel:
    panel = build_graph(
        "Fallbacks by outcome",
        "Entries of fallbacks of finished messages per minute, by channel and what became of them; "
        "`not_used` means that an earlier channel delivered.",
        COUNT,
        Target(rate_per_minute(catalogue.FALLBACKS, "type", "status"), "{{type}} {{status}}"),
    )
    return resize(colour_series(replace(stack(panel), decimals=1), STATUS_COLOURS, ".* {}"), 12, 10)


def _build_channels() -> Panel:
    panel = build_graph(
        "Channels by outcome",
        "Entries of channels of finished messages per minute, by what became of them there. A message that "
        "tried two channels is in it twice.",
        COUNT,
        Target(rate_per_minute(catalogue.CHANNEL_MESSAGES, "status"), "{{status}}"),
    )
    return resize(colour_series(replace(stack(panel), decimals=1), STATUS_COLOURS), 8, 10)


def _build_channel_share() -> Panel:
    delivered = _sum_increase(catalogue.CHANNEL_MESSAGES, RATE, "channel", matcher='status=~"delivered|read"')
    tried = _sum_increase(catalogue.CHANNEL_MESSAGES, RATE, "channel", matcher=_USED)
    panel = build_graph(
        "Delivered by channel",
        "Of the messages that a channel was tried for, the share that it delivered. When one falls alone, "
        "the channel is the trouble, not the provider.",
        SHARE,
        query_ratio(divide(delivered, tried), "{{channel}}"),
    )
    return resize(sort_lowest_first(panel), 8, 10)


def _parts_per_message(window: str, *labels: str) -> str:
    """Parts count whether a message was delivered or not; of those given up they are not known."""
    answered = _sum_increase(catalogue.MESSAGES_FINISHED, window, *labels, matcher=_ANSWERED)
    return divide(_sum_increase(catalogue.MESSAGE_PARTS, window, *labels), answered)


def _build_parts() -> Panel:
    panel = build_graph(
        "Parts by campaign",
        "Average number of parts of the messages that got a final status. A jump means that a text became "
        "longer, or lost its encoding.",
        TIMES,
        query_ratio(_parts_per_message(RATE, "campaign"), "{{campaign}}"),
    )
    return resize(link_campaign(panel), 8, 10)
