"""The types of values: text in, checked values out.

Every message is the end of a sentence, as in `profiles.otp.deadline: "30" is not
a duration`. `{value}` in it is replaced later by what the file has there, or by
"the value" where that could be a secret (see `error_messages`); a hint that
quotes a part of the value goes into `value_hint` and is left out likewise.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from exporter.config import json_schema
from exporter.config.addresses import (
    Listen,
    Network,
    explain_bad_base_url,
    parse_listen,
    parse_network,
)
from exporter.config.json_schema import show_as
from exporter.config.problem import suggest_known
from exporter.config.units import MAX_DURATION_US, Window, duration_hint, parse_duration_us
from exporter.domain import message_ids
from exporter.domain.label_values import reject_label_value
from exporter.domain.model import SECOND_US
from exporter.runtime.errors import Code

REFUSED = "refused"
"""The type of the errors made here."""

MAX_RATE = 1_000_000
_NUMBER = re.compile(r"-?([0-9]+(\.[0-9]+)?|\.?inf)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_LONGEST_NUMBER = 20
"""Characters; what is longer is out of any range here."""
_MOST_SHOWN_DIGITS = 8
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OTHER_TRUTHS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def refuse(
    message: str, *, hint: str = "", value_hint: str = "", code: Code = Code.CONFIG_VALUE
) -> PydanticCustomError:
    """Make an error that `explain` turns into a problem; raise it in a validator."""
    context = {"message": message, "hint": hint, "value_hint": value_hint, "code": code}
    return PydanticCustomError(REFUSED, "{message}", context)


def parse_text(value: object, *, anything: bool = False, code: Code = Code.CONFIG_SHAPE) -> str:
    """Text in one line; with `anything`, it may also be empty or hold characters that aren't printable.

    `code` is that of what isn't text.
    """
    if not isinstance(value, str):
        raise refuse("must be text", hint="write one value, not a list or a mapping", code=code)
    if anything:
        return value
    if not value:
        raise refuse("is empty")
    if not value.isprintable():
        raise refuse("has a character that isn't printable")
    return value


def _parse_name(value: object) -> str:
    # For an empty name there is a better message.
    text = parse_text(value, anything=True)
    reason = reject_label_value(text, configured=True)
    if reason:
        raise refuse(reason, code=Code.CONFIG_NAME)
    return text


def _parse_message_id(value: object) -> str:
    text = parse_text(value, anything=True)
    reason = message_ids.reject_reason(text)
    if reason == "looks_like_phone":
        # Never quoted: a phone number where an id should be is personal data.
        hint = "write the messageId that the provider returned when the message was sent"
        raise refuse("looks like a phone number", hint=hint, code=Code.CONFIG_MESSAGE_ID)
    if reason:
        sentence = {"empty": "is empty", "too_long": f"is longer than {message_ids.MAX_ID_LENGTH} characters"}
        hint = "an id has letters, digits, - and _ only"
        raise refuse(sentence.get(reason, "is not a message id"), hint=hint, code=Code.CONFIG_MESSAGE_ID)
    return text


def _parse_duration_us(value: object) -> int:
    text = parse_text(value)
    duration_us = parse_duration_us(text)
    if duration_us is None and parse_duration_us(text.removeprefix("-")) is not None:
        raise refuse("must not be negative")
    if duration_us is None:
        raise refuse(
            "{value} is not a duration", value_hint=duration_hint(text), hint="write it like 30s or 1h30m"
        )
    if duration_us > MAX_DURATION_US:
        raise refuse("must be at most 3650d")
    return duration_us


def _check_at_least(minimum_us: int, written: str, duration_us: int) -> int:
    if duration_us < minimum_us:
        raise refuse(f"must be at least {written}")
    return duration_us


def _parse_window(value: object) -> Window:
    if isinstance(value, Window):
        return value
    duration_us = _check_at_least(SECOND_US, "1s", _parse_duration_us(value))
    return Window(parse_text(value), duration_us)


def _parse_number(value: object, hint: str) -> float:
    """The number that is meant; also infinity and what is negative, which are numbers out of range."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
        return float(value)
    text = parse_text(value)
    if _NUMBER.fullmatch(text) is None:
        raise refuse("{value} is not a number", value_hint=_plain_hint(text), hint=hint)
    return float(text.lower().replace(".inf", "inf"))


def _plain_hint(text: str) -> str:
    """How to write a number that is written like 1e3, .5 or 1_000; empty where that is not short and sure."""
    try:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        return ""
    # With more digits it may be a phone number.
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > _MOST_SHOWN_DIGITS:
        return ""
    rounded = number.to_integral_value()
    plain = f"{rounded if number == rounded else number:f}"
    return f"write {plain}" if len(plain) <= _MOST_SHOWN_DIGITS else ""


def _parse_rate(value: object) -> float:
    number = _parse_number(value, "write it like 10 or 0.5")
    if not 0 < number <= MAX_RATE:
        raise refuse(f"must be greater than 0, and at most {MAX_RATE}")
    return number


def _parse_ratio(value: object) -> float:
    if isinstance(value, str) and value.endswith("%"):
        raise refuse("{value} is not a ratio", hint="write 0.95 for 95 percent")
    number = _parse_number(value, "write 0.95 for 95 percent")
    if not 0 < number < 1:
        raise refuse("must be more than 0 and less than 1", hint="write 0.95 for 95 percent")
    return number


def parse_whole(minimum: int, maximum: int, value: object) -> int:
    """A whole number from one to the other."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        text = parse_text(value)
        if _WHOLE.fullmatch(text) is None:
            hint = _plain_hint(text)
            raise refuse(
                "{value} is not a whole number",
                value_hint="" if "." in hint else hint,
                hint="write it in digits, like 10",
            )
        number = int(text[:_LONGEST_NUMBER])
    if not minimum <= number <= maximum:
        raise refuse(f"must be from {minimum} to {maximum}")
    return number


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = parse_text(value)
    if text not in _TRUTHS:
        meant = _OTHER_TRUTHS.get(text.lower(), "true or false")
        raise refuse(
            "{value} is neither true nor false", value_hint=f"write {meant}", hint="write true or false"
        )
    return _TRUTHS[text]


def parse_word(words: tuple[str, ...], value: object, *, many: bool = False) -> str:
    """One of `words`; with `many`, the hint lists them and not the sentence."""
    text = parse_text(value, anything=many)
    if text not in words and many:
        raise refuse(
            "{value} is not known here",
            value_hint=suggest_known(text, words),
            hint=f"one of: {', '.join(words)}",
        )
    if text not in words:
        raise refuse(
            f"{{value}} is not one of {', '.join(words)}",
            value_hint=suggest_known(text, words, else_all=False),
        )
    return text


def _parse_currency(value: object) -> str:
    text = parse_text(value)
    if _CURRENCY.fullmatch(text) is None:
        raise refuse("{value} is not a currency", hint="write three capitals, like UAH")
    return text


def _parse_path(value: object, info: ValidationInfo) -> Path:
    """Read a path; a relative one is relative to the configuration file (`context["directory"]`)."""
    if isinstance(value, Path):
        return value
    directory = (info.context or {}).get("directory", "")
    return Path(directory, parse_text(value))


def _parse_base_url(value: object) -> str:
    text = parse_text(value)
    message, hint = explain_bad_base_url(text)
    if message:
        # Not quoted: it may hold a password.
        raise refuse(message, hint=hint, code=Code.CONFIG_BASE_URL)
    return text.rstrip("/")


def _parse_listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    address = parse_listen(parse_text(value))
    if address is None:
        raise refuse(
            "{value} is not an address", hint='write it like "0.0.0.0:10979", ":10979" or "[::1]:10979"'
        )
    return address


def _parse_network(value: object) -> Network:
    network, hint = parse_network(parse_text(value))
    if network is None:
        raise refuse("{value} is not a network", value_hint=hint, hint="write it like 10.0.0.0/8")
    return network


Text = Annotated[str, BeforeValidator(parse_text), show_as(json_schema.WORD, minLength=1)]
Name = Annotated[
    str,
    BeforeValidator(_parse_name),
    show_as(json_schema.WORD, pattern=json_schema.NAME_PATTERN),
]
MessageId = Annotated[
    str, BeforeValidator(_parse_message_id), show_as(json_schema.WORD, pattern=json_schema.MESSAGE_ID_PATTERN)
]
Currency = Annotated[
    str, BeforeValidator(_parse_currency), show_as("string", pattern=json_schema.CURRENCY_PATTERN)
]
BaseUrl = Annotated[
    str, BeforeValidator(_parse_base_url), show_as("string", pattern=json_schema.BASE_URL_PATTERN)
]
FilePath = Annotated[Path, BeforeValidator(_parse_path), show_as("string", minLength=1, format="path")]
Flag = Annotated[bool, BeforeValidator(_parse_flag)]
Rate = Annotated[float, BeforeValidator(_parse_rate), show_as("number", exclusiveMinimum=0, maximum=MAX_RATE)]
Ratio = Annotated[
    float, BeforeValidator(_parse_ratio), show_as("number", exclusiveMinimum=0, exclusiveMaximum=1)
]
Count = Annotated[
    int, BeforeValidator(partial(parse_whole, 1, 10_000)), show_as("integer", minimum=1, maximum=10_000)
]
BigCount = Annotated[
    int,
    BeforeValidator(partial(parse_whole, 1, 10_000_000)),
    show_as("integer", minimum=1, maximum=10_000_000),
]

_DURATION_SCHEMA = show_as("string", pattern=json_schema.ANY_DURATION_PATTERN)
_A_SECOND_SCHEMA = show_as("string", pattern=json_schema.A_SECOND_PATTERN)
Duration = Annotated[int, BeforeValidator(_parse_duration_us), _DURATION_SCHEMA]
"""Microseconds, written like `1h30m`; can be zero."""
PositiveDuration = Annotated[
    int,
    BeforeValidator(_parse_duration_us),
    AfterValidator(partial(_check_at_least, SECOND_US // 1_000, "1ms")),
    show_as("string", pattern=json_schema.POSITIVE_DURATION_PATTERN),
]
AtLeastOneSecond = Annotated[
    int,
    BeforeValidator(_parse_duration_us),
    AfterValidator(partial(_check_at_least, SECOND_US, "1s")),
    _A_SECOND_SCHEMA,
]
"""Between two polls of a message: never less than a second."""

RatioWindow = Annotated[
    Window,
    PlainValidator(_parse_window),
    PlainSerializer(lambda window: window.label, return_type=str, when_used="json"),
    _A_SECOND_SCHEMA,
]
ListenAddress = Annotated[
    Listen, PlainValidator(_parse_listen), show_as("string", pattern=json_schema.LISTEN_PATTERN)
]
PeerNetwork = Annotated[
    Network, PlainValidator(_parse_network), show_as("string", pattern=json_schema.NETWORK_PATTERN)
]


Method = Literal["header", "key-as-password", "basic"]
After = Literal["move", "delete", "keep"]
OnCorrupt = Literal["refuse", "fresh"]
WebhookMode = Literal["verify", "trust"]
PriorityWord = Literal["high", "normal", "low"]

AuthMethod = Annotated[Method, BeforeValidator(partial(parse_word, get_args(Method)))]
AfterReading = Annotated[After, BeforeValidator(partial(parse_word, get_args(After)))]
CorruptPolicy = Annotated[OnCorrupt, BeforeValidator(partial(parse_word, get_args(OnCorrupt)))]
TrustMode = Annotated[WebhookMode, BeforeValidator(partial(parse_word, get_args(WebhookMode)))]
PriorityName = Annotated[PriorityWord, BeforeValidator(partial(parse_word, get_args(PriorityWord)))]
