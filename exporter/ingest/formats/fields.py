"""The values of one record of a dropped file: id, campaign, account and time of sending, checked.

What is refused gets a reason, a value of the label `reason`; the text itself
goes nowhere. Pure: the time and the known accounts come in with `Context`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from exporter.domain.label_values import reject_label_value
from exporter.domain.message_ids import reject_reason
from exporter.domain.model import SECOND_US, NewMessage
from exporter.domain.timestamps import parse_timestamp
from exporter.ingest.formats.decoding import undecodable

REASONS = (
    "bad_campaign",
    "bad_characters",
    "bad_csv",
    "bad_json",
    "bad_sent_at",
    "empty",
    "encoding",
    "looks_like_phone",
    "not_sent",
    "too_long",
    "unknown_account",
)
"""Every reason for which a single record is refused."""

_EARLIEST_AT = 946_684_800 * SECOND_US  # the year 2000: what is before it is a count of something else
_AHEAD_US = 86_400 * SECOND_US  # a sender's clock, or its time zone, may be wrong by as much


def id_refusal(text: str) -> str:
    """`ids.refusal`, and `encoding` for what was no UTF-8."""
    reason = reject_reason(text)
    return "encoding" if reason == "bad_characters" and undecodable(text) else reason


@dataclass(frozen=True, slots=True)
class Context:
    """What a record is read against."""

    campaign: str
    """Of records that name none."""
    account: str
    """Of records that name none."""
    accounts: Collection[str]
    """All that are known."""
    now: int

    def message(self, message_id: str, campaign: str, account: str, sent_at: str) -> NewMessage | str:
        """The message of one record, or the reason of its refusal; an empty field is one not given."""
        reason = id_refusal(message_id)
        if reason:
            return reason
        if campaign and reject_label_value(campaign):
            return "bad_campaign"
        if account and account not in self.accounts:
            return "unknown_account"
        at = None
        if sent_at:
            at = parse_timestamp(sent_at)
            if at is None or not _EARLIEST_AT <= at <= self.now + _AHEAD_US:
                return "bad_sent_at"
        return NewMessage(message_id, campaign or self.campaign, account or self.account, at)
