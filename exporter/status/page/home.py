"""The page at `/`: the state of the exporter, first in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter.domain.limiter import CircuitState
from exporter.status.formatting import (
    format_age,
    format_count,
    format_duration,
    format_number,
    format_share,
    format_time_of_day,
)
from exporter.status.message import RequestView
from exporter.status.model import (
    AccountView,
    CampaignView,
    ConfigurationWarning,
    Overview,
    Problem,
    Severity,
    Share,
    State,
)
from exporter.status.page.components import (
    NONE,
    NOT_YET,
    badge,
    lines,
    moment,
    quiet,
    render_page,
    search,
    section,
    table,
)
from exporter.status.page.ingestion import render_ingestion, render_scrape_config
from exporter.status.page.markup import Markup, joined, tag
from exporter.status.page.sparkline import LEGEND, draw_sparkline

SHOWN_CAMPAIGNS = 50
"""Rows of the table; the JSON has all campaigns."""
SHOWN_FAILURES = 10
_NOT_AT_WORK = frozenset({State.NO_IDS, State.WAITING, State.QUIET})


def render_home(view: Overview, target: str, *, tls: bool) -> str:
    """The whole page; `target` is this process's address, as Prometheus would write it."""
    content = (
        _state(view),
        *_warnings(view),
        _campaigns(view),
        _accounts(view),
        _failures(view),
        tag(
            "div",
            render_ingestion(view),
            tag("div", section("Look up one message", search()), render_scrape_config(target, tls=tls)),
            class_="pair",
        ),
    )
    foot = joined(("As of ", moment(view.timestamp_seconds), " UTC. ", tag("a", "Reload", href="/")))
    return render_page(view.state.value.replace("_", " ").capitalize(), view.demo_speed, content, foot)


# --- the state -----------------------------------------------------------------------------------


def _state(view: Overview) -> Markup:
    severity = view.problems[0].severity if view.problems else None
    kind = "state" if severity is None else f"state state-{severity.value}"
    first = [_badge(severity, view.state), view.summary]
    rest = [tag("li", *_problem(problem)) for problem in view.problems[1:]]
    return tag(
        "section",
        tag("h2", *first),
        tag("p", view.advice) if view.advice else "",
        tag("ul", *rest, class_="problems") if rest else "",
        tag("p", _vitals(view), class_="quiet small"),
        class_=kind,
    )


def _badge(severity: Severity | None, state: State) -> Markup:
    if severity is not None:
        return badge(severity.value.capitalize(), severity.value)
    return badge("Ready" if state in _NOT_AT_WORK else "Fine", "fine")


def _problem(problem: Problem) -> Iterator[Markup]:
    yield tag("p", badge(problem.severity.value.capitalize(), problem.severity.value), problem.summary)
    yield tag("p", problem.advice, class_="quiet")


def _warnings(view: Overview) -> Iterator[Markup]:
    """A section about the configuration, where there is something to say."""
    found = [tag("li", *_warning(warning)) for warning in view.configuration_warnings]
    if found:
        note = "As of when the files were read; check-config says how they are now."
        yield section(
            "Warnings about the configuration",
            tag("ul", *found, class_="problems"),
            tag("p", note, class_="quiet small"),
        )


def _warning(warning: ConfigurationWarning) -> Iterator[Markup]:
    yield tag("p", f"{warning.file}, line {warning.line}: {warning.key}: {warning.message} [{warning.code}]")
    yield tag("p", warning.hint, class_="quiet")


def _vitals(view: Overview) -> Markup:
    parts = [
        f"Up for {format_duration(round(view.uptime_seconds))}. ",
        f"{format_count(view.pending, 'message')} pending, of at most {format_number(view.max_tracked)}. ",
        "Counting since ",
        moment(view.counters_created_timestamp_seconds),
        " UTC.",
    ]
    return joined(parts)


# --- campaigns -----------------------------------------------------------------------------------


def _campaigns(view: Overview) -> Markup:
    if not view.campaigns:
        return section("Campaigns", tag("p", "None yet: a campaign begins with its first message."))
    several = len(view.accounts) > 1
    shown, hidden = view.campaigns[:SHOWN_CAMPAIGNS], view.campaigns[SHOWN_CAMPAIGNS:]
    more: Sequence[str] = ()
    if hidden:
        link = tag("a", "/api/v1/status", href="/api/v1/status")
        more = ("And ", format_count(len(hidden), "more campaign"), ", less busy, in ", link, ".")
    columns = ("Campaign", "Last 24 h", "Delivered", "In time", "Time to deliver", "Cost", "Pending")
    rows = [_campaign(campaign, view.timestamp_seconds, several=several) for campaign in shown]
    return section(
        "Campaigns",
        table("Campaigns", columns, rows, whole=True),
        tag("p", *more) if more else "",
        tag("p", LEGEND, class_="quiet small"),
        tag("p", *_footnote(view), class_="quiet small"),
    )


def _footnote(view: Overview) -> Iterator[str]:
    yield "Delivered: of the messages sent in the window and past their deadline. "
    yield "In time, times and cost: of the "
    if view.counted_since_timestamp_seconds <= view.started_timestamp_seconds + 1:
        yield "time since this process started, at most a day."
    else:
        yield "last day."


def _campaign(campaign: CampaignView, now_seconds: float, *, several: bool) -> list[str]:
    name = [campaign.campaign]
    if several:
        name.append(quiet(campaign.account))
    heading = lines(*name)
    if campaign.misses_objective:
        heading = joined((heading, badge("Misses its objective", "warning")))
    return [
        heading,
        _day(campaign),
        lines(*_shares(campaign.delivered)),
        _in_time(campaign),
        _times(campaign),
        lines(*_costs(campaign)) or NONE,
        _pending(campaign, now_seconds),
    ]


def _day(campaign: CampaignView) -> str:
    if campaign.hours is None:
        return NONE
    return joined((draw_sparkline(campaign.hours), lines(f"{format_number(sum(campaign.hours.sent))} sent")))


def _shares(shares: Sequence[Share]) -> list[str]:
    return [
        f"{one.window}: {format_share(one.ratio)} of {format_number(one.messages)}" for one in shares
    ] or [NOT_YET]


def _in_time(campaign: CampaignView) -> Markup:
    wanted = (
        f"wanted: {format_share(campaign.objective_ratio)} in {format_duration(campaign.deadline_seconds)}"
    )
    return lines(*_shares(campaign.in_time), quiet(wanted))


def _times(campaign: CampaignView) -> str:
    p50, p95 = campaign.delivery_p50_seconds, campaign.delivery_p95_seconds
    if p50 is None or p95 is None:
        return NOT_YET
    return lines(
        f"p50 {format_duration(p50)}",
        f"p95 {format_duration(p95)}",
        quiet(f"of {format_number(campaign.deliveries)}"),
    )


def _costs(campaign: CampaignView) -> list[str]:
    return [f"{amount:,.2f} {currency}" for currency, amount in sorted(campaign.cost.items())]


def _pending(campaign: CampaignView, now_seconds: float) -> str:
    oldest_at = campaign.oldest_pending_timestamp_seconds
    if oldest_at is None:
        return format_number(campaign.pending)
    return lines(format_number(campaign.pending), quiet(f"oldest sent {format_age(now_seconds - oldest_at)}"))


# --- the provider --------------------------------------------------------------------------------


def _accounts(view: Overview) -> Markup:
    columns = (
        "Account",
        "State",
        "Last usable answer",
        "Requests a second",
        "Due now",
        "Latest poll late by",
    )
    rows = [_account(account, view.timestamp_seconds) for account in view.accounts]
    return section("Accounts at the provider", table("Accounts", columns, rows))


def _account(account: AccountView, now_seconds: float) -> list[str]:
    success = account.last_success_timestamp_seconds
    allowed = f"of {account.allowed_requests_per_second:.3g} allowed"
    if account.allowed_requests_per_second < account.configured_requests_per_second:
        allowed += f" now, {account.configured_requests_per_second:g} agreed"
    return [
        account.account,
        lines(*_account_state(account, now_seconds)),
        NONE if success is None else format_age(now_seconds - success),
        lines(f"{account.requests_per_second:.1f} in the last minute", quiet(allowed)),
        _by_word({word: format_number(count) for word, count in account.due.items()}),
        _by_word({word: format_duration(round(lag, 1)) for word, lag in account.lag_seconds.items()}),
    ]


def _account_state(account: AccountView, now_seconds: float) -> Iterator[str]:
    if account.up is None:
        yield "Not polled yet"
    else:
        yield "Up" if account.up else "Down"
    if account.flow is CircuitState.UNAUTHORIZED:
        yield "no valid key"
    elif account.flow is CircuitState.OPEN:
        yield "the provider fails"
    if account.next_probe_seconds is not None:
        yield f"next try in {format_duration(round(account.next_probe_seconds))}"
    if account.paused_until_timestamp_seconds is not None:
        until = account.paused_until_timestamp_seconds
        left = format_duration(round(until - now_seconds))
        yield f"paused for {left}, until {format_time_of_day(until)} UTC"


def _by_word(texts: dict[str, str]) -> str:
    return lines(*(f"{text} {word}" for word, text in texts.items())) or NOT_YET


def _failures(view: Overview) -> Markup:
    since = joined(("Remembered since ", moment(view.failures_since_timestamp_seconds), " UTC."))
    note = tag("p", since, class_="quiet small")
    if not view.failures:
        return section("Last failed requests", tag("p", "None."), note)
    columns = ("When (UTC)", "Outcome", "Details", "Campaign", "Message")
    several = len(view.accounts) > 1
    rows = [_failure(failure, several=several) for failure in view.failures[:SHOWN_FAILURES]]
    return section("Last failed requests", table("Last failed requests", columns, rows), note)


def _failure(failure: RequestView, *, several: bool) -> list[str]:
    link = tag("a", failure.message_id, href=f"/messages?id={failure.message_id}", class_="id")
    return [
        moment(failure.timestamp_seconds),
        failure.outcome,
        quiet(failure.detail),
        lines(failure.campaign or NONE, *([quiet(failure.account)] if several else [])),
        link,
    ]
