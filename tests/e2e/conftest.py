"""What these tests share: a simulated provider that runs while a module's tests do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.provider import Provider, simulated


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A simulated provider in which messages end within seconds, without a limit of requests."""
    with simulated(tmp_path_factory.mktemp("provider"), speed=1200) as running:
        yield running
