"""The view of one message: frozen values whose attributes are the keys of its lookup; as `model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from exporter.domain.model import Outcome

VerdictWord = Literal["none", "met", "missed", "unobserved", "exempt"]
KEYS = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request to the provider, ended."""

    __pydantic_config__ = KEYS

    timestamp_seconds: float
    """When it ended."""
    account: str
    """The account that it belongs to."""
    campaign: str | None
    """Null for an id that only a webhook has told of."""
    message_id: str
    """The message that it was about."""
    outcome: Outcome
    """As in smsbat_api_requests_total."""
    status: str | None
    """What the answer said; null when there was none to use."""
    duration_seconds: float
    """How long it took."""
    detail: str
    """What is known of a failure; never a body."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """One tracked message, as the store holds it."""

    __pydantic_config__ = KEYS

    account: str
    """The account that it belongs to."""
    campaign: str
    """The campaign that it counts in."""
    status: str
    """The latest that is known, as in smsbat_messages."""
    finished: bool
    """Whether it has ended, one way or the other."""
    outcome: str | None
    """How it ended first, which is what was counted; null while it is pending."""
    verdict: VerdictWord
    """`met`, `missed` or `unobserved`; `none`: not judged yet; `exempt`: when it was sent is not known."""
    sent_timestamp_seconds: float
    """When it was sent, or accepted where nobody said when."""
    deadline_timestamp_seconds: float
    """By when its profile wants it delivered."""
    accepted_timestamp_seconds: float
    """When its id was accepted."""
    last_asked_timestamp_seconds: float | None
    """When the provider last answered or failed to; null before the first request."""
    next_look_timestamp_seconds: float | None
    """When it is to be asked about again; later where the rate does not allow it. Null when it never is."""
    finished_timestamp_seconds: float | None
    """When its end was known; null while it is pending."""
    polls: int
    """Requests that were answered with a status."""
    failures: int
    """Requests that failed since the last answered one."""
    refusals: int
    """Answers that blame this very message."""
    told_by_webhook: str | None
    """The end that a webhook told and no answer has borne out yet."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of one message id."""

    __pydantic_config__ = KEYS

    message_id: str
    """The id that was asked for."""
    messages: tuple[MessageView, ...]
    """One for each account that tracks it; empty when none does, or when its retention is over."""
    retention_seconds: float
    """How long finished messages are kept."""
    requests: tuple[RequestView, ...]
    """What is remembered of the requests about it, oldest first."""
    requests_since_timestamp_seconds: float
    """From when on every request is remembered."""
    failures_since_timestamp_seconds: float
    """From when on every failed one is."""
