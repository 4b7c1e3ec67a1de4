"""The types of values: text in, checked values out.

Every message is the end of a sentence, as in `profiles.otp.deadline: "30" is not
a duration`. `{value}` in it is replaced later by what the file has there, or by
"the value" where that could be a secret (see `error_messages`); a hint that
quotes a part of the value goes into `value_hint` and is left out likewise. What pydantic
says of its own types has its sentence there too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from exporter.config.addresses import (
    Listen,
    Network,
    explain_bad_base_url,
    parse_listen,
    parse_network,
)
from exporter.config.problem import suggest_known
from exporter.config.units import DURATION_PATTERN, MAX_DURATION_US, Window, duration_hint, parse_duration_us
from exporter.domain import message_ids
from exporter.domain.label_values import MAX_NAME_LENGTH, OVERFLOW_NAME, reject_label_value
from exporter.domain.model import SECOND_US
from exporter.runtime.errors import Code

REFUSED = "refused"
"""The type of the errors that validators raise here."""
BROKEN = "broken"
"""The type of the errors of what is no text, or breaks a constraint that has a sentence of its own."""

# What a value looks like in the file. Where JSON Schema can't express all that a validator checks, its
# pattern allows more.
CURRENCY_PATTERN = "^[A-Z]{3}$"
NAME_PATTERN = rf"^(?!{OVERFLOW_NAME}$)\S(.{{0,{MAX_NAME_LENGTH - 2}}}\S)?$"
MESSAGE_ID_PATTERN = f"^[A-Za-z0-9_-]{{1,{message_ids.MAX_ID_LENGTH}}}$"
BASE_URL_PATTERN = r"^(https://|http://(localhost|127\.[0-9.]+|\[::1\])(:|/|$))[^@?#\s]*$"
NETWORK_PATTERN = "^(?=.*[.:])[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"
LISTEN_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):[0-9]{1,5}$"
ANY_DURATION_PATTERN = f"^(?=.){DURATION_PATTERN}$"
POSITIVE_DURATION_PATTERN = f"^(?=.*[1-9]){DURATION_PATTERN}$"
A_SECOND_PATTERN = f"^(?=.*[1-9][0-9]*(?:[wdhs]|m(?!s)|[0-9]{{3}}ms)){DURATION_PATTERN}$"
"""A second at least."""

_NUMBERS = {
    "number": re.compile(r"-?([0-9]+(\.[0-9]+)?|\.?inf)", re.ASCII | re.IGNORECASE),
    "whole number": re.compile(r"-?[0-9]+", re.ASCII),
}
_RATIO_HINT = "write 0.95 for 95 percent"
_LONGEST_NUMBER = 20
"""Characters; what is longer is out of any range here."""
_MOST_SHOWN_DIGITS = 8
_MOST_WORDS = 4
"""More are listed in a hint only."""
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OTHER_TRUTHS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


@dataclass(frozen=True, slots=True)
class Otherwise:
    """In a type, what is said of a value that breaks the constraints before it."""

    message: str
    """May name a constraint: `{ge}`, `{le}`."""
    hint: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Replace the errors of what is before it by one."""
        schema = handler(source)
        message = self.message.format_map({**schema, "value": "{value}"})
        return core_schema.custom_error_schema(
            schema,
            BROKEN,
            custom_error_message=BROKEN,
            custom_error_context={"message": message, "hint": self.hint},
        )


def refuse(
    message: str, *, hint: str = "", value_hint: str = "", code: Code = Code.CONFIG_VALUE
) -> PydanticCustomError:
    """Make an error that `explain` turns into a problem; raise it in a validator."""
    context = {"message": message, "hint": hint, "value_hint": value_hint, "code": code}
    return PydanticCustomError(REFUSED, "{message}", context)


def refuse_word(text: str, words: Sequence[str]) -> PydanticCustomError:
    """Make the error of a text that is none of `words`; when they are many, only the hint lists them."""
    if len(words) > _MOST_WORDS:
        listed = f"one of: {', '.join(words)}"
        return refuse("{value} is not known here", value_hint=suggest_known(text, words), hint=listed)
    message = f"{{value}} is not {'one of ' if len(words) > 1 else ''}{', '.join(words)}"
    return refuse(message, value_hint=suggest_known(text, words, else_all=False))


def parse_text(value: object) -> str:
    """Text that isn't empty."""
    if not isinstance(value, str) or not value:
        raise PydanticCustomError(BROKEN, BROKEN)
    return value


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise refuse("has a character that isn't printable")
    return text


def _check_name(text: str) -> str:
    reason = reject_label_value(text, configured=True)
    if reason:
        raise refuse(reason, code=Code.CONFIG_NAME)
    return text


def _check_message_id(text: str) -> str:
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


def _check_base_url(text: str) -> str:
    message, hint = explain_bad_base_url(text)
    if message:
        # Not quoted: it may hold a password.
        raise refuse(message, hint=hint, code=Code.CONFIG_BASE_URL)
    return text.rstrip("/")


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


def _parse_window(value: object) -> Window:
    duration_us = _parse_duration_us(value)
    if duration_us < SECOND_US:
        raise refuse("must be at least 1s")
    return Window(parse_text(value), duration_us)


def _parse_number(kind: str, hint: str, value: object) -> str:
    """The text of a number in plain digits, for pydantic to read."""
    text = parse_text(value)
    if _NUMBERS[kind].fullmatch(text) is None:
        plain = _write_plainly(text)
        value_hint = f"write {plain}" if _NUMBERS[kind].fullmatch(plain) else ""
        raise refuse(f"{{value}} is not a {kind}", value_hint=value_hint, hint=hint)
    return text.lower().replace(".inf", "inf")


def _write_plainly(text: str) -> str:
    """A number that is written like 1e3, .5 or 1_000, in digits; empty where that is not short and sure."""
    try:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        return ""
    # With more digits it may be a phone number.
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > _MOST_SHOWN_DIGITS:
        return ""
    rounded = number.to_integral_value()
    plain = f"{rounded if number == rounded else number:f}"
    return plain if len(plain) <= _MOST_SHOWN_DIGITS else ""


def _parse_ratio(value: object) -> str:
    if isinstance(value, str) and value.endswith("%"):
        raise refuse("{value} is not a ratio", hint=_RATIO_HINT)
    return _parse_number("number", _RATIO_HINT, value)


parse_whole = partial(_parse_number, "whole number", "write it in digits, like 10")


def _parse_flag(value: object) -> bool:
    text = parse_text(value)
    if text not in _TRUTHS:
        meant = _OTHER_TRUTHS.get(text.lower(), "true or false")
        raise refuse(
            "{value} is neither true nor false", value_hint=f"write {meant}", hint="write true or false"
        )
    return _TRUTHS[text]


def _parse_path(value: object, info: ValidationInfo) -> Path:
    """Read a path; a relative one is relative to the configuration file (`context["directory"]`)."""
    return Path((info.context or {}).get("directory", ""), _check_printable(parse_text(value)))


def _parse_listen(value: object) -> Listen:
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


def _look_like(pattern: str) -> WithJsonSchema:
    """In a type, what its values look like in the file."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


Text = Annotated[str, Field(min_length=1), AfterValidator(_check_printable)]
Name = Annotated[str, AfterValidator(_check_name), _look_like(NAME_PATTERN)]
MessageId = Annotated[str, AfterValidator(_check_message_id), _look_like(MESSAGE_ID_PATTERN)]
Currency = Annotated[
    str,
    Field(pattern=CURRENCY_PATTERN),
    Otherwise("{value} is not a currency", "write three capitals, like UAH"),
]
BaseUrl = Annotated[Text, AfterValidator(_check_base_url), _look_like(BASE_URL_PATTERN)]
FilePath = Annotated[
    Path,
    BeforeValidator(_parse_path),
    WithJsonSchema({"type": "string", "minLength": 1, "format": "path"}),
]
Flag = Annotated[bool, BeforeValidator(_parse_flag)]
Rate = Annotated[
    float,
    Field(gt=0, le=1_000_000),
    Otherwise("must be greater than {gt}, and at most {le}"),
    BeforeValidator(partial(_parse_number, "number", "write it like 10 or 0.5")),
]
Ratio = Annotated[
    float,
    Field(gt=0, lt=1),
    Otherwise("must be more than {gt} and less than {lt}", _RATIO_HINT),
    BeforeValidator(_parse_ratio),
]
Count = Annotated[
    int, Field(ge=1, le=10_000), Otherwise("must be from {ge} to {le}"), BeforeValidator(parse_whole)
]
BigCount = Annotated[
    int, Field(ge=1, le=10_000_000), Otherwise("must be from {ge} to {le}"), BeforeValidator(parse_whole)
]
Duration = Annotated[int, BeforeValidator(_parse_duration_us), _look_like(ANY_DURATION_PATTERN)]
"""Microseconds, written like `1h30m`; can be zero."""
PositiveDuration = Annotated[
    int,
    Field(ge=SECOND_US // 1_000),
    Otherwise("must be at least 1ms"),
    BeforeValidator(_parse_duration_us),
    _look_like(POSITIVE_DURATION_PATTERN),
]
AtLeastOneSecond = Annotated[
    int,
    Field(ge=SECOND_US),
    Otherwise("must be at least 1s"),
    BeforeValidator(_parse_duration_us),
    _look_like(A_SECOND_PATTERN),
]
"""Between two polls of a message: never less than a second."""
RatioWindow = Annotated[Window, BeforeValidator(_parse_window), _look_like(A_SECOND_PATTERN)]
ListenAddress = Annotated[Listen, PlainValidator(_parse_listen), _look_like(LISTEN_PATTERN)]
PeerNetwork = Annotated[Network, PlainValidator(_parse_network), _look_like(NETWORK_PATTERN)]
