"""What a command line is made of, as values: flags with their environment variables, and commands.

`options` has those that there are. The parser, the help, the documentation
and the hints of errors are all made of the same values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exporter.runtime.errors import MAX_QUOTED, Code, UsageError, quoted

if TYPE_CHECKING:
    from exporter.config.addresses import Listen

PROGRAM = "smsbat-exporter"

Read = Callable[[str], Any]
"""What a text means; raises ValueError with the end of a sentence, which never quotes a secret."""
Completes = Literal["", "file", "directory"]

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag; one without `metavar` is a switch, which takes no value.

    Also what a command takes besides flags: its name has no dashes.
    """

    name: str
    text: str
    """What it is for."""
    example: str = ""
    """A value that can be given."""
    metavar: str = ""
    read: Read = str
    rule: str = ""
    """What a value must be."""
    default: str = ""
    """As it would be written; empty for none."""
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    """In the environment, commas stand between the values of a flag."""
    required: bool = False
    may_be_empty: bool = False
    """An empty value is none."""
    completes: Completes = ""

    @property
    def is_word(self) -> bool:
        """Whether it is what a command takes besides flags."""
        return not self.name.startswith("-")

    @property
    def env_name(self) -> str:
        """The environment variable that it can be given by."""
        return "SMSBAT_" + re.sub("[.-]", "_", self.name.lstrip("-")).upper()

    @property
    def attribute(self) -> str:
        """What it is called among the arguments of a command."""
        return re.sub("[.-]", "_", self.name.lstrip("-")).lower()

    def written(self, value: str = "") -> str:
        """The flag with a value, its example unless one is given."""
        return f"{self.name}={value or self.example}" if self.metavar else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: what it takes, and what it does."""

    name: str
    text: str
    """What it is for, as the end of a sentence."""
    do: str
    """What does it, as `module:function`, imported when it is wanted. It takes the arguments and the
    environment, and returns the exit code."""
    groups: Mapping[str, tuple[Flag, ...]]
    """Flags by what they are about."""
    words: tuple[Flag, ...] = ()
    """What it takes besides flags."""
    usual: str = ""
    """What it is mostly given."""
    examples: tuple[tuple[str, str], ...]
    """What can be typed after the name of the program, and what that is for."""

    def flags(self) -> Iterator[Flag]:
        """All of its flags."""
        for flags in self.groups.values():
            yield from flags

    def line(self, *more: str) -> str:
        """What to type, with `more` in it."""
        usual = "" if any(self.usual.startswith(one.partition("=")[0]) for one in more) else self.usual
        return " ".join(part for part in (PROGRAM, self.name, *more, usual) if part)


def value_of(flag: Flag, text: str, command: Command, *, env_name: bool = False) -> object:
    """What `text` means for a flag; `env_name` when it is from the environment. Raises UsageError."""
    if not text and flag.may_be_empty:
        return None
    try:
        return one_of(flag.choices, text) if flag.choices else flag.read(text)
    except ValueError as error:
        close = closest(text, flag.choices)
        why = f"did you mean {close}? " if close else f"{flag.rule}; " if flag.rule else ""
        name, line = flag.name, command.line(flag.written(close))
        if flag.is_word:
            line = f"{PROGRAM} {command.name} {close or command.usual}"
        if env_name:
            name, line = f"${flag.env_name}", f"{flag.env_name}={close or flag.example} {command.line()}"
        raise UsageError(f"{name}: {error}", hint=f"{why}try: {line}") from None


def closest(text: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant; empty for none."""
    # Long garbage has no neighbours, and comparing it is slow.
    return next(iter(get_close_matches(text, known, n=1)), "") if len(text) <= MAX_QUOTED else ""


def value_in_environment(flag: Flag, environ: Mapping[str, str], command: Command) -> object:
    """What the flag's environment variable says; None where it is not set. Raises UsageError."""
    text = environ.get(flag.env_name, "")
    if not text:
        return None
    if not flag.metavar:
        if text.lower() not in _TRUTHS:
            raise UsageError(
                f"${flag.env_name}: {quoted(text)} is neither true nor false",
                hint=f"try: {flag.env_name}=true {command.line()}",
            )
        return _TRUTHS[text.lower()]
    if flag.repeatable:
        return [value_of(flag, one.strip(), command, env_name=True) for one in text.split(",")]
    return value_of(flag, text, command, env_name=True)


def missing(command: Command, what: str) -> UsageError:
    """The error of a command that was not given all it needs."""
    return UsageError(f"{command.name} needs {what}", hint=f"try: {command.line()}", code=Code.MISSING)


# --- what texts mean ------------------------------------------------------------------------------


def filled(text: str) -> str:
    """Any text but an empty one."""
    if not text:
        raise ValueError("is empty")
    return text


def one_of(words: tuple[str, ...], text: str) -> str:
    """One of the words."""
    if text not in words:
        raise ValueError(f"{quoted(text)} is not one of {', '.join(words)}")
    return text


def number(least: float, most: float, text: str) -> float:
    """A decimal number from one to the other."""
    if _NUMBER.fullmatch(filled(text)) is None:
        raise ValueError(f"{quoted(text)} is not a number")
    value = float(text)
    if not least <= value <= most:
        raise ValueError(f"{quoted(text)} is out of range")
    return value


def whole(least: int, most: int, text: str) -> int:
    """A whole number from one to the other."""
    value = number(least, most, text)
    if not value.is_integer():
        raise ValueError(f"{quoted(text)} is not a whole number")
    return int(value)


def path(text: str) -> Path:
    """A path."""
    if "\0" in text:
        raise ValueError("has a character that no path can have")
    return Path(filled(text))


def listen(text: str) -> Listen:
    """An address to listen on."""
    from exporter.config.addresses import parse_listen

    address = parse_listen(filled(text))
    if address is None:
        raise ValueError(f"{quoted(text)} is not an address")
    return address


def address(text: str) -> str:
    """The same, as it is written."""
    listen(text)
    return text
