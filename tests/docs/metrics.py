"""The page about metrics: the catalogue as users read it, with a query for each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum

from exporter.domain.model import Outcome, Priority, Source, Via, WebhookResult
from exporter.domain.states import FINAL_BY_PROVIDER, FINISHED, Status
from exporter.metrics import catalogue, instruments, operational_state
from exporter.metrics.catalogue import Family, Type
from exporter.provider.parsing import CHANNELS, ENTRY_STATUSES, OTHER
from tests.docs.configuration import PAGE_WIDTH
from tests.docs.queries import QUERIES


def tables() -> str:
    """Both halves of the catalogue, and what labels can say."""
    state = [_entry(family) for family in catalogue.STATE]
    own = [_entry(family) for family in catalogue.SELF]
    parts = ["## At a glance", "", *_overview(), "", "## State", "", *state, "## This process", "", *own]
    return "\n".join([*parts, "## Values of labels", "", *_words()]) + "\n"


def _overview() -> Iterator[str]:
    yield from ("| metric | type | labels | kind |", "|---|---|---|---|")
    for family in catalogue.ALL:
        link = f"[`{family.name}`](#{family.name})"
        labels = ", ".join(f"`{label}`" for label in family.labels)
        kind = "state" if family in catalogue.STATE else "process"
        yield f"| {link} | {family.type.value} | {labels} | {kind} |"


def _entry(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    kind = f"{family.type.value}, labels {labels}" if labels else f"{family.type.value}, no labels"
    if family.type is Type.HISTOGRAM:
        kind += f", buckets {', '.join(f'{bound:g}' for bound in family.buckets)}"
    meaning = re.sub(r"\bsmsbat_\w+", r"`\g<0>`", family.help.removesuffix(catalogue.CACHED))
    question, query = QUERIES[family.name]
    lines = (
        f"### `{family.name}`",
        "",
        f"*{kind[0].upper()}{kind[1:]}.*",
        *textwrap.wrap(meaning, PAGE_WIDTH),
    )
    return "\n".join([*lines, "", question, "", "```promql", query, "```", ""])


def label_values() -> dict[str, list[str]]:
    """Of labels whose values are known beforehand: the values, by metric and label or by label alone."""
    return {
        "`status` of `smsbat_messages`": _of(Status),
        "`status` of `smsbat_messages_finished_total`": [s.word for s in Status if s in FINISHED],
        "`status` of `smsbat_messages_late_total`": [s.word for s in Status if s in FINAL_BY_PROVIDER],
        "`source` of `smsbat_messages_tracked_total`": _of(Source),
        "`source` of `smsbat_delivery_duration_seconds` and `smsbat_first_knowledge_total`": _of(Via),
        "`type`, `channel`": [*sorted(CHANNELS), OTHER],
        "`status` of `smsbat_fallbacks_total` and `smsbat_channel_messages_total`": [
            *sorted(ENTRY_STATUSES),
            OTHER,
        ],
        "`outcome`": _of(Outcome),
        "`priority`": _of(Priority),
        "`result` of `smsbat_drop_files_total`": list(operational_state.FILE_RESULTS),
        "`result` of `smsbat_drop_lines_total` and `smsbat_intake_messages_total`": list(
            operational_state.ENTRY_RESULTS
        ),
        "`reason`": list(instruments.REJECT_REASONS),
        "`result` of `smsbat_webhook_events_total`": _of(WebhookResult),
        "`label`": list(instruments.OVERFLOWING_LABELS),
    }


def _of(words: Iterable[Enum]) -> list[str]:
    return [getattr(word, "word", word.value) for word in words]


def _words() -> Iterator[str]:
    yield from ("| label | values |", "|---|---|")
    for label, values in label_values().items():
        yield f"| {label} | {', '.join(f'`{value}`' for value in values)} |"
