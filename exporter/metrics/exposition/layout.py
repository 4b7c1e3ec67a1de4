"""What stands around the values of the counted families, for one set of series.

Every series that can be known beforehand stands at 0 from the campaign's first
rendering: one that is born at 1 is invisible to `increase()`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, groupby
from typing import NamedTuple, TypeAlias

from exporter.domain.model import NANOS_PER_UNIT, SECOND_US, Source, Via
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Exemplar, Kind, SeriesKey, Snapshot
from exporter.domain.states import FINAL_BY_PROVIDER, FINISHED, Status
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type
from exporter.metrics.exposition.lines import (
    created_header,
    exemplar_text,
    header,
    line_template,
    line_values,
    number,
)

_StoredLabels: TypeAlias = tuple[str, str]
_EXPONENT_FROM = 1_000_000
"""From here on Go, and so the library, prints a number with an exponent."""
_EXACT_BELOW = 10**15
"""Up to here, all digits of a whole number are those of the float."""


class Layout:
    """Made from one snapshot, used for all that have the same series."""

    def __init__(self, snapshot: Snapshot, *, openmetrics: bool, created: bool) -> None:
        """Print `_created` samples too when `created`."""
        self._series = list(snapshot.values)
        self._campaigns = dict(snapshot.campaigns)
        self._created_at = snapshot.created_at
        creation = number(snapshot.created_at / SECOND_US) if created else ""
        position = {key: index for index, key in enumerate(self._series)}
        counted = list(_families(snapshot))
        self._sections = [
            _section(one, position, openmetrics=openmetrics, creation=creation) for one in counted
        ]
        self._buckets = _bucket_places(
            next(one.children for one in counted if one.family is catalogue.DELIVERY_DURATION)
        )

    def fits(self, snapshot: Snapshot) -> bool:
        """Whether `snapshot` has exactly the series that this layout was made for, in the same order."""
        # By order, since values are then found by position, at a tenth of a look-up; successive
        # snapshots share their keys, so that this only compares identities.
        return (
            list(snapshot.values) == self._series
            and snapshot.campaigns == self._campaigns
            and snapshot.created_at == self._created_at
        )

    def render(
        self, values: Mapping[SeriesKey, int], exemplars: Mapping[SeriesKey, Exemplar]
    ) -> dict[Family, str]:
        """The text of each counted family, header included; a series without a value stands at 0."""
        numbers = [*values.values(), 0]
        remarks = {
            self._buckets[key]: exemplar_text(
                found.message_id, found.duration_us / SECOND_US, found.at / SECOND_US
            )
            for key, found in exemplars.items()
            if key in self._buckets
        }
        return {
            section.family: section.render(
                numbers, remarks if section.family is catalogue.DELIVERY_DURATION else {}
            )
            for section in self._sections
        }


class _Section(NamedTuple):
    """The layout of one family."""

    family: Family
    positions: list[int]
    """Where the stored values that it shows are; the last position for those that are not stored."""
    heads: list[str]
    """What stands before each printed value."""
    tail: str
    """What stands after the last one."""
    texts: Callable[[list[int]], list[str]]
    """From the stored values to what is printed, as many as `heads`."""

    def render(self, numbers: list[int], remarks: Mapping[int, str]) -> str:
        texts = self.texts([numbers[position] for position in self.positions])
        for place, remark in remarks.items():
            texts[place] += remark
        pieces = [self.tail] * (2 * len(self.heads) + 1)
        pieces[:-1:2] = self.heads
        pieces[1::2] = texts
        return "".join(pieces)


class _Child(NamedTuple):
    """All samples of one family that share their labels (but for `le`)."""

    labels: tuple[str, ...]
    keys: list[SeriesKey]


class _Counted(NamedTuple):
    """A family, its children, and how their values are printed."""

    family: Family
    children: list[_Child]
    texts: Callable[[list[int]], list[str]]


def _section(
    counted: _Counted, position: Mapping[SeriesKey, int], *, openmetrics: bool, creation: str
) -> _Section:
    family = counted.family
    if family.type is Type.GAUGE:
        creation = ""
    templates = _templates(family)
    creation_template = line_template(f"{family.base_name}_created", family.labels)
    positions: list[int] = []
    heads: list[str] = []
    creations: list[str] = []
    before = header(family, openmetrics=openmetrics)
    for child in counted.children:
        positions += (position.get(key, len(position)) for key in child.keys)
        labels = line_values(family.labels, child.labels)
        first, *others = [template % labels for template in templates]
        heads += [before + first, *others]
        before = ""
        if creation and openmetrics:
            before = creation_template % labels + creation
        elif creation:
            creations.append(creation_template % labels + creation)
    if creations:
        before += created_header(family) + "".join(creations)
    return _Section(family, positions, heads, before, counted.texts)


def _bucket_places(children: Iterable[_Child]) -> dict[SeriesKey, int]:
    """Which of the printed values of a histogram is that of each stored bucket."""
    printed = len(BUCKETS_US) + 3
    return {
        key: number_of_child * printed + index
        for number_of_child, child in enumerate(children)
        for index, key in enumerate(child.keys[:-1])
    }


def _templates(family: Family) -> list[str]:
    """The lines of one child."""
    if family.type is not Type.HISTOGRAM:
        return [line_template(family.name, family.labels)]
    bucket = line_template(f"{family.name}_bucket", (*family.labels, "le"))
    bounds = [*map(number, family.buckets), "+Inf"]
    return [
        *(bucket.replace("%(le)s", bound) for bound in bounds),
        line_template(f"{family.name}_count", family.labels),
        line_template(f"{family.name}_sum", family.labels),
    ]


# --- which series there are ----------------------------------------------------------------------


def _words(statuses: Iterable[Status]) -> list[_StoredLabels]:
    return [(status.word, "") for status in sorted(statuses)]


_ALONE = [("", "")]


def _families(snapshot: Snapshot) -> Iterator[_Counted]:
    campaigns = sorted(snapshot.campaigns.items(), key=lambda item: (item[1], item[0]))
    seen: dict[Kind, dict[int, set[_StoredLabels]]] = defaultdict(lambda: defaultdict(set))
    for campaign_id, kind, label1, label2 in snapshot.values:
        seen[kind][campaign_id].add((label1, label2))

    def simple(
        family: Family,
        kind: Kind,
        expected: list[_StoredLabels],
        texts: Callable[[list[int]], list[str]] = _whole,
    ) -> _Counted:
        """One sample a stored series, those `expected` first."""
        children = []
        stored_labels = len(family.labels) - len(CampaignName._fields)
        for campaign_id, name in campaigns:
            for labels in [*expected, *sorted(seen[kind][campaign_id].difference(expected))]:
                key = SeriesKey(campaign_id, kind, *labels)
                children.append(_Child((*name, *labels[:stored_labels]), [key]))
        return _Counted(family, children, texts)

    yield simple(catalogue.MESSAGES, Kind.MESSAGES, _words(Status))
    yield simple(catalogue.MESSAGES_TRACKED, Kind.TRACKED, [(source, "") for source in Source])
    yield simple(catalogue.MESSAGES_FINISHED, Kind.FINISHED, _words(FINISHED))
    yield simple(catalogue.MESSAGES_LATE, Kind.LATE, _words(FINAL_BY_PROVIDER))
    yield simple(catalogue.SLO_MESSAGES, Kind.SLO_MESSAGES, _ALONE)
    yield simple(catalogue.SLO_MISSED, Kind.SLO_MISSED, _ALONE)
    yield simple(catalogue.SLO_UNOBSERVED, Kind.SLO_UNOBSERVED, _ALONE)
    yield simple(catalogue.COST, Kind.COST_NANOS, [], _nanos)
    yield simple(catalogue.MESSAGE_PARTS, Kind.PARTS, _ALONE)
    yield simple(catalogue.FALLBACKS, Kind.FALLBACKS, [])
    yield simple(catalogue.CHANNEL_MESSAGES, Kind.CHANNELS, [])
    durations = seen[Kind.DURATION_BUCKET]
    yield _Counted(catalogue.DELIVERY_DURATION, list(_histogram_children(campaigns, durations)), _histograms)
    knowledge = list(_knowledge_children(campaigns))
    yield _Counted(catalogue.FIRST_KNOWLEDGE, knowledge, _sums([len(child.keys) for child in knowledge]))


def _histogram_children(
    campaigns: list[tuple[int, CampaignName]], durations: Mapping[int, set[_StoredLabels]]
) -> Iterator[_Child]:
    """One histogram for polls, and one for webhooks where they have brought anything."""
    for campaign_id, name in campaigns:
        for via in sorted({Via.POLL.value, *(via for via, _ in durations.get(campaign_id, ()))}):
            keys = [
                SeriesKey(campaign_id, Kind.DURATION_BUCKET, via, str(index))
                for index in range(len(BUCKETS_US) + 1)
            ]
            yield _Child((*name, via), [*keys, SeriesKey(campaign_id, Kind.DURATION_SUM_US, via)])


def _knowledge_children(campaigns: list[tuple[int, CampaignName]]) -> Iterator[_Child]:
    """Stored by campaign, shown by account."""
    for account, group in groupby(campaigns, key=lambda item: item[1].account):
        campaign_ids = [campaign_id for campaign_id, _ in group]
        for via in Via:
            keys = [SeriesKey(campaign_id, Kind.FIRST_KNOWLEDGE, via) for campaign_id in campaign_ids]
            yield _Child((account, via), keys)


# --- how values are printed ----------------------------------------------------------------------


def _whole(values: list[int]) -> list[str]:
    return [f"{value}.0" if value < _EXPONENT_FROM else _large(value) for value in values]


def _large(value: int) -> str:
    """As `number`, in half the time."""
    if value >= _EXACT_BELOW:
        return number(value)
    digits = str(value)
    mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(digits) - 1:02}"


def _nanos(values: list[int]) -> list[str]:
    return [number(value / NANOS_PER_UNIT) for value in values]


def _histograms(values: list[int]) -> list[str]:
    """From (buckets, sum in microseconds) to (cumulated buckets, count, sum in seconds), again and again."""
    texts: list[str] = []
    stored = len(BUCKETS_US) + 2
    for start in range(0, len(values), stored):
        *buckets, sum_us = values[start : start + stored]
        texts += _whole(list(accumulate(buckets)))
        texts += (texts[-1], number(sum_us / SECOND_US))
    return texts


def _sums(sizes: list[int]) -> Callable[[list[int]], list[str]]:
    """Add up neighbours: the first `sizes[0]` values, and so on."""

    def summed(values: list[int]) -> list[str]:
        remaining = iter(values)
        return _whole([sum(next(remaining) for _ in range(size)) for size in sizes])

    return summed
