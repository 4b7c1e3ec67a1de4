"""Scenes of the alerts about the provider, the pace of polls, drop directories and the exporter."""

from __future__ import annotations

from tests.dashboards.scenes import TARGET, Scene, Series, at, every

_LABELS = {"job": "smsbat", "account": "fires", "severity": "critical"}
_LINK = "/d/smsbat-exporter?var-job=smsbat"


def _requests(account: str, **outcomes: str) -> Series:
    name = f'smsbat_api_requests_total{{{TARGET},account="{account}",outcome='
    return {f'{name}"{outcome}"}}': values for outcome, values in outcomes.items()}


KEY_REVOKED = Scene(
    "SmsbatKeyRevoked",
    "account",
    every(
        _requests("fires", ok="0+60x10 600x30 600+60x30", unauthorized="0x10 0+1x30 30x30"),
        # One of many keys in rotation is bad, or a proxy in between: there are answers.
        _requests("just-below", ok="0+1x70", unauthorized="0+1x70"),
        # Refused now and then, and nothing else asked.
        _requests("few", ok="0+60x10 600x60", unauthorized="0+0.2x70"),
        _requests("restarts", ok="0+60x20 0+60x50", unauthorized="5x20 0x50"),
    ),
    dict((at(25, "fires"), at(50))),
    _LABELS,
    text=(
        "fires: the provider refuses the key",
        (
            "The provider refused the key of account fires 5 times in the last 5m and answered nothing: "
            "no status of its messages is learned. "
            "First step: put a valid key into the key file; it is read again by itself."
        ),
        f"{_LINK}&var-account=fires",
    ),
)

PROVIDER_FAILING = Scene(
    "SmsbatProviderFailing",
    "account",
    every(
        _requests("fires", ok="0+4x40 160+10x40", timeout="0+4x40 160x40", server_error="0+2x40 80x40"),
        _requests("just-below", ok="0+7.5x80", server_error="0+2.5x80"),
        _requests("few", ok="0x80", timeout="0+0.4x80"),
        _requests("restarts", ok="0+10x15 0+10x65", timeout="100x15 0x65"),
        # These have alerts or meanings of their own.
        _requests("refused", ok="0+1x80", unauthorized="0+5x80"),
        _requests("limited", ok="0+1x80", rate_limited="0+5x80", not_found="0+5x80"),
    ),
    dict((at(25, "fires"), at(70))),
    _LABELS,
    text=(
        "fires: requests to the provider fail",
        (
            "In the last 10m 60% of the requests for account fires failed. Statuses come "
            "late, and messages that reach their deadline unseen are in no delivery rate. "
            "First step: see on the dashboard how they end (timeout, server error, name, certificate)."
        ),
        f"{_LINK}&var-account=fires",
    ),
)


def _answered(account: str, last_success: str, due: str, tries: str = "0x60") -> Series:
    return every(
        {f'smsbat_api_last_success_timestamp_seconds{{{TARGET},account="{account}"}}': last_success},
        {f'smsbat_polls_due{{{TARGET},account="{account}",priority="normal"}}': due},
        _requests(account, timeout=tries),
    )


STALE = Scene(
    "SmsbatDataStale",
    "account",
    every(
        _answered("fires", "60x40 2460+60x30", "5x70"),
        _answered("just-below", "-590+60x70", "5x70"),
        # Nothing to ask about.
        _answered("few", "60x70", "0x70"),
        _answered("restarts", "0+60x20 _x2 1380+60x48", "0x70"),
    ),
    dict((at(25, "fires"), at(50))),
    _LABELS,
    text=(
        "fires: no usable answer for a long time",
        (
            "The provider gave no usable answer for account fires for 24m 0s although there are messages "
            "to ask about: all delivery numbers stand still. "
            "First step: see on the dashboard whether requests fail, are paused, or are not made at all."
        ),
        f"{_LINK}&var-account=fires",
    ),
)
STALE_AFTER_RESTART = Scene(
    "SmsbatDataStale",
    "account",
    # The gauge is gone since the restart; tries go on, and every one fails.
    _answered("fires", "60x15 stale _x30", "0x45", "0+1x45"),
    dict((at(40, "fires"),)),
    _LABELS,
)


def _late(account: str, lag: str, due: str, priority: str = "high") -> Series:
    labels = f'{TARGET},account="{account}",priority="{priority}"'
    return {f"smsbat_poll_lag_seconds{{{labels}}}": lag, f"smsbat_polls_due{{{labels}}}": due}


BEHIND = Scene(
    "SmsbatPollingBehind",
    "account",
    every(
        _late("fires", "15x50 0x30", "20x80"),
        _late("just-below", "9x80", "20x80"),
        _late("just-below", "59x80", "20x80", "normal"),
        # A campaign may wait.
        _late("just-below", "890x80", "20000x80", "low"),
        # Late, but next to nothing waits: the gauge holds what the latest poll was.
        _late("few", "100x80", "3x80"),
        _late("restarts", "100x5 0x75", "500x5 20x75"),
    ),
    dict((at(45, "fires"), at(60))),
    _LABELS | {"priority": "high", "severity": "warning"},
    text=(
        "fires: polls of high priority come late",
        (
            "Messages of high priority of account fires are looked at 15s late, "
            "for 10m or more. First step: compare the request rate with its limit on the dashboard, "
            "and ask the provider for more, or send campaigns slower."
        ),
        f"{_LINK}&var-account=fires",
    ),
)
BEHIND_BY_PRIORITY = Scene(
    "SmsbatPollingBehind",
    "priority",
    every(_late("one", "61x50", "20x50", "normal"), _late("one", "901x50", "20x50", "low")),
    dict((at(45, "normal", "low"),)),
    _LABELS,
)


def _directory(instance: str, values: str) -> Series:
    return {f'smsbat_drop_up{{job="smsbat",instance="{instance}",directory="/drop"}}': values}


DROP_FAILING = Scene(
    "SmsbatDropDirectoryFailing",
    "instance",
    every(
        _directory("fires", "1x5 0x20 1x20"),
        # Readable now and then.
        _directory("just-below", "0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1"),
        # A single pass failed.
        _directory("few", "1x10 0 1x35"),
        _directory("restarts", "1x10 _x6 1x30"),
    ),
    dict((at(20, "fires"), at(30))),
    {"job": "smsbat", "instance": "fires", "directory": "/drop", "severity": "critical"},
    text=(
        "fires: a drop directory can't be read",
        (
            "The exporter fires could not read the drop directory /drop "
            "for 5m: ids in it are not followed. "
            "First step: see that it exists, is mounted, and belongs to the exporter's user."
        ),
        _LINK,
    ),
)


def _up(instance: str, values: str) -> Series:
    return {f'up{{job="smsbat",instance="{instance}"}}': values}


DOWN = Scene(
    "SmsbatExporterDown",
    "instance",
    every(
        _up("fires", "1x5 0x20 1x20"),
        _up("just-below", "1x12 0x3 1x30"),
        # A single scrape failed.
        _up("few", "1x18 0 1x26"),
        _up("restarts", "1x18 0x1 1x26"),
    ),
    dict((at(20, "fires"), at(30))),
    {"job": "smsbat", "instance": "fires", "severity": "critical"},
    text=(
        "fires: the exporter does not answer",
        (
            "Prometheus can't scrape the exporter fires: nothing is known of any message. "
            "What it follows is on disk and is taken up again. "
            "First step: see whether the process runs, and its last log lines."
        ),
        _LINK,
    ),
)
ABSENT = Scene(
    "SmsbatExporterAbsent",
    "job",
    _up("one", "_x20 1x20"),
    dict((at(10, "smsbat"), at(25))),
    {"job": "smsbat", "severity": "critical"},
    text=(
        "no exporter is scraped",
        (
            "Prometheus has no target with job smsbat: no alert about messages can fire. "
            "First step: look for the job in the configuration and in the service discovery of Prometheus."
        ),
        _LINK,
    ),
    shows=frozenset({"fires"}),
)
PRESENT = Scene(
    "SmsbatExporterAbsent",
    "job",
    # Gone for less than 5 minutes beyond the lookback; then down, which is not absent.
    _up("one", "1x10 stale _x3 1x10 0x20"),
    dict((at(14), at(40))),
    {},
    shows=frozenset({"just-below", "few", "restarts"}),
)

PROVIDER = (
    KEY_REVOKED,
    PROVIDER_FAILING,
    STALE,
    STALE_AFTER_RESTART,
    BEHIND,
    BEHIND_BY_PRIORITY,
)
EXPORTER = (
    DROP_FAILING,
    DOWN,
    ABSENT,
    PRESENT,
)
