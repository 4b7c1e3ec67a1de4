"""The sections of a web configuration, as frozen models with an attribute for each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from exporter.config.fields import (
    Duration,
    FilePath,
    Flag,
    Text,
    parse_text,
    parse_whole,
    parse_word,
    refuse,
)
from exporter.config.models import Section
from exporter.http.webconfig.suites import (
    CURVES,
    NO_FORWARD_SECRECY,
    OLD_VERSIONS,
    SUITES,
    SUITES_13,
    VERSIONS,
)
from exporter.runtime.errors import Code
from exporter.runtime.secrets import Secret

MAX_BCRYPT_COST = 16
"""At this cost a check takes some four seconds, with one more twice as long: no scrape would wait for it."""
MAX_BURST = 1_000_000
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
_parse_text = partial(parse_text, anything=True, code=Code.CONFIG_VALUE)
_parse_word = partial(parse_word, many=True)
_PEM = re.compile(r"[\t\n\r\x20-\x7e]*", re.ASCII)
_CLIENT_AUTH = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNCHECKED = {
    "RequestClientCert": "NoClientCert lets the same clients in",
    "RequireAnyClientCert": "write RequireAndVerifyClientCert, and the authority in client_ca_file",
    "RequireClientCert": "write RequireAndVerifyClientCert, and the authority in client_ca_file",
}


def _parse_pem(value: object) -> str:
    """Text of many lines; an empty one is as good as none, as in other exporters."""
    if not isinstance(value, str) or not _PEM.fullmatch(value):
        raise refuse("must be text in PEM form", hint="write it after a |, each line indented")
    return value


def _parse_inline_key(value: object) -> InlineKey:
    return value if isinstance(value, InlineKey) else InlineKey(_parse_pem(value))


class InlineKey:
    """A private key written in the file; shows itself as little as a `Secret`, and may have lines."""

    __slots__ = ("pem",)

    def __init__(self, pem: str) -> None:
        """Hide `pem`."""
        self.pem = pem

    def __repr__(self) -> str:
        """Nothing about the key."""
        return "<secret>"


def _parse_version(value: object) -> str:
    if value in OLD_VERSIONS:
        raise refuse("{value} is broken, and is not spoken here", hint="write TLS12 or TLS13")
    return _parse_word(VERSIONS, _parse_text(value))


def _parse_client_auth(value: object) -> str:
    text = _parse_text(value) or "NoClientCert"
    if text in _UNCHECKED:
        raise refuse(f"{text} takes certificates that nobody checks", hint=_UNCHECKED[text])
    return _parse_word(_CLIENT_AUTH, text)


def _parse_suite(value: object) -> str:
    if value in NO_FORWARD_SECRECY:
        raise refuse("{value} has no forward secrecy", hint="remove it: every client knows a better one")
    return _parse_word((*SUITES, *sorted(SUITES_13)), _parse_text(value))


def _parse_curve(value: object) -> str:
    return _parse_word(tuple(CURVES), _parse_text(value))


def _parse_hash(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse("is not a bcrypt hash", hint="make one: htpasswd -nBC 10 \"\" | tr -d ':\\n'")
    if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:  # noqa: PLR2004 - bcrypt knows no less
        raise refuse(
            f"has a cost of {match[1]}", hint=f"from 4 to {MAX_BCRYPT_COST}; each more doubles the time"
        )
    return Secret(match[0])


def _parse_user(value: object) -> str:
    text = _parse_text(value)
    # A user agent could not send either of them.
    if ":" in text or not text.isprintable():
        raise refuse("is no user name: it has a colon or a control character")
    return text


def _parse_interval(value: object) -> object:
    return "0s" if value == "0" else value


def _parse_header(allowed: tuple[str, ...], value: object) -> str:
    """The value of a header; empty where it is not set."""
    text = _parse_text(value)
    if not text.isascii() or not text.isprintable():
        raise refuse("has a character that a header can't carry")
    if text and allowed and text not in allowed:
        raise refuse("{value} is no value of this header", hint=f"write {' or '.join(allowed)}")
    return text


Pem = Annotated[str, BeforeValidator(_parse_pem)]
Version = Annotated[str, BeforeValidator(_parse_version)]
ClientAuth = Annotated[str, BeforeValidator(_parse_client_auth)]
Suite = Annotated[str, BeforeValidator(_parse_suite)]
Curve = Annotated[str, BeforeValidator(_parse_curve)]
PasswordHash = Annotated[Secret, BeforeValidator(_parse_hash)]
UserName = Annotated[str, BeforeValidator(_parse_user)]
Burst = Annotated[int, BeforeValidator(partial(parse_whole, 0, MAX_BURST))]
Interval = Annotated[Duration, BeforeValidator(_parse_interval)]
Header = Annotated[str, BeforeValidator(partial(_parse_header, ()))]
ContentTypeOptions = Annotated[str, BeforeValidator(partial(_parse_header, ("nosniff",)))]
FrameOptions = Annotated[str, BeforeValidator(partial(_parse_header, ("deny", "sameorigin")))]


def _unless_empty(value: object) -> object:
    """A path, or none where the file has `""`: a way to write that there is none, as in other exporters."""
    return None if value == "" else value


OptionalPath = Annotated[FilePath | None, BeforeValidator(_unless_empty)]


class TlsServer(Section):
    """TLS, and whose client certificates count; the path of each file or its content."""

    client_auth_type: ClientAuth = "NoClientCert"
    cert: Pem = ""
    key: Annotated[InlineKey, BeforeValidator(_parse_inline_key)] = Field(default=InlineKey(""), repr=False)
    client_ca: Pem = ""
    cert_file: OptionalPath = Field(default=None, validate_default=True)
    key_file: OptionalPath = Field(default=None, validate_default=True)
    client_ca_file: OptionalPath = Field(default=None, validate_default=True)
    client_allowed_sans: tuple[Text, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Suite, ...] = ()
    prefer_server_cipher_suites: Flag = True
    curve_preferences: tuple[Curve, ...] = ()

    model_config = Section.model_config | {"arbitrary_types_allowed": True}

    @field_validator("cert_file", "key_file", "client_ca_file")
    @classmethod
    def _file_or_text(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as it came
        name = str(info.field_name).removesuffix("_file")
        if name not in info.data:
            return value  # a problem of its own
        inline = info.data[name]
        written = inline.pem if isinstance(inline, InlineKey) else inline
        if value is not None and written:
            raise refuse(f"stands beside {name}", hint="keep one of them")
        if value is None and not written and name != "client_ca":
            raise refuse("is missing", hint=f"write {name}_file, or {name} and the PEM text itself")
        return value

    @field_validator("client_ca", "client_ca_file")
    @classmethod
    def _ca_is_used(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as it came
        if value and info.data.get("client_auth_type") == "NoClientCert":
            raise refuse(
                "is not used: nobody is asked for a certificate",
                hint="write client_auth_type: RequireAndVerifyClientCert, or remove the authority",
            )
        return value

    @field_validator("client_allowed_sans")
    @classmethod
    def _sans_are_used(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "client_auth_type" in info.data and info.data["client_auth_type"] != "RequireAndVerifyClientCert":
            raise refuse("needs client_auth_type: RequireAndVerifyClientCert")
        if not value:
            raise refuse("lists no name", hint="list those that may ask, or remove it to let in all")
        return value

    @field_validator("max_version")
    @classmethod
    def _not_below_min(cls, value: str, info: ValidationInfo) -> str:
        if value < info.data.get("min_version", value):
            raise refuse("{value} is older than min_version")
        return value

    @field_validator("cipher_suites")
    @classmethod
    def _suites_for_version(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("max_version") == "TLS12" and SUITES_13.issuperset(value):
            raise refuse("has no suite of TLS 1.2, and max_version allows nothing newer")
        return value

    @field_validator("curve_preferences")
    @classmethod
    def _one_curve(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1:
            raise refuse(
                "lists several curves, and only one can be set here",
                hint="keep one; or remove it: X25519, P-256, P-521 and P-384 are then taken, in this order",
            )
        return value


class Headers(Section):
    """What every answer carries; those that are empty it does not."""

    content_security_policy: Header = Field(default="", alias="Content-Security-Policy")
    strict_transport_security: Header = Field(default="", alias="Strict-Transport-Security")
    x_content_type_options: ContentTypeOptions = Field(default="", alias="X-Content-Type-Options")
    x_frame_options: FrameOptions = Field(default="", alias="X-Frame-Options")
    x_xss_protection: Header = Field(default="", alias="X-XSS-Protection")


class HttpServer(Section):
    """How requests are answered. HTTP/1.1 is spoken whatever `http2` says."""

    http2: Flag = True
    headers: Headers = Field(default_factory=Headers)


class RateLimit(Section):
    """A token bucket before everything on the listener."""

    interval: Interval = 0
    """Microseconds from one request to the next; 0 for no limit."""
    burst: Burst = Field(default=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _lets_something_in(cls, value: int, info: ValidationInfo) -> int:
        if value < 1 and info.data.get("interval"):
            raise refuse("must be at least 1", hint="with 0 every request would be refused")
        return value


class WebFile(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = Field(default_factory=HttpServer)
    basic_auth_users: Mapping[UserName, PasswordHash] = Field(default_factory=dict)
    rate_limit: RateLimit = Field(default_factory=RateLimit)

    @field_validator("basic_auth_users")
    @classmethod
    def _some_user(cls, value: Mapping[str, Secret]) -> Mapping[str, Secret]:
        if not value:
            raise refuse("lists no user", hint="write one; or remove it to ask nobody for a password")
        return value
