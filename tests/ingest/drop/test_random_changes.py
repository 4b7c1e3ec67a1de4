"""The model of a drop directory, in short runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.drop.model import Model


@pytest.mark.parametrize("seed", range(30))
async def test_random_changes_in_the_directory_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    """Sequences of actions, passes and crashes, checked after each pass and at rest."""
    model = Model(tmp_path / "drop", seed)
    for _ in range(60):
        await model.step()
    await model.finish()
