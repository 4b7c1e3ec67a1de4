"""Which commands there are, and what each takes: the public command line, as one table."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from exporter.cli import flags
from exporter.cli.flags import Command, Flag
from exporter.simulator.scenarios import SCENARIOS

if TYPE_CHECKING:
    from exporter.simulator.webhooks import WebhookOrder

FASTEST = 3600
"""An hour a second."""
HIGHEST_RATE = 1_000_000
LARGEST_SEED = 10**12 - 1
# A copy of what `runtime.log` takes: it would bring a fifth of all modules of the start.
LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("logfmt", "json")
SHELLS = ("bash", "zsh", "fish")
_ADDRESS_RULE = "an address is host:port, [v6]:port or :port"


def _webhook(url: str) -> WebhookOrder:
    from exporter.simulator.webhooks import read_webhook_order

    order = read_webhook_order({"url": url})
    if isinstance(order, str):
        raise ValueError(order)  # noqa: TRY004 - what is wrong with the text, not its type
    return order


_CONFIG_FILE = Flag(
    name="--config.file",
    text="the configuration",
    metavar="FILE",
    read=flags.path,
    default="config.yaml",
    example="config.yaml",
    completes="file",
)
_WEB_CONFIG_FILE = Flag(
    name="--web.config.file",
    text="TLS and passwords for /metrics (docs/security.md)",
    metavar="FILE",
    read=flags.path,
    example="web.yml",
    may_be_empty=True,
    completes="file",
)
_LISTENER = (
    Flag(
        name="--web.listen-address",
        text="where /metrics is served, repeatable",
        metavar="ADDR",
        read=flags.address,
        rule=_ADDRESS_RULE,
        default=":10978",
        example="127.0.0.1:10978",
        repeatable=True,
    ),
    _WEB_CONFIG_FILE,
)
_LIFECYCLE = Flag(name="--web.enable-lifecycle", text="allow POST /-/reload")
_LOG = (
    Flag(
        name="--log.level",
        text="minimum level of log lines",
        metavar="LEVEL",
        choices=LOG_LEVELS,
        default="info",
        example="debug",
    ),
    Flag(
        name="--log.format",
        text="format of log lines",
        metavar="FORMAT",
        choices=LOG_FORMATS,
        default="logfmt",
        example="json",
    ),
)
_SIMULATION = (
    Flag(
        name="--scenario",
        text="what happens at the provider",
        metavar="NAME",
        choices=tuple(SCENARIOS),
        default="calm",
        example="viber-outage",
    ),
    Flag(
        name="--seed",
        text="equal seeds, equal messages",
        metavar="N",
        read=partial(flags.whole, -LARGEST_SEED, LARGEST_SEED),
        rule="a whole number of at most 12 digits",
        default="1",
        example="7",
    ),
    Flag(
        name="--speed",
        text="60 makes an hour pass in a minute",
        metavar="N",
        read=partial(flags.number, math.ulp(0), FASTEST),
        rule=f"more than 0, at most {FASTEST}",
        default="1",
        example="60",
    ),
)

COMMANDS = (
    Command(
        name="run",
        text="the daemon: learns what became of messages, and shows it at /metrics",
        do="exporter.cli.run:run",
        groups={
            "configuration and state": (
                _CONFIG_FILE,
                Flag(
                    name="--storage.path",
                    text="where the state lives, over storage.path of the configuration",
                    metavar="DIR",
                    read=flags.path,
                    example="/var/lib/smsbat-exporter",
                    completes="directory",
                ),
            ),
            "listener": (*_LISTENER, _LIFECYCLE),
            "log": _LOG,
        },
        usual="--config.file=config.yaml",
        examples=(
            ("run --config.file=config.yaml", "as the configuration says"),
            ("run --config.file=config.yaml --web.listen-address=127.0.0.1:10978", "for this machine only"),
            ("run --config.file=config.yaml --web.enable-lifecycle --log.format=json", "as in a container"),
        ),
    ),
    Command(
        name="demo",
        text="the daemon and a simulated provider with live traffic, with no account, file or network",
        do="exporter.cli.demo:demo",
        groups={"simulation": _SIMULATION, "listener": _LISTENER, "log": _LOG},
        examples=(
            ("demo", "look around"),
            ("demo --speed=60", "an hour a minute"),
            ("demo --scenario=viber-outage --speed=60", "something to be woken by"),
        ),
    ),
    Command(
        name="simulator",
        text="the simulated provider alone: status API, webhooks, faults on demand",
        do="exporter.cli.simulator:simulator",
        groups={
            "listener": (
                Flag(
                    name="--listen",
                    text="where its API is served",
                    metavar="ADDR",
                    read=flags.listen,
                    rule=_ADDRESS_RULE,
                    default="127.0.0.1:10980",
                    example="127.0.0.1:10980",
                ),
            ),
            "simulation": (
                Flag(
                    name="--requests-per-second",
                    text="request rate of each key; 0 for no limit",
                    metavar="N",
                    read=partial(flags.number, 0, HIGHEST_RATE),
                    rule=f"0 for no limit, at most {HIGHEST_RATE}",
                    default="10",
                    example="10",
                ),
                Flag(
                    name="--webhook-url",
                    text="where final statuses are posted",
                    metavar="URL",
                    read=_webhook,
                    rule="the address of a webhook",
                    example="http://127.0.0.1:10979/webhook/TOKEN",
                ),
                *_SIMULATION,
            ),
            "log": _LOG,
        },
        examples=(
            ("simulator", "a provider on this machine; its key is demo-key"),
            ("simulator --scenario=slow-sms --speed=60", "one that is slow"),
            ("simulator --webhook-url=http://127.0.0.1:10979/webhook/TOKEN", "one that posts webhooks"),
        ),
    ),
    Command(
        name="check-config",
        text="every problem of a configuration, with line, column and a hint",
        do="exporter.cli.check:check_config",
        groups={
            "checks": (
                Flag(name="--online", text="also try each account's key at the provider"),
                _WEB_CONFIG_FILE,
            ),
        },
        words=(Flag(name="FILE", text="the configuration", read=flags.path, completes="file"),),
        usual="config.yaml",
        examples=(
            ("check-config config.yaml", "before a restart or a reload"),
            ("check-config --online config.yaml", "is the key right, is the provider reached"),
        ),
    ),
    Command(
        name="check-message",
        text="poll the provider once for each message, and print the answers",
        do="exporter.cli.check:check_message",
        groups={
            "configuration": (
                _CONFIG_FILE,
                Flag(
                    name="--account",
                    text="the account of the messages; default: the first account",
                    metavar="NAME",
                    read=flags.filled,
                    example="main",
                ),
            ),
        },
        words=(Flag(name="ID", text="the id that the provider answered to sending", repeatable=True),),
        usual="abc123def456",
        examples=(
            ("check-message abc123def456", "one message"),
            ("check-message --account=main abc123def456 789xyz", "two, of an account"),
            ("check-message --config.file=config.yaml abc123def456", "with a configuration elsewhere"),
        ),
    ),
    Command(
        name="dashboards",
        text="write the dashboards, rules and alerts that match this version",
        do="exporter.cli.dashboards:dashboards",
        groups={
            "output": (
                Flag(
                    name="--out",
                    text="the directory; created if it does not exist",
                    metavar="DIR",
                    read=flags.path,
                    example="grafana",
                    required=True,
                    completes="directory",
                ),
            ),
        },
        usual="--out=grafana",
        examples=(("dashboards --out=grafana", "for Grafana, Prometheus and Alertmanager"),),
    ),
    Command(
        name="completion",
        text="print the script with which a shell completes commands, flags and values",
        do="exporter.cli.completion:completion",
        groups={},
        words=(Flag(name="SHELL", text="the shell", choices=SHELLS),),
        usual="bash",
        examples=(
            ("completion bash >/etc/bash_completion.d/smsbat-exporter", "for bash, as root"),
            ("completion zsh >/usr/local/share/zsh/site-functions/_smsbat-exporter", "for zsh, as root"),
            ("completion fish >/etc/fish/completions/smsbat-exporter.fish", "for fish, as root"),
        ),
    ),
)

EXAMPLES = (
    ("demo", "look around, with no account"),
    ("check-config config.yaml", "every problem of a file at once"),
    ("run --config.file=config.yaml", "the daemon"),
)
"""Where to begin."""
