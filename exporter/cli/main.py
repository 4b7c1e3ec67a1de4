"""The command line: arguments to settings, errors to exit codes.

Exit codes: 0 fine; 1 a check failed, or an unexpected error; 2 wrong usage;
74 the disk fails; 75 the state is in use by another process; 78 bad
configuration or state; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from exporter import __version__
from exporter.cli.flags import (
    PROGRAM,
    Command,
    Flag,
    closest,
    missing,
    value_in_environment,
    value_of,
)
from exporter.cli.options import COMMANDS, EXAMPLES
from exporter.runtime.errors import Code, ExporterError, StoreBroken, UsageError, format_error, quoted

_BY_NAME = {command.name: command for command in COMMANDS}
_ENDING = """
Every flag can be given in the environment too: --config.file is $SMSBAT_CONFIG_FILE.
Every error has a code, like SMSBAT-U001: docs/errors.md says what it means and what to do.
Exit codes: 0 fine; 1 a check failed, or an unexpected error; 2 wrong usage; 74 the disk fails;
75 the state is in use by another process; 78 bad configuration or state; 130 ended by Ctrl-C.
"""


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong, instead of printing it and ending the process."""

    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The arguments of the chosen command, with what the environment adds; raises UsageError.

    `--help` and `--version` print, and end with SystemExit.
    """
    first = argv[0] if argv else ""
    top = parser()
    if first in {"-h", "--help", "--version"}:
        return top.parse_args([first])
    if first not in _BY_NAME:
        raise _no_command(first)
    command = _BY_NAME[first]
    try:
        arguments, unknown = top.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise _misused(command, error) from None
    if unknown:
        raise _unknown(command, unknown[0])
    for flag in command.flags():
        said = getattr(arguments, flag.attribute)
        if said is None or said is False:
            setattr(arguments, flag.attribute, _unsaid(flag, environ, command))
    arguments.parser = top
    return arguments


def parser() -> argparse.ArgumentParser:
    """What argparse needs to know: the commands with their flags and words, and their help."""
    top = _Parser(
        prog=PROGRAM,
        description="Shows what became of the messages sent through SMSBAT, as Prometheus metrics.",
        epilog=f"{_examples(EXAMPLES)}{_ENDING}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    chosen = top.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Parser)
    for command in COMMANDS:
        sub = chosen.add_parser(
            command.name,
            help=command.text,
            description=f"{command.text[0].upper()}{command.text[1:]}.",
            epilog=_examples(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            exit_on_error=False,
            allow_abbrev=False,
        )
        sub.set_defaults(do=command.do)
        for word in command.words:
            _add(sub, word, command)
        for title, flags in command.groups.items():
            group = sub.add_argument_group(title)
            for flag in flags:
                _add(group, flag, command)
    return top


def _add(to: argparse.ArgumentParser | argparse._ArgumentGroup, flag: Flag, command: Command) -> None:
    if not flag.metavar and not flag.is_word:
        to.add_argument(flag.name, dest=flag.attribute, action="store_true", help=_help(flag))
        return
    kind: dict[str, Any] = {"dest": flag.attribute, "action": "append" if flag.repeatable else "store"}
    if flag.is_word:
        kind = {"nargs": "+" if flag.repeatable else None}
    action = to.add_argument(
        flag.attribute if flag.is_word else flag.name,
        metavar=flag.metavar or flag.name,
        type=lambda text: value_of(flag, text, command),
        choices=flag.choices or None,
        help=_help(flag),
        **kind,
    )
    if flag.completes:
        action.complete = flag.completes  # type: ignore[attr-defined]  # where shtab looks for it


def _help(flag: Flag) -> str:
    parts = [flag.text]
    if flag.choices:
        parts.append(f"one of: {', '.join(flag.choices)}")
    if flag.default:
        parts.append(f"default: {flag.default}")
    env_name = "" if flag.is_word else f" (${flag.env_name})"
    return f"{'; '.join(parts)}{env_name}".replace("%", "%%")


def _examples(examples: Iterable[tuple[str, str]]) -> str:
    """What can be pasted: a comment, then the line."""
    lines = [f"  # {text}\n  {PROGRAM} {line}\n" for line, text in examples]
    return "examples:\n" + "".join(lines)


def _unsaid(flag: Flag, environ: Mapping[str, str], command: Command) -> object:
    """What holds for a flag that is not on the command line."""
    value = value_in_environment(flag, environ, command)
    if value is not None:
        return value
    if flag.required:
        raise missing(command, flag.name)
    if not flag.metavar:
        return False
    if not flag.default:
        return None
    default = value_of(flag, flag.default, command)
    return [default] if flag.repeatable else default


# --- what is wrong, and what to type instead --------------------------------------------------------


def _no_command(first: str) -> UsageError:
    """The error of a command line that names no command that there is."""
    if not first:
        hint = f"to look around, try: {PROGRAM} demo"
        return UsageError("there is no command", hint=hint, code=Code.NO_COMMAND)
    if first.startswith("-"):
        close = closest(first, ("--help", "--version"))
        if close:
            hint = f"did you mean {close}? try: {PROGRAM} {close}"
            return UsageError(f"there is no flag {quoted(first)}", hint=hint, code=Code.UNKNOWN_FLAG)
        # As other exporters are started: with the flags of the daemon alone.
        run = _BY_NAME["run"]
        return UsageError(
            f"a command must come before {quoted(first.partition('=')[0])}",
            hint=f"for the daemon, try: {run.line()}",
            code=Code.NO_COMMAND,
        )
    close = closest(first, _BY_NAME)
    hint = f"did you mean {close}? try: {_BY_NAME[close].line()}" if close else f"try: {PROGRAM} --help"
    return UsageError(f"there is no command {quoted(first)}", hint=hint, code=Code.NO_COMMAND)


def _unknown(command: Command, word: str) -> UsageError:
    """The error of a word that the command can't use."""
    if not word.startswith("-") or word == "-":
        message = f"{command.name} takes no {quoted(word)}"
        return UsageError(message, hint=f"try: {command.line()}", code=Code.UNEXPECTED_WORD)
    name = word.partition("=")[0]
    flags = {flag.name: flag for flag in command.flags()}
    close = closest(name, flags)
    hint = f"try: {PROGRAM} {command.name} --help"
    if close:
        hint = f"did you mean {close}? try: {command.line(flags[close].written())}"
    return UsageError(f"{command.name} has no flag {quoted(name)}", hint=hint, code=Code.UNKNOWN_FLAG)


def _misused(command: Command, error: argparse.ArgumentError) -> UsageError:
    """What argparse says of a command line, in our words: its own may quote a value."""
    flags = {flag.name: flag for flag in command.flags()}
    name = error.argument_name or ""
    if name in flags:
        flag = flags[name]
        message, code = f"{name} takes no value", Code.BAD_VALUE
        if flag.metavar:
            message, code = f"{name} needs a value", Code.MISSING
        return UsageError(message, hint=f"try: {command.line(flag.written())}", code=code)
    if name:  # -h and --help
        return UsageError(f"{name} takes no value", hint=f"try: {PROGRAM} {command.name} --help")
    return missing(command, " and ".join(word.name for word in command.words) or "more")


# --- the way out ------------------------------------------------------------------------------------


def main() -> int:
    """Run one command; returns its exit code."""
    try:
        arguments = parse(sys.argv[1:], os.environ)
        do: Callable[..., int] = pkgutil.resolve_name(arguments.do)
        with _interruptible():
            code = do(arguments, os.environ)
        sys.stdout.flush()
    except ExporterError as error:
        _print_error(error.render())
        if isinstance(error, StoreBroken):
            _leave_disk_alone(error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last resort: a stack trace would show what values hold
        if isinstance(error, OSError) and error.errno in {errno.EPIPE, errno.ENOSPC}:
            # At its exit Python would try to print the rest once more, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _print_error(format_error(f"can't write: {error.strerror}", Code.OUTPUT))
        else:
            from exporter.runtime.log import describe_exception

            hint = "this is a defect of the exporter: report it with this line"
            _print_error(format_error(f"unexpected: {describe_exception(error)}", Code.UNEXPECTED, hint))
        return 1
    return code


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at Ctrl-C, if it is heard at all: there is something to tidy up."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print_error(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def _leave_disk_alone(code: int) -> NoReturn:
    """End without the interpreter's tidying up.

    It would close the database, which syncs once more, is told that all is
    well, and drops the log: possibly the only copy of what was committed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
