"""What is made by program is what the program makes."""

from __future__ import annotations

import pytest

from exporter.metrics import catalogue
from exporter.metrics.instruments import Instruments
from tests.docs import metrics
from tests.docs.queries import QUERIES
from tests.docs.regenerate import expected
from tests.kit.processes import ROOT
from tests.metrics.example import EXAMPLE

EXPECTED = expected()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_committed_file_is_what_the_program_makes(name: str) -> None:
    """A difference means: run `make docs`, and look at it."""
    assert (ROOT / name).read_text("utf-8") == EXPECTED[name]


def test_every_metric_has_a_query_and_no_other() -> None:
    """A new metric comes with a question that it answers."""
    assert list(QUERIES) == [family.name for family in catalogue.ALL]


def test_every_label_value_that_is_counted_is_on_the_page() -> None:
    """The words that series begin with, or that a snapshot has, are among those listed for their label."""
    list_problems = {value for values in metrics.label_values().values() for value in values}
    own = {
        value
        for metric in Instruments().registry.collect()
        if metric.name.startswith("smsbat_") and metric.name != catalogue.BUILD_INFO.name
        for sample in metric.samples
        for label, value in sample.labels.items()
        if label != "le"
    }
    of_state = {word for key in EXAMPLE.values for word in (key.label1, key.label2) if word.islower()}
    assert own | of_state <= list_problems
