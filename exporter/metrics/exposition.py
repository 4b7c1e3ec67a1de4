"""The state as Prometheus reads it: a snapshot in, text 0.0.4 or OpenMetrics 1.0 out.

The bytes are those that the client library would print, at a fraction of its
cost: the text before a value is the same from one rendering to the next as long
as the series are the same, so `_Layout` makes it once, and a rendering only
puts the values in between. The library takes about 18 microseconds a
sample, which at 100,000 samples is most of a scrape's time-out.

Every series that is known beforehand stands at 0 from the campaign's first
rendering: `increase()` does not see the first value of a new series.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate, groupby
from typing import NamedTuple, TypeAlias

from prometheus_client.utils import floatToGoString

from exporter.domain.model import FINAL_BY_PROVIDER, FINISHED, NANOS_PER_UNIT, SECOND_US, Source, Status, Via
from exporter.domain.snapshot import BUCKETS_US, CampaignName, Exemplar, Kind, SeriesKey, Snapshot
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type

MAX_EXEMPLAR_CHARACTERS = 128
"""Names and values of an exemplar's labels together; Prometheus refuses a scrape with more."""
_EXEMPLAR_LABEL = "message_id"
_EXPONENT_FROM = 1_000_000
"""From here on Go, and so the library, prints a number with an exponent."""
_EXACT_BELOW = 10**15
"""Up to here, all digits of a whole number are those of the float."""
_NO_LABELS = [("", "")]
_VERSION = re.compile(r"version=([0-9]+)(?:\.[0-9]+)*")

_Sample: TypeAlias = tuple[tuple[str, ...], float]
"""Label values, and the sample's value."""
_StoredLabels: TypeAlias = tuple[str, str]


class Format(Enum):
    """The two formats of `/metrics`, by their content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Rendering(NamedTuple):
    """One answer to a scrape; immutable, so that any number of scrapers can share it."""

    parts: tuple[bytes, ...]
    """The body, in pieces: some are shared between renderings."""
    content_type: str
    gzipped: bool = False


def negotiate(accept: str) -> Format:
    """Choose the format that an Accept header asks for, by the rules of the client library, which ignore `q`.

    Prometheus lists what it understands in the order of its preference. OpenMetrics before 1.0
    is another format; an unknown format is answered in text 0.0.4.
    """
    for item in accept.split(","):
        media_type, *parameters = (word.strip() for word in item.split(";"))
        version = next((match for word in parameters if (match := _VERSION.fullmatch(word))), None)
        since_1_0 = version is not None and int(version[1]) >= 1
        if media_type == "application/openmetrics-text" and (since_1_0 or version is None):
            return Format.OPENMETRICS
        if media_type == "text/plain" and since_1_0:
            return Format.TEXT
    return Format.TEXT


class Renderer:
    """Renders snapshots in one format; keeps the layout of the latest until its series change."""

    def __init__(self, form: Format, *, created: bool, exemplars: bool = False) -> None:
        """With `created`, print `_created` samples too: a series more for each counter.

        With `exemplars`, print message ids with the buckets of durations, in OpenMetrics.
        """
        self._exemplars = exemplars and form is Format.OPENMETRICS
        self._openmetrics = form is Format.OPENMETRICS
        self._created = created
        self._layout: _Layout | None = None

    def render(self, snapshot: Snapshot) -> bytes:
        """Render all state families with their headers, in the catalogue's order.

        The `# EOF` of OpenMetrics is left to the caller, who knows what follows. Series of
        campaigns that the snapshot doesn't name are left out.
        """
        layout = self._layout
        if layout is None or not layout.fits(snapshot):
            layout = _Layout(snapshot, openmetrics=self._openmetrics, created=self._created)
            self._layout = layout
        texts = layout.render(snapshot.values, snapshot.exemplars if self._exemplars else {})
        for family, samples in _list_gauges(snapshot):
            texts[family] = _format_header(family, openmetrics=self._openmetrics) + _format_samples(
                family, samples
            )
        return "".join(texts[family] + "\n" for family in catalogue.STATE).encode()


def _list_gauges(snapshot: Snapshot) -> Iterator[tuple[Family, Iterable[_Sample]]]:
    """The families that are not in the layout, because their series come and go."""
    names = snapshot.campaigns
    objectives = sorted(snapshot.objectives.items())
    yield catalogue.SLO_DEADLINE, (((name,), o.deadline_us / SECOND_US) for name, o in objectives)
    yield catalogue.SLO_OBJECTIVE, (((name,), o.objective_ratio) for name, o in objectives)
    for family, ratios in (
        (catalogue.DELIVERY_RATIO, snapshot.delivery_ratios),
        (catalogue.FALLBACK_RATIO, snapshot.fallback_ratios),
    ):
        named = [
            (names[campaign], window, ratio)
            for (campaign, window), ratio in ratios.items()
            if campaign in names
        ]
        # By name only: the windows of a campaign stay as configured, shortest first.
        named.sort(key=lambda sample: sample[0])
        yield family, (((*name, window), ratio) for name, window, ratio in named)
    pending = sorted(
        (names[campaign], at) for campaign, at in snapshot.oldest_pending_at.items() if campaign in names
    )
    yield catalogue.OLDEST_PENDING, ((name, at / SECOND_US) for name, at in pending)
    yield catalogue.STATE_CREATED, [((), snapshot.created_at / SECOND_US)]


def _format_samples(family: Family, samples: Iterable[_Sample]) -> str:
    template = _make_line_template(family.name, family.labels)
    return "".join(
        template % _escape_labels(family.labels, labels) + _format_number(value) for labels, value in samples
    )


# --- the text around the values of the counted families --------------------------------------


class _Layout:
    """The text around the values; made from one snapshot, used for all with the same series."""

    def __init__(self, snapshot: Snapshot, *, openmetrics: bool, created: bool) -> None:
        """With `created`, print `_created` samples too."""
        self._series = list(snapshot.values)
        self._campaigns = dict(snapshot.campaigns)
        self._created_at = snapshot.created_at
        creation = _format_number(snapshot.created_at / SECOND_US) if created else ""
        position = {key: index for index, key in enumerate(self._series)}
        counted = list(_list_counted(snapshot))
        self._sections = [
            _make_section(one, position, openmetrics=openmetrics, creation=creation) for one in counted
        ]
        self._buckets = _place_buckets(
            next(one.children for one in counted if one.family is catalogue.DELIVERY_DURATION)
        )

    def fits(self, snapshot: Snapshot) -> bool:
        """Whether `snapshot` has exactly the series that this layout was made for, in the same order."""
        # In the same order, so that values are found by position, at a tenth of the cost of a look-up.
        # Successive snapshots share their keys, so that this only compares identities.
        return (
            list(snapshot.values) == self._series
            and snapshot.campaigns == self._campaigns
            and snapshot.created_at == self._created_at
        )

    def render(
        self, values: Mapping[SeriesKey, int], exemplars: Mapping[SeriesKey, Exemplar]
    ) -> dict[Family, str]:
        """Render each counted family, header included; a series without a value stands at 0."""
        numbers = [*values.values(), 0]
        exemplar_texts = {
            self._buckets[key]: _format_exemplar(
                found.message_id, found.duration_us / SECOND_US, found.at / SECOND_US
            )
            for key, found in exemplars.items()
            if key in self._buckets
        }
        return {
            section.family: section.render(
                numbers, exemplar_texts if section.family is catalogue.DELIVERY_DURATION else {}
            )
            for section in self._sections
        }


class _Section(NamedTuple):
    """The layout of one family."""

    family: Family
    positions: list[int]
    """Positions of the stored values that it shows; the last one for those that are not stored."""
    heads: list[str]
    """The text before each printed value."""
    tail: str
    """The text after the last one."""
    texts: Callable[[list[int]], list[str]]
    """Makes the printed values from the stored ones, as many as `heads`."""

    def render(self, numbers: list[int], exemplar_texts: Mapping[int, str]) -> str:
        texts = self.texts([numbers[position] for position in self.positions])
        for place, text in exemplar_texts.items():
            texts[place] += text
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


def _make_section(
    counted: _Counted, position: Mapping[SeriesKey, int], *, openmetrics: bool, creation: str
) -> _Section:
    family = counted.family
    if family.type is Type.GAUGE:
        creation = ""
    templates = _make_templates(family)
    creation_template = _make_line_template(f"{family.base_name}_created", family.labels)
    positions: list[int] = []
    heads: list[str] = []
    creations: list[str] = []
    before = _format_header(family, openmetrics=openmetrics)
    for child in counted.children:
        positions += (position.get(key, len(position)) for key in child.keys)
        labels = _escape_labels(family.labels, child.labels)
        first, *others = [template % labels for template in templates]
        heads += [before + first, *others]
        before = ""
        if creation and openmetrics:
            before = creation_template % labels + creation
        elif creation:
            creations.append(creation_template % labels + creation)
    if creations:
        before += _format_created_header(family) + "".join(creations)
    return _Section(family, positions, heads, before, counted.texts)


def _place_buckets(children: Iterable[_Child]) -> dict[SeriesKey, int]:
    """Find the printed value of each stored bucket of a histogram."""
    printed = len(BUCKETS_US) + 3
    return {
        key: number_of_child * printed + index
        for number_of_child, child in enumerate(children)
        for index, key in enumerate(child.keys[:-1])
    }


def _make_templates(family: Family) -> list[str]:
    """Make the lines of one child."""
    if family.type is not Type.HISTOGRAM:
        return [_make_line_template(family.name, family.labels)]
    bucket = _make_line_template(f"{family.name}_bucket", (*family.labels, "le"))
    bounds = [*map(_format_number, family.buckets), "+Inf"]
    return [
        *(bucket.replace("%(le)s", bound) for bound in bounds),
        _make_line_template(f"{family.name}_count", family.labels),
        _make_line_template(f"{family.name}_sum", family.labels),
    ]


# --- which series there are ----------------------------------------------------------------------


def _list_words(statuses: Iterable[Status]) -> list[_StoredLabels]:
    return [(status.word, "") for status in sorted(statuses)]


def _list_counted(snapshot: Snapshot) -> Iterator[_Counted]:
    campaigns = sorted(snapshot.campaigns.items(), key=lambda item: (item[1], item[0]))
    seen: dict[Kind, dict[int, set[_StoredLabels]]] = defaultdict(lambda: defaultdict(set))
    for campaign_id, kind, label1, label2 in snapshot.values:
        seen[kind][campaign_id].add((label1, label2))

    def make_simple(
        family: Family,
        kind: Kind,
        expected: list[_StoredLabels],
        texts: Callable[[list[int]], list[str]] = _format_whole,
    ) -> _Counted:
        """One sample a stored series, those `expected` first."""
        children = []
        stored_labels = len(family.labels) - len(CampaignName._fields)
        for campaign_id, name in campaigns:
            for labels in [*expected, *sorted(seen[kind][campaign_id].difference(expected))]:
                key = SeriesKey(campaign_id, kind, *labels)
                children.append(_Child((*name, *labels[:stored_labels]), [key]))
        return _Counted(family, children, texts)

    yield make_simple(catalogue.MESSAGES, Kind.MESSAGES, _list_words(Status))
    yield make_simple(catalogue.MESSAGES_TRACKED, Kind.TRACKED, [(source, "") for source in Source])
    yield make_simple(catalogue.MESSAGES_FINISHED, Kind.FINISHED, _list_words(FINISHED))
    yield make_simple(catalogue.MESSAGES_LATE, Kind.LATE, _list_words(FINAL_BY_PROVIDER))
    yield make_simple(catalogue.SLO_MESSAGES, Kind.SLO_MESSAGES, _NO_LABELS)
    yield make_simple(catalogue.SLO_MISSED, Kind.SLO_MISSED, _NO_LABELS)
    yield make_simple(catalogue.SLO_UNOBSERVED, Kind.SLO_UNOBSERVED, _NO_LABELS)
    yield make_simple(catalogue.COST, Kind.COST_NANOS, [], _format_nanos)
    yield make_simple(catalogue.MESSAGE_PARTS, Kind.PARTS, _NO_LABELS)
    yield make_simple(catalogue.FALLBACKS, Kind.FALLBACKS, [])
    yield make_simple(catalogue.CHANNEL_MESSAGES, Kind.CHANNELS, [])
    durations = seen[Kind.DURATION_BUCKET]
    yield _Counted(
        catalogue.DELIVERY_DURATION, list(_list_histograms(campaigns, durations)), _format_histograms
    )
    knowledge = list(_list_first_knowledge(campaigns))
    yield _Counted(
        catalogue.FIRST_KNOWLEDGE, knowledge, _make_sum_formatter([len(child.keys) for child in knowledge])
    )


def _list_histograms(
    campaigns: list[tuple[int, CampaignName]], durations: Mapping[int, set[_StoredLabels]]
) -> Iterator[_Child]:
    """One histogram for polls, and one for webhooks where they have reported anything."""
    for campaign_id, name in campaigns:
        for via in sorted({Via.POLL.value, *(via for via, _ in durations.get(campaign_id, ()))}):
            keys = [
                SeriesKey(campaign_id, Kind.DURATION_BUCKET, via, str(index))
                for index in range(len(BUCKETS_US) + 1)
            ]
            yield _Child((*name, via), [*keys, SeriesKey(campaign_id, Kind.DURATION_SUM_US, via)])


def _list_first_knowledge(campaigns: list[tuple[int, CampaignName]]) -> Iterator[_Child]:
    """Stored by campaign, shown by account."""
    for account, group in groupby(campaigns, key=lambda item: item[1].account):
        campaign_ids = [campaign_id for campaign_id, _ in group]
        for via in Via:
            keys = [SeriesKey(campaign_id, Kind.FIRST_KNOWLEDGE, via) for campaign_id in campaign_ids]
            yield _Child((account, via), keys)


# --- how values are printed ----------------------------------------------------------------------


def _format_whole(values: list[int]) -> list[str]:
    return [f"{value}.0" if value < _EXPONENT_FROM else _format_large(value) for value in values]


def _format_large(value: int) -> str:
    """Do the same as `_format_number`, in half the time."""
    if value >= _EXACT_BELOW:
        return _format_number(value)
    digits = str(value)
    mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(digits) - 1:02}"


def _format_nanos(values: list[int]) -> list[str]:
    return [_format_number(value / NANOS_PER_UNIT) for value in values]


def _format_histograms(values: list[int]) -> list[str]:
    """Turn each (buckets, sum in microseconds) into (cumulated buckets, count, sum in seconds)."""
    texts: list[str] = []
    stored = len(BUCKETS_US) + 2
    for start in range(0, len(values), stored):
        *buckets, sum_us = values[start : start + stored]
        texts += _format_whole(list(accumulate(buckets)))
        texts += (texts[-1], _format_number(sum_us / SECOND_US))
    return texts


def _make_sum_formatter(sizes: list[int]) -> Callable[[list[int]], list[str]]:
    """Make a function that adds up neighbours: the first `sizes[0]` values, and so on."""

    def format_sums(values: list[int]) -> list[str]:
        remaining = iter(values)
        return _format_whole([sum(next(remaining) for _ in range(size)) for size in sizes])

    return format_sums


# --- headers and the beginnings of sample lines, spelt as the client library spells them ---------
# Every piece begins with the line feed that ends the line before it, but for headers, which begin a family.


def _format_number(value: float) -> str:
    """Print a sample's value or a bound as Go does: `1.0`, `1.5e+06`, `+Inf`."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return text


def _format_header(family: Family, *, openmetrics: bool) -> str:
    """Make the comment lines before a family's samples; our help texts need no escapes."""
    if not openmetrics:
        return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}"
    unit = f"\n# UNIT {family.base_name} {family.unit}" if family.unit else ""
    return f"# HELP {family.base_name} {family.help}\n# TYPE {family.base_name} {family.type}{unit}"


def _format_created_header(family: Family) -> str:
    """Make the header of `_created` samples in text 0.0.4, where they are a family of their own."""
    name = f"{family.base_name}_created"
    return f"\n# HELP {name} {family.help}\n# TYPE {name} {Type.GAUGE}"


def _format_exemplar(message_id: str, value: float, at_seconds: float) -> str:
    """Make what follows a bucket's value: the id of a message in it; empty for an id that is too long."""
    if len(_EXEMPLAR_LABEL) + len(message_id) > MAX_EXEMPLAR_CHARACTERS:
        return ""
    return f' # {{{_EXEMPLAR_LABEL}="{message_id}"}} {_format_number(value)} {at_seconds}'


def _make_line_template(name: str, labels: Sequence[str]) -> str:
    """Make the text before a sample's value, to be filled by `_escape_labels`; labels are sorted by name."""
    if not labels:
        return f"\n{name} "
    pairs = ",".join(f'{label}="%({label})s"' for label in sorted(labels))
    return f"\n{name}{{{pairs}}} "


def _escape_labels(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    r"""Prepare label values for `_make_line_template`; `\`, `"` and line feeds need an escape."""
    return {
        label: value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        for label, value in zip(labels, values, strict=True)
    }
