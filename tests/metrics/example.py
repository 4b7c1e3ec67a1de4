"""Snapshots to render: a small one with something of everything, and large ones for measuring."""

from __future__ import annotations

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Status
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Exemplar, Kind, Objective, SeriesKey, Snapshot

CREATED_AT = 1_790_000_000_250_000
EXAMPLE_VALUES = {
    SeriesKey(1, Kind.MESSAGES, "new"): 7,
    SeriesKey(1, Kind.MESSAGES, "delivered"): 1_234_567,
    SeriesKey(1, Kind.TRACKED, "drop"): 1_300_000,
    SeriesKey(1, Kind.FINISHED, "delivered"): 999_999,
    SeriesKey(1, Kind.FINISHED, "expired"): 1_000_000,
    SeriesKey(1, Kind.SLO_MESSAGES): 1_200_001,
    SeriesKey(1, Kind.SLO_MISSED): 17,
    SeriesKey(1, Kind.COST_NANOS, "UAH"): 123_456_789_012_345,
    SeriesKey(1, Kind.COST_NANOS, "EUR"): 1,
    SeriesKey(1, Kind.PARTS): 2_000_000,
    SeriesKey(1, Kind.FALLBACKS, "viber", "not_used"): 5,
    SeriesKey(1, Kind.FALLBACKS, "sms", "delivered"): 6,
    SeriesKey(1, Kind.CHANNELS, "viber", "delivered"): 8,
    SeriesKey(1, Kind.DURATION_BUCKET, "poll", "0"): 3,
    SeriesKey(1, Kind.DURATION_BUCKET, "poll", "4"): 2,
    SeriesKey(1, Kind.DURATION_BUCKET, "poll", "15"): 1,
    SeriesKey(1, Kind.DURATION_SUM_US, "poll"): 12_345_678,
    SeriesKey(1, Kind.FIRST_KNOWLEDGE, "poll"): 6,
    SeriesKey(2, Kind.MESSAGES, "processing"): 1,
    SeriesKey(2, Kind.COST_NANOS, "UAH"): 0,
    SeriesKey(2, Kind.DURATION_BUCKET, "webhook", "1"): 4,
    SeriesKey(2, Kind.DURATION_SUM_US, "webhook"): 6 * SECOND_US,
    SeriesKey(2, Kind.FIRST_KNOWLEDGE, "poll"): 1,
    SeriesKey(2, Kind.FIRST_KNOWLEDGE, "webhook"): 4,
}
EXAMPLE = Snapshot(
    commit=41,
    created_at=CREATED_AT,
    campaigns={
        1: CampaignName("main", "spring-sale"),
        2: CampaignName("main", "otp"),
        3: CampaignName("backup", 'a "quoted" \\ name\nof two lines, привіт'),
    },
    values=EXAMPLE_VALUES,
    objectives={
        "spring-sale": Objective(3_600 * SECOND_US, 0.9),
        "otp": Objective(2_500_000, 0.95),
        'a "quoted" \\ name\nof two lines, привіт': Objective(300 * SECOND_US, 0.95),
    },
    delivery_ratios={(1, "5m"): 0.5, (1, "24h"): 1 / 3, (2, "5m"): 1.0},
    fallback_ratios={(1, "1h"): 0.0},
    oldest_pending_at={1: CREATED_AT + 1, 2: CREATED_AT + 3_600 * SECOND_US},
    exemplars={
        SeriesKey(1, Kind.DURATION_BUCKET, "poll", "0"): Exemplar("abc123def456", 612_345, CREATED_AT + 1),
        SeriesKey(1, Kind.DURATION_BUCKET, "poll", "4"): Exemplar("x" * 119, 14_000_000, CREATED_AT + 2),
        SeriesKey(1, Kind.DURATION_BUCKET, "poll", "15"): Exemplar("y" * 118, 300_000_000_000, CREATED_AT),
        SeriesKey(2, Kind.DURATION_BUCKET, "webhook", "1"): Exemplar("z", 1_500_000, CREATED_AT + 3),
    },
)
EMPTY = Snapshot(commit=1, created_at=CREATED_AT)


def make_large_snapshot(campaigns: int, step: int = 0) -> Snapshot:
    """`campaigns` campaigns of about 52 samples each; `step` changes values, never series."""
    values: dict[SeriesKey, int] = {}
    for campaign in range(campaigns):
        value = campaign * 37 + step
        for status in Status:
            values[SeriesKey(campaign, Kind.MESSAGES, status.word)] = value
            values[SeriesKey(campaign, Kind.FINISHED, status.word)] = value * 1_000
        values[SeriesKey(campaign, Kind.COST_NANOS, "UAH")] = value * NANOS_PER_UNIT // 7
        for index in range(len(BUCKETS_US) + 1):
            values[SeriesKey(campaign, Kind.DURATION_BUCKET, "poll", str(index))] = value + index
        values[SeriesKey(campaign, Kind.DURATION_SUM_US, "poll")] = value * 1_234_567
    return Snapshot(
        commit=step + 1,
        created_at=CREATED_AT,
        campaigns={campaign: CampaignName("main", f"campaign-{campaign}") for campaign in range(campaigns)},
        values=values,
        oldest_pending_at=dict.fromkeys(range(campaigns), CREATED_AT),
    )
