"""A short version of the campaign; at length: `python -m tests.torture prometheus-consistency`."""

from __future__ import annotations

import pytest

from tests.torture.test_campaigns import campaign


@pytest.mark.needs("prometheus")
def test_prometheus_sees_the_totals_through_kills() -> None:
    """Every message counted once, no reset, no false increase, whatever was killed when."""
    assert campaign("prometheus-consistency", "--count", "10") == ""
