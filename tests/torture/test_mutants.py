"""The seeded defects still fit the code; whether their tests catch them is seen by `make mutants`."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.torture.defects import MUTANTS, Mutant
from tests.torture.mutants import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.breaks}-{mutant.what}")
def test_each_defect_fits_the_code(mutant: Mutant, tmp_path: Path) -> None:
    """Its place is there, once; what comes out is Python; and so is the test that must catch it."""
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / mutant.file, copy)
    original = mutant.apply(tmp_path)
    assert copy.read_text("utf-8") != original
    compile(copy.read_text("utf-8"), mutant.file, "exec")
    file, _, name = mutant.test.partition("::")
    assert name in (ROOT / "tests" / file).read_text("utf-8")


def test_each_invariant_has_two_defects() -> None:
    """One could be caught by chance."""
    counts = Counter(mutant.breaks for mutant in MUTANTS)
    assert {f"I{number}" for number in (*range(1, 11), 12)} == counts.keys()
    assert min(counts.values()) >= 2
