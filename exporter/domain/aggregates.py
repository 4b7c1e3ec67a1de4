"""The committed state in memory: a copy of the store's counters, updated after each commit.

`StateDelta` is what one transaction did to the counters; the store writes it in
the same transaction as the messages, and only then is it applied here.

A *cohort* is all messages of a campaign that were sent in the same `COHORT_US`.
Ratios are computed from cohorts. Met and missed verdicts wait in their cohort
until it is *mature*, which means that all its messages are past their deadline:
otherwise early successes would show before the failures that are known later.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.domain.lifecycle import Step, compute_tolerance_us
from exporter.domain.model import FINISHED, SECOND_US, Message, Status, Verdict
from exporter.domain.snapshot import (
    HOUR_US,
    HOURS,
    CampaignName,
    Exemplar,
    Hour,
    Kind,
    Objective,
    SeriesKey,
    Snapshot,
)

COHORT_US = 30 * SECOND_US


class CohortKey(NamedTuple):
    """A campaign, and when the cohort's time began."""

    campaign_id: int
    began_at: int


class Cohort(NamedTuple):
    """Counts of one cohort; `finished` and `fell_back` count messages that *finished* in its time."""

    sent: int = 0
    delivered: int = 0
    met: int = 0
    missed: int = 0
    finished: int = 0
    fell_back: int = 0

    def merge(self, other: Cohort) -> Cohort:
        """Add two cohorts, field by field."""
        return Cohort(*map(int.__add__, self, other))


_PENDING_WORDS = frozenset(status.word for status in Status if status not in FINISHED)
_EMPTY = Cohort()
_SENT = Cohort(sent=1)
_IDLE = (0, 0)


def get_cohort_key(campaign_id: int, at: int) -> CohortKey:
    """The cohort of messages that were sent, or finished, at `at`."""
    return CohortKey(campaign_id, at - at % COHORT_US)


@dataclass(slots=True)
class StateDelta:
    """The changes that one transaction makes to the counters."""

    counts: dict[SeriesKey, int] = field(default_factory=dict)
    cohorts: dict[CohortKey, Cohort] = field(default_factory=dict)
    exemplars: dict[SeriesKey, Exemplar] = field(default_factory=dict)
    """The store doesn't save them: a new process starts without any."""

    def __bool__(self) -> bool:
        return bool(self.counts or self.cohorts)

    def add_count(self, key: SeriesKey, amount: int) -> None:
        """Change one series by `amount`."""
        self.counts[key] = self.counts.get(key, 0) + amount

    def add_cohort(self, key: CohortKey, change: Cohort) -> None:
        """Add `change` to one cohort."""
        known = self.cohorts.get(key)
        self.cohorts[key] = change if known is None else known.merge(change)

    def add_step(self, step: Step) -> None:
        """Add what one event did."""
        message = step.message
        counts = self.counts
        bucket: SeriesKey | None = None
        for kind, label1, label2, amount in step.counts:
            key = SeriesKey(message.campaign_id, kind, label1, label2)
            counts[key] = counts.get(key, 0) + amount
            if kind is Kind.DURATION_BUCKET:
                bucket = key
            elif kind is Kind.DURATION_SUM_US and bucket is not None:
                self.exemplars[bucket] = Exemplar(message.message_id, amount, message.finished_at)
        met, missed = step.verdict is Verdict.MET, step.verdict is Verdict.MISSED
        if step.newly_delivered or met or missed:
            change = Cohort(delivered=int(step.newly_delivered), met=int(met), missed=int(missed))
            self.add_cohort(get_cohort_key(message.campaign_id, message.sent_at), change)
        if step.newly_finished or step.fell_back:
            change = Cohort(finished=int(step.newly_finished), fell_back=int(step.fell_back))
            self.add_cohort(get_cohort_key(message.campaign_id, message.finished_at), change)

    def add_tracked(self, campaign_id: int, source: str, sent_at: int, amount: int) -> None:
        """Add `amount` messages that were just accepted."""
        self.add_count(SeriesKey(campaign_id, Kind.TRACKED, source), amount)
        self.add_count(SeriesKey(campaign_id, Kind.MESSAGES, Status.NEW.word), amount)
        key = get_cohort_key(campaign_id, sent_at)
        self.add_cohort(key, _SENT if amount == 1 else Cohort(sent=amount))

    def remove_message(self, message: Message) -> None:
        """Remove a finished message whose retention is over from the gauge; counters stay."""
        self.add_count(SeriesKey(message.campaign_id, Kind.MESSAGES, message.status.word), -1)


class CommittedState:
    """Counters and cohorts as of the latest commit; owned by the event loop."""

    def __init__(self, created_at: int) -> None:
        self.created_at = created_at
        self.commit = 0
        self.pending = 0
        self.campaigns: dict[int, CampaignName] = {}
        self._values: dict[SeriesKey, int] = {}
        self._cohorts: dict[int, dict[int, Cohort]] = {}
        self._with_verdicts: dict[CohortKey, None] = {}
        self._changed: set[int] = set()
        self._ratios: dict[int, tuple[dict[str, _Share], dict[str, _Share]]] = {}
        self._hours: dict[int, dict[int, list[int]]] = defaultdict(dict)
        """Messages sent and delivered in each hour: mutable versions of `Hour`."""
        self._last_hours: dict[int, tuple[Hour, ...]] = {}
        self._ratios_at = 0
        self._exemplars: dict[SeriesKey, Exemplar] = {}

    def restore(
        self,
        campaigns: Mapping[int, CampaignName],
        values: Iterable[tuple[SeriesKey, int]],
        cohorts: Iterable[tuple[CohortKey, Cohort]],
    ) -> None:
        """Load what an earlier run committed."""
        self.campaigns.update(campaigns)
        self.apply(StateDelta(dict(values), dict(cohorts)))

    def apply(self, changes: StateDelta) -> None:
        """Apply what was just committed."""
        self.commit += 1
        for key, amount in changes.counts.items():
            self._values[key] = self._values.get(key, 0) + amount
            if key.kind is Kind.MESSAGES and key.label1 in _PENDING_WORDS:
                self.pending += amount
        self._exemplars |= changes.exemplars
        for cohort_key, change in changes.cohorts.items():
            cohorts = self._cohorts.setdefault(cohort_key.campaign_id, {})
            cohort = cohorts.get(cohort_key.began_at, _EMPTY).merge(change)
            cohorts[cohort_key.began_at] = cohort
            self._changed.add(cohort_key.campaign_id)
            if change.sent or change.delivered:
                self._count_hour(cohort_key, change)
            if cohort.met or cohort.missed:
                self._with_verdicts[cohort_key] = None
            else:
                self._with_verdicts.pop(cohort_key, None)

    def _count_hour(self, key: CohortKey, change: Cohort) -> None:
        hours = self._hours[key.campaign_id]
        began_at = key.began_at - key.began_at % HOUR_US
        hour = hours.get(began_at)
        if hour is None:
            hours[began_at] = [change.sent, change.delivered]
        else:
            hour[0] += change.sent
            hour[1] += change.delivered

    def initialize_series(self, key: SeriesKey) -> None:
        """Show a series at 0 before it counts anything; one that has a value keeps it."""
        self._values.setdefault(key, 0)

    def mature_cohorts(self, now: int, deadline_us: Callable[[str], int]) -> StateDelta:
        """Move the verdicts of all mature cohorts to the counters: returns the changes to commit.

        A cohort is mature when the latest of its messages is past its deadline and the tolerance
        after it. A verdict that is committed later is counted by the next call.
        """
        changes = StateDelta()
        for key in self._with_verdicts:
            deadline = deadline_us(self.campaigns[key.campaign_id].campaign)
            if key.began_at + COHORT_US + deadline + compute_tolerance_us(deadline) > now:
                continue
            cohort = self._cohorts[key.campaign_id][key.began_at]
            changes.add_count(SeriesKey(key.campaign_id, Kind.SLO_MESSAGES), cohort.met + cohort.missed)
            if cohort.missed:
                changes.add_count(SeriesKey(key.campaign_id, Kind.SLO_MISSED), cohort.missed)
            changes.add_cohort(key, Cohort(met=-cohort.met, missed=-cohort.missed))
        return changes

    def prune_cohorts(self, before: int) -> None:
        """Drop cohorts and hours that ended before `before`, where no window reaches them."""
        for campaign_id, cohorts in self._cohorts.items():
            for began_at in [b for b in cohorts if b + COHORT_US < before]:
                if CohortKey(campaign_id, began_at) not in self._with_verdicts:
                    del cohorts[began_at]
                    self._changed.add(campaign_id)
        for hours in self._hours.values():
            for began_at in [b for b in hours if b + HOUR_US < before]:
                del hours[began_at]

    def take_snapshot(
        self,
        now: int,
        windows: Mapping[str, int],
        objectives: Callable[[str], Objective],
        oldest_pending_at: Mapping[int, int],
    ) -> Snapshot:
        """Freeze what `/metrics` shows; `windows` maps a label to microseconds."""
        deque(self.refresh_ratios(now, windows, objectives), maxlen=0)
        delivery, fallback = self._flatten_shares(0), self._flatten_shares(1)
        return Snapshot(
            commit=self.commit,
            created_at=self.created_at,
            campaigns=dict(self.campaigns),
            values=dict(self._values),
            objectives={n.campaign: objectives(n.campaign) for n in self.campaigns.values()},
            delivery_ratios={place: share.part / share.whole for place, share in delivery.items()},
            fallback_ratios={place: share.part / share.whole for place, share in fallback.items()},
            oldest_pending_at=dict(oldest_pending_at),
            exemplars=dict(self._exemplars),
            taken_at=now,
            judged={place: share.whole for place, share in delivery.items()},
            hours=dict(self._last_hours),
        )

    def _flatten_shares(self, which: int) -> dict[tuple[int, str], _Share]:
        return {
            (campaign_id, window): share
            for campaign_id, shares in self._ratios.items()
            for window, share in shares[which].items()
        }

    def refresh_ratios(
        self, now: int, windows: Mapping[str, int], objectives: Callable[[str], Objective]
    ) -> Iterator[None]:
        """Compute the ratios again: of all campaigns when a cohort may have matured, else of changed ones.

        It yields after each campaign: many campaigns with a day of cohorts each take long, so the
        caller can let other tasks run. What changes meanwhile is left to the next call.
        """
        all_stale = now // COHORT_US != self._ratios_at // COHORT_US
        stale = list(self._cohorts if all_stale else self._changed)
        self._changed.clear()
        self._ratios_at = now
        this_hour = now - now % HOUR_US
        day = range(this_hour - (HOURS - 1) * HOUR_US, this_hour + 1, HOUR_US)
        for campaign_id in stale:
            cohorts = self._cohorts[campaign_id]
            deadline_us = objectives(self.campaigns[campaign_id].campaign).deadline_us
            self._ratios[campaign_id] = (
                _compute_shares(cohorts, now - COHORT_US - deadline_us, windows, 1, 0),
                _compute_shares(cohorts, now, windows, 5, 4),
            )
            hours = self._hours[campaign_id]
            self._last_hours[campaign_id] = tuple([Hour(*hours.get(began_at, _IDLE)) for began_at in day])
            yield


class _Share(NamedTuple):
    """A part of a whole; the whole is never 0."""

    part: int
    whole: int


def _compute_shares(
    cohorts: Mapping[int, Cohort], until: int, windows: Mapping[str, int], part: int, whole: int
) -> dict[str, _Share]:
    """Share of field `part` in field `whole`, over cohorts that began in each window before `until`."""
    ratios = {}
    for window, span_us in windows.items():
        # Only the cohorts of the window: with many campaigns there are a million in all.
        first = until - span_us - (until - span_us) % COHORT_US + COHORT_US
        inside = [c for began_at in range(first, until + 1, COHORT_US) if (c := cohorts.get(began_at))]
        total = sum([cohort[whole] for cohort in inside])
        if total:
            ratios[window] = _Share(sum([cohort[part] for cohort in inside]), total)
    return ratios
