"""The simulated provider of each module's tests, and the folder of each test's daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.daemon import Home
from tests.kit.provider import Provider, simulated


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A simulated provider whose messages are finished within seconds, without a rate limit."""
    with simulated(tmp_path_factory.mktemp("provider"), speed=1200) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, provider: Provider) -> Home:
    """A daemon's folder, ready to be used."""
    return Home(tmp_path / "home", provider.url)
