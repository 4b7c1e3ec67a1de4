"""The simulated provider of each module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.provider import Provider, simulated


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A simulated provider whose messages are finished within seconds, without a rate limit."""
    with simulated(tmp_path_factory.mktemp("provider"), speed=1200) as running:
        yield running
