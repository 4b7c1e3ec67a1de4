"""Every error that this program raises on purpose, and the code of every problem that a user can meet.

Each class says whose fault it is, whether a retry can help, and the exit code
of the process when nothing handles the error::

    ExporterError            1   an unexpected condition of ours
    ├── UsageError           2   the command line is wrong; the user fixes it
    ├── ConfigError         78   the configuration is wrong; the user fixes it
    │   └── ConfigProblems  78   every problem of its file, each with a code of its own
    ├── StoreError           1   durable state can't be used
    │   ├── StoreBusy       75   another process uses it; stop that one first
    │   ├── StoreUnusable   78   corrupt, or written by a newer version; never retried
    │   ├── StoreFull       74   disk full; works again once there is space
    │   └── StoreBroken     74   the disk fails; a restart re-reads what is really on it
    └── ListenError          1   an address can't be bound; the user frees it

What the provider or a dropped file does wrong is no exception: such outcomes
are expected, so they are values (`model.Outcome`, the reasons in `ingest.drop`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from exporter.domain.model import Outcome

MAX_QUOTED = 48
PERHAPS_A_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{7,}[0-9]", re.ASCII)


class Code(StrEnum):
    """What went wrong, as a code to search for; `docs/errors.md` has a section for each.

    A code keeps its meaning for ever: one that is removed is not used again.
    """

    UNEXPECTED = "SMSBAT-X001"
    OUTPUT = "SMSBAT-X002"

    # The command line.
    NO_COMMAND = "SMSBAT-U001"
    UNKNOWN_FLAG = "SMSBAT-U002"
    BAD_VALUE = "SMSBAT-U003"
    MISSING = "SMSBAT-U004"
    UNEXPECTED_WORD = "SMSBAT-U005"
    BAD_ID = "SMSBAT-U006"
    UNKNOWN_ACCOUNT = "SMSBAT-U007"

    # The configuration.
    CONFIG_FILE = "SMSBAT-C001"
    CONFIG_SYNTAX = "SMSBAT-C002"
    CONFIG_DIALECT = "SMSBAT-C003"
    CONFIG_UNKNOWN_KEY = "SMSBAT-C004"
    CONFIG_TWICE = "SMSBAT-C005"
    CONFIG_MISSING = "SMSBAT-C006"
    CONFIG_VARIABLE = "SMSBAT-C007"
    CONFIG_SHAPE = "SMSBAT-C008"
    CONFIG_VALUE = "SMSBAT-C009"
    CONFIG_BASE_URL = "SMSBAT-C010"
    CONFIG_MESSAGE_ID = "SMSBAT-C011"
    CONFIG_NAME = "SMSBAT-C012"
    CONFIG_REFERENCE = "SMSBAT-C013"
    CONFIG_CLASH = "SMSBAT-C014"
    CONFIG_OPEN_KEY = "SMSBAT-C015"
    CONFIG_CA_FILE = "SMSBAT-C016"
    CONFIG_KEY_FILE = "SMSBAT-C017"

    # The web configuration; what is wrong with its syntax, keys and values has the codes above.
    WEB_FILE = "SMSBAT-W001"
    WEB_TLS = "SMSBAT-W002"
    WEB_WEAK = "SMSBAT-W003"

    # The state.
    STORE = "SMSBAT-S001"
    STORE_BUSY = "SMSBAT-S002"
    STORE_DAMAGED = "SMSBAT-S003"
    STORE_NEWER = "SMSBAT-S004"
    STORE_NETWORK = "SMSBAT-S005"
    STORE_FULL = "SMSBAT-S006"
    STORE_BROKEN = "SMSBAT-S007"
    STORE_RESET = "SMSBAT-S008"
    STORE_LITTLE_SPACE = "SMSBAT-S009"

    # The listeners.
    LISTEN = "SMSBAT-L001"

    # The provider.
    KEY_REFUSED = "SMSBAT-P001"
    MESSAGE_UNKNOWN = "SMSBAT-P002"
    RATE_LIMITED = "SMSBAT-P003"
    REQUEST_REFUSED = "SMSBAT-P004"
    PROVIDER_FAILS = "SMSBAT-P005"
    TIMED_OUT = "SMSBAT-P006"
    UNREACHABLE = "SMSBAT-P007"
    NAME_UNRESOLVED = "SMSBAT-P008"
    TLS = "SMSBAT-P009"
    REDIRECTED = "SMSBAT-P010"
    STRANGE_ANSWER = "SMSBAT-P011"
    ANSWERS_ANYBODY = "SMSBAT-P012"

    # Dropped files.
    DROP_FILE = "SMSBAT-D001"
    DROP_LINES = "SMSBAT-D002"
    DROP_DIRECTORY = "SMSBAT-D003"
    DROP_WAITS = "SMSBAT-D004"
    DROP_EXPOSED = "SMSBAT-D005"


class ExporterError(Exception):
    """Base of all errors raised on purpose; prints as a sentence with its code, and a hint."""

    exit_code = 1
    code = Code.UNEXPECTED

    def __init__(self, message: str, *, hint: str = "", code: Code | None = None) -> None:
        """`message` says what is wrong and where, `hint` what to do about it.

        `code` replaces the code of the class.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def render(self) -> str:
        """The text for people: the message with its code, and a line with the hint."""
        return format_error(self.message, self.code, self.hint)


class UsageError(ExporterError):
    """The command line is wrong."""

    exit_code = 2
    code = Code.BAD_VALUE


class ConfigError(ExporterError):
    """The configuration, or a file that it names, can't be used."""

    exit_code = 78
    code = Code.CONFIG_FILE


class ConfigProblems(ConfigError):  # noqa: N818 - reads as what it holds
    """A configuration file has problems: `message` lists them all, each with its code and hint.

    Its own code is that of the first one.
    """

    def render(self) -> str:
        """The list, as it is."""
        return self.message


class StoreError(ExporterError):
    """Durable state can't be used."""

    code = Code.STORE


class StoreBusy(StoreError):  # noqa: N818 - reads as the condition it names
    """Another process uses the state."""

    exit_code = 75
    code = Code.STORE_BUSY


class StoreUnusable(StoreError):  # noqa: N818 - reads as the condition it names
    """The state is corrupt, or was written by a newer version."""

    exit_code = 78
    code = Code.STORE_DAMAGED


class StoreFull(StoreError):  # noqa: N818 - reads as the condition it names
    """The disk is full; nothing was written, and a retry can help."""

    exit_code = 74
    code = Code.STORE_FULL


class StoreBroken(StoreError):  # noqa: N818 - reads as the condition it names
    """The disk failed a write or a sync; only a restart can tell what is on it."""

    exit_code = 74
    code = Code.STORE_BROKEN


class ListenError(ExporterError):
    """An address can't be bound."""

    code = Code.LISTEN


CODE_OF_OUTCOME: Mapping[Outcome, Code] = MappingProxyType(
    {
        Outcome.NOT_FOUND: Code.MESSAGE_UNKNOWN,
        Outcome.UNAUTHORIZED: Code.KEY_REFUSED,
        Outcome.RATE_LIMITED: Code.RATE_LIMITED,
        Outcome.CLIENT_ERROR: Code.REQUEST_REFUSED,
        Outcome.SERVER_ERROR: Code.PROVIDER_FAILS,
        Outcome.TIMEOUT: Code.TIMED_OUT,
        Outcome.CONNECT: Code.UNREACHABLE,
        Outcome.DNS: Code.NAME_UNRESOLVED,
        Outcome.TLS: Code.TLS,
        Outcome.REDIRECT: Code.REDIRECTED,
        Outcome.BAD_BODY: Code.STRANGE_ANSWER,
        Outcome.BAD_SCHEMA: Code.STRANGE_ANSWER,
        Outcome.TOO_LARGE: Code.STRANGE_ANSWER,
    }
)
"""The code of every failed request to the provider."""


def find_error_code(outcome: Outcome, detail: str) -> Code | None:
    """The code of a request with this result; None when it succeeded."""
    if outcome is Outcome.UNAUTHORIZED and detail.startswith("not sent"):
        # The provider refused nothing: there was no key to send.
        return Code.CONFIG_KEY_FILE
    return CODE_OF_OUTCOME.get(outcome)


def format_error(message: str, code: Code, hint: str = "") -> str:
    """The form of every error text: the code ends the first line, the hint is the second."""
    sentence = f"{message} [{code}]"
    return f"{sentence}\n  hint: {hint}" if hint else sentence


def quoted(text: str) -> str:
    """`text` in quotes: short, printable, and without what could be a phone number."""
    masked = PERHAPS_A_PHONE.sub("<digits>", text[: 4 * MAX_QUOTED])
    printable = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in masked
    )
    return f'"{printable}"' if len(printable) <= MAX_QUOTED else f'"{printable[:MAX_QUOTED]}…"'
