"""A short version of the campaign with Prometheus as the judge; at length: `... judge`."""

from __future__ import annotations

import pytest

from tests.torture.test_campaigns import campaign


@pytest.mark.needs("prometheus")
def test_prometheus_sees_the_books_through_kills() -> None:
    """Every message counted once, no reset, no false increase, whatever was killed when."""
    assert campaign("judge", "--count", "10") == ""
