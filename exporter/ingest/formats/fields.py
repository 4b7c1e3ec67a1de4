"""What one record says: its id, campaign, account and time of sending, checked, as a message to track.

`formats` finds the records of a file; nothing here knows which file, or which
format of it, a record comes from. Only the known fields are read. A record that
can't be used is refused for a reason, a value of the label `reason`; the text
itself goes nowhere. Pure: the time and the known accounts come in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exporter.domain.label_values import MAX_NAME_LENGTH, reject_label_value
from exporter.domain.message_ids import MAX_ID_LENGTH, reject_reason
from exporter.domain.model import SECOND_US, NewMessage
from exporter.domain.timestamps import parse_timestamp
from exporter.ingest.formats.decoding import LINE_CHARACTERS, is_undecodable

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "bad_campaign": f"a campaign must be printable text of 1 to {MAX_NAME_LENGTH} characters"
        " without a phone number",
        "bad_characters": "an id may have only letters A-Z a-z, digits, - and _",
        "bad_csv": "the quotes of the CSV line don't match",
        "bad_json": "a record must be one JSON object",
        "bad_sent_at": "sent_at must be Unix seconds, or a time like 2026-01-23T10:30:00Z, not in the future",
        "empty": "there is no message_id",
        "encoding": "the text is not UTF-8",
        "looks_like_phone": "a phone number is no message_id",
        "not_sent": "the provider rejected the message, so it was never sent",
        "too_long": f"an id may have {MAX_ID_LENGTH} characters, a line {LINE_CHARACTERS}",
        "unknown_account": "account must name one of the configured accounts",
    }
)
"""Every reason for which a single record is refused, with what is accepted instead."""

_COLUMNS = (("message_id", "messageid"), ("campaign",), ("account",), ("sent_at",))
"""The names of each field in the header of a CSV file, in lower case."""
_EARLIEST_AT = 946_684_800 * SECOND_US  # the year 2000: what is before it is a count of something else
_AHEAD_US = 86_400 * SECOND_US  # a sender's clock, or its time zone, may be wrong by as much
_UNSENT = frozenset({"rejected", "failed"})
"""The provider's words for a message that it won't send: polls would never find such an id."""
_NO_TEXT = "\0"
"""In place of a value that is neither text nor number: no check lets it pass."""


def find_columns(header: Sequence[str]) -> list[int] | None:
    """Where each field is in the records below `header`, -1 for nowhere; None without a column of ids."""
    names = [name.strip().lower() for name in header]
    columns = [next((at for at, name in enumerate(names) if name in known), -1) for known in _COLUMNS]
    return columns if columns[0] >= 0 else None


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Makes a message of one record, or says for which reason it is refused."""

    campaign: str
    """Of records that name none."""
    account: str
    """Of records that name none."""
    accounts: Collection[str]
    """All that are known."""
    now: int

    def read_id(self, text: str) -> NewMessage | str:
        """Read a record that is a bare id: the hot path of the plain list."""
        return _refuse_id(text) or NewMessage(text, self.campaign, self.account)

    def read_row(self, columns: Sequence[int], row: Sequence[str]) -> NewMessage | str:
        """Read a record of a CSV file, whose fields are in these `columns`."""
        width = len(row)
        return self._read(*[row[at].strip() if 0 <= at < width else "" for at in columns])

    def read_object(self, value: object) -> NewMessage | str:
        """Read a decoded JSON value, which should be an object; its numbers are still text."""
        if not isinstance(value, dict):
            return "bad_json"
        status = value.get("status")
        if isinstance(status, str) and status.lower() in _UNSENT:
            return "not_sent"
        message_id = value["message_id"] if "message_id" in value else value.get("messageId")
        others = (value.get("campaign"), value.get("account"), value.get("sent_at"))
        return self._read(_text_of(message_id), *map(_text_of, others))

    def _read(self, message_id: str, campaign: str, account: str, sent_at: str) -> NewMessage | str:
        """Check the fields in this order; an empty one was not given."""
        reason = _refuse_id(message_id)
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


def _refuse_id(text: str) -> str:
    """The reason why `text` is no id, `encoding` where it was no UTF-8; or ""."""
    reason = reject_reason(text)
    return "encoding" if reason == "bad_characters" and is_undecodable(text) else reason


def _text_of(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else _NO_TEXT
