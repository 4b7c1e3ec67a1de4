"""Seeded defects, and the test that must catch each: `make mutants`.

Every defect is a small change of a text, made in a copy of the tree. The table
says which promise it breaks (I1 to I12, see docs/architecture.md) and which test
caught it. Exit code 1 when one survives, or when its place in the code is gone.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kit.processes import Running, environment
from tests.torture.defects import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
SIDE_BY_SIDE = 2
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "node_modules")


def outcome(mutant: Mutant | None, root: Path) -> tuple[str, float]:
    """What its test (without a mutant: all tests) says of the tree at `root`, and the seconds that took."""
    tests = [mutant.test] if mutant else sorted({one.test for one in MUTANTS})
    try:
        original = mutant.apply(root) if mutant else ""
    except ValueError as error:
        return f"does not apply: {error}", 0.0
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += [f"tests/{test}" for test in tests]
    began_at = time.monotonic()
    try:
        with Running(
            command, root.with_suffix(".log"), cwd=root, env=environment(PYTHONPATH=str(root))
        ) as testing:
            code = testing.ends()
            printed = testing.printed()
        # 1: a test failed. What else can go wrong is no test's merit, nor is a test that was left out.
        failed = "caught" if code == 1 else f"broke pytest: {printed[-2000:]}"
        said = failed if code else "left out" if "skipped" in printed else "survived"
    except subprocess.TimeoutExpired:
        said = "caught"  # a test that hangs fails too
    finally:
        if mutant:
            (root / mutant.file).write_text(original, "utf-8")
    return said, time.monotonic() - began_at


def main() -> int:
    """Apply all, one by one; print the table."""
    chosen = [one for one in MUTANTS if not sys.argv[1:] or one.breaks in sys.argv[1:]]
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def judged(mutant: Mutant | None) -> tuple[str, float]:
        tree = trees.get()
        try:
            return outcome(mutant, tree)
        finally:
            trees.put(tree)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        for number in range(SIDE_BY_SIDE):
            tree = Path(folder) / str(number)
            shutil.copytree(ROOT, tree, ignore=_LEFT_OUT)
            trees.put(tree)
        whole = threads.submit(judged, None)
        results = [(mutant, threads.submit(judged, mutant)) for mutant in chosen]
        for mutant, result in results:
            said, seconds = result.result()
            sys.stdout.write(f"{mutant.breaks:4}{said:10}{seconds:5.1f} s  {mutant.what}  [{mutant.test}]\n")
            sys.stdout.flush()
        said, seconds = whole.result()
    sound = said == "survived"
    sys.stdout.write(f"without any of them: {'all pass' if sound else said} ({seconds:.1f} s)\n")
    return 0 if sound and all(result.result()[0] == "caught" for _, result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
