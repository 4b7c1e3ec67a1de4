"""The command line: arguments to settings, errors to exit codes.

Exit codes: 0 fine; 1 a check failed, or an unexpected error; 2 wrong usage;
74 the disk fails; 75 the state is in use by another process; 78 bad
configuration or state.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from exporter import __version__, commands, log
from exporter.errors import ExporterError, StoreBroken, UsageError

PROGRAM = "smsbat-exporter"
DEFAULT_LISTEN = ":10978"

_EXAMPLES = """\
examples:
  smsbat-exporter demo                                 look around, with no account
  smsbat-exporter check-config config.yaml             every problem of a file at once
  smsbat-exporter run --config.file=config.yaml        the daemon

Every flag of `run` can be given in the environment too: --config.file is SMSBAT_CONFIG_FILE.
"""


class _Parser(argparse.ArgumentParser):
    """Turns wrong usage into an error with a hint."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"try: {self.prog} --help")


def environment_twin(flag: str) -> str:
    """The environment variable that a flag can be given by."""
    return "SMSBAT_" + flag.lstrip("-").replace(".", "_").replace("-", "_").upper()


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The commands and their flags; defaults of flags come from `environ` where it has their twin."""
    top = _Parser(
        prog=PROGRAM,
        description="Shows what became of the messages sent through SMSBAT, as Prometheus metrics.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    chosen = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    run = chosen.add_parser("run", help="the daemon")
    _flag(run, environ, "--config.file", "config.yaml", "the configuration")
    _flag(
        run, environ, "--storage.path", "", "where the state lives (over storage.path of the configuration)"
    )
    _switch(run, environ, "--web.enable-lifecycle", "allow POST /-/reload")
    _daemon_flags(run, environ)
    run.set_defaults(command=commands.run)

    demo = chosen.add_parser(
        "demo", help="the daemon and a simulated provider with live traffic, no account needed"
    )
    _simulation_flags(demo)
    _daemon_flags(demo, environ)
    demo.set_defaults(command=commands.demo)

    simulator = chosen.add_parser("simulator", help="the simulated provider alone")
    simulator.add_argument("--listen", default="127.0.0.1:10980", metavar="ADDR", help="default: %(default)s")
    simulator.add_argument(
        "--requests-per-second",
        type=float,
        default=10.0,
        metavar="N",
        help="0: no limit; default: %(default)s",
    )
    simulator.add_argument(
        "--webhook-url",
        default="",
        metavar="URL",
        help="where the ends of messages are posted; default: nowhere",
    )
    _simulation_flags(simulator)
    _log_flags(simulator, environ)
    simulator.set_defaults(command=commands.simulator)

    check = chosen.add_parser(
        "check-config", help="every problem of a configuration, with line, column and a hint"
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument("--online", action="store_true", help="also try each account's key at the provider")
    _flag(check, environ, "--web.config.file", "", "check this web configuration too")
    check.set_defaults(command=commands.check_config)

    message = chosen.add_parser(
        "check-message", help="ask the provider once about messages, and print what it says"
    )
    message.add_argument("ids", nargs="+", metavar="ID")
    message.add_argument("--account", default="", help="default: the first one")
    _flag(message, environ, "--config.file", "config.yaml", "the configuration")
    message.set_defaults(command=commands.check_message)

    boards = chosen.add_parser(
        "dashboards", help="write the dashboards, rules and alerts that match this version"
    )
    boards.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to; made if it is not there"
    )
    boards.set_defaults(command=commands.dashboards)
    return top


def _daemon_flags(command: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    twin = environ.get(environment_twin("--web.listen-address"), "")
    command.add_argument(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        default=None,
        metavar="ADDR",
        help=f"where /metrics is served, repeatable; default: {DEFAULT_LISTEN}",
    )
    command.set_defaults(default_listen=tuple(twin.split(",")) if twin else (DEFAULT_LISTEN,))
    _flag(command, environ, "--web.config.file", "", "TLS and passwords for /metrics (docs/security.md)")
    _log_flags(command, environ)


def _log_flags(command: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    _flag(command, environ, "--log.level", "info", f"one of: {', '.join(log.LEVELS)}")
    _flag(command, environ, "--log.format", "logfmt", f"one of: {', '.join(log.FORMATS)}")


def _simulation_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scenario", default="calm", choices=commands.SCENARIOS, help="default: %(default)s"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="equal seeds, equal messages")
    command.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="N",
        help="60 makes an hour pass in a minute; default: %(default)s",
    )


def _flag(
    command: argparse.ArgumentParser,
    environ: Mapping[str, str],
    flag: str,
    default: str,
    text: str,
) -> None:
    twin = environment_twin(flag)
    command.add_argument(
        flag,
        dest=flag.lstrip("-").replace(".", "_"),
        default=environ.get(twin, default),
        metavar=flag.rsplit(".", 1)[-1].upper(),
        help=f"{text}; default: {default or 'none'} (${twin})",
    )


def _switch(command: argparse.ArgumentParser, environ: Mapping[str, str], flag: str, text: str) -> None:
    twin = environment_twin(flag)
    command.add_argument(
        flag,
        dest=flag.lstrip("-").replace(".", "_").replace("-", "_"),
        action="store_true",
        default=environ.get(twin, "").lower() in {"1", "true", "yes"},
        help=f"{text} (${twin})",
    )


def main() -> int:
    """Run one command; returns its exit code."""
    try:
        arguments = parser(os.environ).parse_args()
        code: int = arguments.command(arguments, os.environ)
        sys.stdout.flush()
    except ExporterError as error:
        print(f"{PROGRAM}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        if isinstance(error, StoreBroken):
            _leave_disk_alone(error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        # At its exit Python would try to print the rest once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{PROGRAM}: can't write: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _leave_disk_alone(code: int) -> NoReturn:
    """End without the interpreter's tidying up.

    It would close the database, which syncs once more, is told that all is
    well, and drops the log: possibly the only copy of what was committed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
