"""The page that shows everything known about one message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporter.status.formatting import format_count, format_duration
from exporter.status.message import Lookup, MessageView, RequestView, VerdictWord
from exporter.status.page.components import (
    NONE,
    definitions,
    lines,
    moment,
    quiet,
    render_page,
    search,
    section,
    table,
)
from exporter.status.page.markup import Markup, joined, tag

SHOWN_REQUESTS = 100
REFUSALS = {
    "empty": "Enter the id of a message, as returned by the provider when it was sent.",
    "looks_like_phone": "That looks like a phone number. Phone numbers are not stored here: enter the id.",
    "too_long": "That is too long: an id has at most 128 characters.",
    "bad_characters": "That is not an id: ids consist of letters, digits, - and _.",
}
BUSY = "The state can't be read now: the disk is busy or hangs. Try again in a few seconds."
_VERDICTS: Mapping[VerdictWord, str] = {
    "none": "not judged yet",
    "met": "delivered in time",
    "missed": "not delivered in time",
    "unobserved": "not known: it could not be polled in time",
    "exempt": "not judged: the time of sending is not known",
}


def render_form(text: str, demo_speed: float | None) -> str:
    """The form, and why there is nothing to show."""
    content = section("Look up one message", tag("p", text), search())
    return render_page("Look up one message", demo_speed, [content], _back())


def render_message(found: Lookup, demo_speed: float | None) -> str:
    """Everything known about a message, or that it is not tracked."""
    parts = [_message(message) for message in found.messages] or [_unknown(found)]
    content = [section("Look up one message", search(found.message_id)), *parts, _history(found)]
    return render_page(f"Message {found.message_id}", demo_speed, content, _back())


def _back() -> Markup:
    return tag("a", "Back to the overview", href="/")


def _unknown(found: Lookup) -> Markup:
    return section(
        "Not tracked",
        tag("p", "No account tracks ", tag("span", found.message_id, class_="id"), "."),
        tag(
            "p",
            f"It was never received, or it finished more than {format_duration(found.retention_seconds)} ago "
            "and was deleted.",
        ),
    )


def _message(message: MessageView) -> Markup:
    title = f"{message.status.capitalize()}, campaign {message.campaign}, account {message.account}"
    return section(title, definitions(_facts(message)))


def _facts(message: MessageView) -> Iterator[tuple[str, str]]:
    yield "Status", message.status
    if message.outcome is not None and message.outcome != message.status:
        yield "Counted as", message.outcome
    yield "Against its deadline", _VERDICTS[message.verdict]
    yield "Sent", _when(message.sent_timestamp_seconds)
    yield "Deadline", _when(message.deadline_timestamp_seconds)
    yield "Id accepted", _when(message.accepted_timestamp_seconds)
    yield "Last poll", _when(message.last_asked_timestamp_seconds)
    yield "Finished", _when(message.finished_timestamp_seconds)
    yield "Next poll", _when(message.next_look_timestamp_seconds)
    yield "Answers with a status", str(message.polls)
    yield "Failures since the last answer", str(message.failures)
    yield "Refusals of this id", str(message.refusals)
    if message.told_by_webhook is not None:
        yield "Claimed by a webhook, not confirmed", message.told_by_webhook


def _when(timestamp_seconds: float | None) -> str:
    return NONE if timestamp_seconds is None else joined((moment(timestamp_seconds), " UTC"))


def _history(found: Lookup) -> Markup:
    since = joined(
        (
            "Every request is remembered since ",
            moment(found.requests_since_timestamp_seconds),
            " UTC, failed ones since ",
            moment(found.failures_since_timestamp_seconds),
            " UTC. Webhooks are not in this list.",
        )
    )
    note = tag("p", since, class_="quiet small")
    if not found.requests:
        return section("Requests about it", tag("p", "None is remembered."), note)
    latest = found.requests[-SHOWN_REQUESTS:]
    left_out = len(found.requests) - len(latest)
    more = tag("p", format_count(left_out, "older request"), " left out.") if left_out else ""
    columns = ("When (UTC)", "Outcome", "Status", "Took", "Account")
    return section("Requests about it", table("Requests", columns, map(_request, latest)), more, note)


def _request(request: RequestView) -> list[str]:
    return [
        moment(request.timestamp_seconds),
        lines(request.outcome, *([quiet(request.detail)] if request.detail else [])),
        request.status or NONE,
        _took(request.duration_seconds),
        request.account,
    ]


def _took(seconds: float) -> str:
    return format_duration(seconds) if seconds >= 1 else f"{seconds * 1000:.0f} ms"
