"""What the tests of polling share."""

from __future__ import annotations

import random

import pytest


@pytest.fixture(autouse=True)
def same_jitter() -> None:
    """Draw the same jitter in each run: what holds for one must not fail by chance in another."""
    random.seed(23)
