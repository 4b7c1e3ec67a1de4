"""The sections of a web configuration, as frozen models with an attribute for each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from exporter.config.fields import (
    Duration,
    FilePath,
    Flag,
    Otherwise,
    Text,
    parse_text,
    parse_whole,
    refuse,
    refuse_word,
)
from exporter.config.models import Section
from exporter.runtime.secrets import Secret

# The names of the format are those of Go; the values are those of OpenSSL.
SUITES: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Suites of TLS 1.2 with forward secrecy: those that Go offers by default."""
SUITES_13 = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
"""All suites of TLS 1.3 are always on, here as in Go: naming some of them excludes none."""
NO_FORWARD_SECRECY = frozenset(
    {
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
    }
)
"""Anyone who gets the key later can decrypt recorded connections. Go no longer offers these."""
CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_OLD_VERSIONS = ("TLS10", "TLS11")

MAX_BCRYPT_COST = 16
"""At this cost a check takes about four seconds, and twice as long for each step more."""
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
_UNCHECKED = {
    "RequestClientCert": "NoClientCert allows the same clients",
    "RequireAnyClientCert": "write RequireAndVerifyClientCert, and the authority in client_ca_file",
    "RequireClientCert": "write RequireAndVerifyClientCert, and the authority in client_ca_file",
}


def _refuse_old(value: object) -> object:
    if value in _OLD_VERSIONS:
        raise refuse("{value} is insecure, and not supported", hint="write TLS12 or TLS13")
    return value


def _refuse_unchecked(value: object) -> object:
    if isinstance(value, str) and value in _UNCHECKED:
        raise refuse(f"{value} accepts certificates without checking them", hint=_UNCHECKED[value])
    # Empty means none, as in other exporters.
    return "NoClientCert" if value == "" else value


def _parse_suite(value: object) -> str:
    text = parse_text(value)
    if text in NO_FORWARD_SECRECY:
        raise refuse("{value} has no forward secrecy", hint="remove it: every client supports a better one")
    if text not in SUITES and text not in SUITES_13:
        raise refuse_word(text, (*SUITES, *sorted(SUITES_13)))
    return text


def _parse_hash(value: object) -> Secret:
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse("is not a bcrypt hash", hint="make one: htpasswd -nBC 10 \"\" | tr -d ':\\n'")
    if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:  # noqa: PLR2004 - the minimum of bcrypt
        raise refuse(
            f"has a cost of {match[1]}", hint=f"use 4 to {MAX_BCRYPT_COST}; each step doubles the time"
        )
    return Secret(match[0])


def _check_user(text: str) -> str:
    # A client could send neither of them.
    if ":" in text or not text.isprintable():
        raise refuse("is not a user name: it has a colon or a control character")
    return text


Version = Annotated[Literal["TLS12", "TLS13"], BeforeValidator(_refuse_old)]
Suite = Annotated[str, BeforeValidator(_parse_suite)]
Header = Annotated[
    str, Field(pattern="^[ -~]*$"), Otherwise("has a character that is not allowed in a header")
]
"""The value of a header; empty when it is not set."""
# Empty means none, as in other exporters.
OptionalPath = Annotated[FilePath | None, BeforeValidator(lambda value: None if value == "" else value)]


class TlsServer(Section):
    """TLS and client certificates, each as the path of a file or as its content."""

    client_auth_type: Annotated[
        Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"],
        BeforeValidator(_refuse_unchecked),
    ] = "NoClientCert"
    cert: str = ""
    key: SecretStr = SecretStr("")
    client_ca: str = ""
    cert_file: OptionalPath = Field(default=None, validate_default=True)
    key_file: OptionalPath = Field(default=None, validate_default=True)
    client_ca_file: OptionalPath = Field(default=None, validate_default=True)
    client_allowed_sans: tuple[Text, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Suite, ...] = ()
    prefer_server_cipher_suites: Flag = True
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = ()

    @field_validator("cert_file", "key_file", "client_ca_file")
    @classmethod
    def _check_file_or_text(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any value of a field
        name = str(info.field_name).removesuffix("_file")
        if name not in info.data:
            return value  # has a problem of its own
        content = info.data[name]
        if value is not None and content:
            raise refuse(f"conflicts with {name}", hint="keep one of them")
        if value is None and not content and name != "client_ca":
            raise refuse("is missing", hint=f"write {name}_file, or {name} and the PEM text itself")
        return value

    @field_validator("client_ca", "client_ca_file")
    @classmethod
    def _check_ca_is_used(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any value of a field
        if value and info.data.get("client_auth_type") == "NoClientCert":
            raise refuse(
                "is not used: clients are not asked for a certificate",
                hint="write client_auth_type: RequireAndVerifyClientCert, or remove the authority",
            )
        return value

    @field_validator("client_allowed_sans")
    @classmethod
    def _check_sans_are_used(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "client_auth_type" in info.data and info.data["client_auth_type"] != "RequireAndVerifyClientCert":
            raise refuse("needs client_auth_type: RequireAndVerifyClientCert")
        if not value:
            raise refuse("lists no name", hint="list the names that may connect, or remove it to allow all")
        return value

    @field_validator("max_version")
    @classmethod
    def _check_not_below_min(cls, value: str, info: ValidationInfo) -> str:
        if value < info.data.get("min_version", value):
            raise refuse("{value} is older than min_version")
        return value

    @field_validator("cipher_suites")
    @classmethod
    def _check_suites_for_version(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("max_version") == "TLS12" and SUITES_13.issuperset(value):
            raise refuse("has no suite of TLS 1.2, and max_version allows nothing newer")
        return value

    @field_validator("curve_preferences")
    @classmethod
    def _check_one_curve(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1:
            raise refuse(
                "lists several curves, and only one can be set here",
                hint="keep one; or remove it to allow X25519, P-256, P-521 and P-384, in this order",
            )
        return value


class Headers(Section):
    """Headers of every answer; empty ones are not sent."""

    content_security_policy: Header = Field(default="", alias="Content-Security-Policy")
    strict_transport_security: Header = Field(default="", alias="Strict-Transport-Security")
    x_content_type_options: Literal["", "nosniff"] = Field(default="", alias="X-Content-Type-Options")
    x_frame_options: Literal["", "deny", "sameorigin"] = Field(default="", alias="X-Frame-Options")
    x_xss_protection: Header = Field(default="", alias="X-XSS-Protection")


class HttpServer(Section):
    """How requests are answered. HTTP/1.1 is used whatever `http2` says."""

    http2: Flag = True
    headers: Headers = Field(default_factory=Headers)


class RateLimit(Section):
    """A token bucket for all requests on the listener."""

    interval: Annotated[Duration, BeforeValidator(lambda value: "0s" if value == "0" else value)] = 0
    """Microseconds from one request to the next; 0 for no limit."""
    burst: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Otherwise("must be from {ge} to {le}"),
        BeforeValidator(parse_whole),
    ] = Field(default="0", validate_default=True)

    @field_validator("burst")
    @classmethod
    def _check_burst(cls, value: int, info: ValidationInfo) -> int:
        if value < 1 and info.data.get("interval"):
            raise refuse("must be at least 1", hint="with 0 every request would be refused")
        return value


class WebFile(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = Field(default_factory=HttpServer)
    basic_auth_users: Mapping[
        Annotated[str, AfterValidator(_check_user)], Annotated[Secret, BeforeValidator(_parse_hash)]
    ] = Field(default_factory=dict)
    rate_limit: RateLimit = Field(default_factory=RateLimit)

    @field_validator("basic_auth_users")
    @classmethod
    def _check_some_user(cls, value: Mapping[str, Secret]) -> Mapping[str, Secret]:
        if not value:
            raise refuse("lists no user", hint="add one, or remove it to require no password")
        return value
