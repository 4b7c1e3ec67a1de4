"""What the tests of drop directories share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.drop.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A directory that is watched."""
    return Rig.make(tmp_path / "drop")
