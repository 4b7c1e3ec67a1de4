"""An example overview, to start a test from."""

from __future__ import annotations

from exporter.domain.limiter import CircuitState
from exporter.domain.model import Outcome
from exporter.status.message import RequestView
from exporter.status.model import (
    AccountView,
    CampaignView,
    DropView,
    Hours,
    IntakeView,
    Overview,
    Share,
    State,
    WebhookView,
)

NOW = 1_800_000_000.0
HOURS = Hours(NOW - NOW % 3_600 - 23 * 3_600, (100,) * 24, (*(97,) * 23, 40), judged=23)
CAMPAIGN = CampaignView(
    account="main",
    campaign="otp",
    misses_objective=False,
    deadline_seconds=30.0,
    objective_ratio=0.95,
    delivered=(Share("1h", 0.97, 100), Share("24h", 0.9712, 2_300)),
    in_time=(Share("30m", 1.0, 50), Share("24h", 0.961, 2_290)),
    delivery_p50_seconds=7.5,
    delivery_p95_seconds=23.2,
    deliveries=2_200,
    cost={"UAH": 1_234.5, "EUR": 0.0625},
    tracked=2_400,
    finished={"delivered": 2_200, "undeliverable": 60},
    pending=60,
    oldest_pending_timestamp_seconds=NOW - 84,
    hours=HOURS,
)
ACCOUNT = AccountView(
    account="main",
    up=True,
    flow=CircuitState.CLOSED,
    last_success_timestamp_seconds=NOW - 3,
    requests_per_second=2.0,
    allowed_requests_per_second=10.0,
    configured_requests_per_second=10.0,
    paused_until_timestamp_seconds=None,
    next_probe_seconds=None,
    due={"high": 0, "normal": 3, "low": 5_000},
    lag_seconds={"high": 0.1, "low": 2.0},
    requests={"ok": 9_000, "timeout": 1},
)
FAILURE = RequestView(NOW - 60, "main", "otp", "abc123def456", Outcome.TIMEOUT, None, 10.0, "total: 10 s")
OVERVIEW = Overview(
    state=State.RECEIVING,
    summary="Receiving. The last usable answer came 3 s ago.",
    advice="",
    problems=(),
    configuration_warnings=(),
    version="1.2.3",
    demo_speed=None,
    timestamp_seconds=NOW,
    started_timestamp_seconds=NOW - 90_000,
    uptime_seconds=90_000.0,
    counters_created_timestamp_seconds=NOW - 900_000,
    counted_since_timestamp_seconds=NOW - 86_400,
    configuration_taken_timestamp_seconds=NOW - 90_000,
    pending=60,
    max_tracked=1_000_000,
    accounts=(ACCOUNT,),
    campaigns=(CAMPAIGN,),
    failures=(FAILURE,),
    failures_since_timestamp_seconds=NOW - 90_000,
    drop=DropView({"/var/drop": True}, blocked=False, files={"done": 7}, lines={"accepted": 2_400}),
    intake=IntakeView(enabled=False, messages={}),
    webhook=WebhookView(enabled=False, mode=None, addresses=(), events={}),
)
