"""The dashboard "Cost and fallback": what messages cost, which channel carried them, when SMS had to help."""

from __future__ import annotations

from dataclasses import replace

from exporter.metrics import catalogue
from tools.dashboards.constants import ANSWERED_STATUSES, COST, FALLBACK_SHARE, STATUS_COLOURS
from tools.dashboards.layout import Row, campaign_link, dashboard, only_campaign
from tools.dashboards.looks import (
    coloured,
    in_currencies,
    in_lines,
    limited,
    lowest_first,
    sized,
    stacked,
    styled,
)
from tools.dashboards.panels import (
    COUNT,
    SHARE,
    TIMES,
    WHOLE,
    Json,
    Panel,
    Target,
    column,
    graph,
    now,
    ratio,
    stat,
    table,
)
from tools.dashboards.promql import RANGE, RATE, increase, one_of, per_minute, rate, share, shown, total

_USED = 'status!="not_used"'
_DELIVERED = 'status="delivered"'
_ANSWERED = one_of("status", ANSWERED_STATUSES)
_NEVER_SUM = "Every currency stands alone."


def build() -> Json:
    """The whole dashboard."""
    return dashboard(
        COST,
        "What finished messages cost, per campaign and currency, how often a fallback was used, and which "
        "channels deliver. Money is counted when a message finishes; currencies are never added up.",
        (
            Row("Is it fine now?", (_headlines(),)),
            Row("Money", ((_by_the_hour(), _per_message()), (_by_campaign(),))),
            Row("Fallback", ((fallback_share(), _fallbacks()),)),
            Row("Channels and parts", ((_channels(), _channel_share(), _parts()),)),
        ),
    )


def _grew(family: catalogue.Family, window: str, *labels: str, matcher: str = "") -> str:
    selector = shown(family, matcher) if matcher else shown(family)
    return total(increase(selector, window), *labels)


def _per_delivered(window: str, *labels: str) -> str:
    """Money for each delivered message: what did not arrive is paid for by what did.

    Divided by the messages of the campaigns that are paid in the currency, not by those of all.
    """
    one = ("job", "account", "campaign")
    spent = _grew(catalogue.COST, window, *labels, "currency")
    paid = f"({_grew(catalogue.COST, window, *one, 'currency')} > bool 0)"
    delivered = _grew(catalogue.MESSAGES_FINISHED, window, *one, matcher=_DELIVERED)
    whole = total(f"{paid} * on ({', '.join(one)}) group_left () {delivered}", *labels, "currency")
    return share(spent, whole)


def _used_share(window: str, *labels: str) -> str:
    return share(
        _grew(catalogue.FALLBACKS, window, *labels, matcher=_USED),
        _grew(catalogue.MESSAGES_FINISHED, window, *labels),
    )


def _headlines() -> tuple[Panel, ...]:
    spend = stat(
        "Spend",
        f"Cost of the messages that finished in the selected range. {_NEVER_SUM}",
        COUNT,
        now(_grew(catalogue.COST, RANGE, "currency"), "{{currency}}"),
    )
    price = stat(
        "Per delivery",
        f"Spend of the selected range divided by the messages delivered in it. {_NEVER_SUM} Where "
        "campaigns have different currencies, choose one campaign to compare.",
        COUNT,
        now(_per_delivered(RANGE), "{{currency}}"),
    )
    finished = stat(
        "Finished",
        "Messages that ended in the selected range, however they ended.",
        WHOLE,
        now(_grew(catalogue.MESSAGES_FINISHED, RANGE)),
    )
    fallback = stat(
        "Fallback share",
        "Used fallbacks per message finished in the selected range. A message with two used fallbacks "
        "counts twice. When it rises, the first channel fails: see which below.",
        SHARE,
        now(_used_share(RANGE)),
    )
    parts = stat(
        "Parts",
        "Average number of parts of the messages that got a final status in the selected range: long texts "
        "are billed by part.",
        TIMES,
        now(_parts_of_one(RANGE)),
    )
    return (
        sized(in_lines(in_currencies(spend, decimals=2)), 6, 5),
        sized(in_lines(in_currencies(price, decimals=3)), 6, 5),
        sized(finished, 4, 5),
        sized(fallback, 4, 5),
        sized(parts, 4, 5),
    )


def spend_per_hour() -> Panel:
    """What all campaigns cost now, extrapolated to an hour."""
    panel = graph(
        "Spend per hour",
        f"Cost of finished messages at the pace of each moment, for an hour. {_NEVER_SUM} See the "
        "dashboard Cost and fallback for what each campaign costs.",
        COUNT,
        _pace("currency"),
    )
    return sized(in_currencies(panel, decimals=2), 12, 10)


def _by_the_hour() -> Panel:
    panel = graph(
        "Spend per hour by campaign",
        f"Cost of finished messages at the pace of each moment, for an hour. {_NEVER_SUM} The alert "
        "compares the last hour with twice the dearest one of the last week.",
        COUNT,
        _pace("campaign", "currency"),
    )
    return sized(only_campaign(in_currencies(panel, decimals=2)), 12, 11)


def _pace(*labels: str) -> Target:
    spent = total(rate(shown(catalogue.COST)), *labels)
    name = " ".join(f"{{{{{label}}}}}" for label in labels)
    return ratio(f"{spent} * 3600", name)


def _per_message() -> Panel:
    panel = graph(
        "Cost per delivered message",
        f"Spend divided by delivered messages, by campaign. {_NEVER_SUM} It rises with the price, with "
        "parts, with fallbacks, and when fewer messages arrive.",
        COUNT,
        ratio(_per_delivered(RATE, "campaign"), "{{campaign}} {{currency}}"),
    )
    return sized(only_campaign(in_currencies(panel, decimals=3)), 12, 11)


def _by_campaign() -> Panel:
    columns = {
        "Spend": column(_grew(catalogue.COST, RANGE, "campaign", "currency")),
        "Per delivered message": column(_per_delivered(RANGE, "campaign")),
    }
    panel = table(
        "Spend by campaign",
        "Cost of the messages finished in the selected range, a line for each currency, and what each "
        f"delivered message cost. {_NEVER_SUM}",
        columns,
        "campaign",
        "currency",
    )
    panel = styled(panel, "Campaign", {"links": [campaign_link("${__value.raw}")], "custom.minWidth": 160})
    for name, decimals in (("Spend", 2), ("Per delivered message", 3)):
        panel = styled(panel, name, {"unit": TIMES, "decimals": decimals})
    return sized(panel, 24, 10)


def fallback_share() -> Panel:
    """How often the next channel had to help, with the alert's threshold."""
    panel = graph(
        "Fallback share by campaign",
        "Used fallbacks per finished message; a message with two counts twice. Above the line the alert "
        "waits for it to be also well above the campaign's day before.",
        SHARE,
        ratio(_used_share(RATE, "campaign"), "{{campaign}}"),
    )
    return sized(only_campaign(limited(panel, FALLBACK_SHARE)), 12, 10)


def _fallbacks() -> Panel:
    panel = graph(
        "Fallbacks by outcome",
        "Entries of fallbacks of finished messages per minute, by channel and what became of them; "
        "`not_used` means that an earlier channel delivered.",
        COUNT,
        Target(per_minute(catalogue.FALLBACKS, "type", "status"), "{{type}} {{status}}"),
    )
    return sized(coloured(replace(stacked(panel), decimals=1), STATUS_COLOURS, ".* {}"), 12, 10)


def _channels() -> Panel:
    panel = graph(
        "Channels by outcome",
        "Entries of channels of finished messages per minute, by what became of them there. A message that "
        "tried two channels is in it twice.",
        COUNT,
        Target(per_minute(catalogue.CHANNEL_MESSAGES, "status"), "{{status}}"),
    )
    return sized(coloured(replace(stacked(panel), decimals=1), STATUS_COLOURS), 8, 10)


def _channel_share() -> Panel:
    delivered = _grew(catalogue.CHANNEL_MESSAGES, RATE, "channel", matcher='status=~"delivered|read"')
    tried = _grew(catalogue.CHANNEL_MESSAGES, RATE, "channel", matcher=_USED)
    panel = graph(
        "Delivered by channel",
        "Of the messages that a channel was tried for, the share that it delivered. When one falls alone, "
        "the channel is the trouble, not the provider.",
        SHARE,
        ratio(share(delivered, tried), "{{channel}}"),
    )
    return sized(lowest_first(panel), 8, 10)


def _parts_of_one(window: str, *labels: str) -> str:
    """Parts count whether a message was delivered or not; of those given up they are not known."""
    answered = _grew(catalogue.MESSAGES_FINISHED, window, *labels, matcher=_ANSWERED)
    return share(_grew(catalogue.MESSAGE_PARTS, window, *labels), answered)


def _parts() -> Panel:
    panel = graph(
        "Parts by campaign",
        "Average number of parts of the messages that got a final status. A jump means that a text became "
        "longer, or lost its encoding.",
        TIMES,
        ratio(_parts_of_one(RATE, "campaign"), "{{campaign}}"),
    )
    return sized(only_campaign(panel), 8, 10)
