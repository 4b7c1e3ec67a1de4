"""What a campaign did and found, and how its shares run side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.torture.forked_program import die_with_parent


@dataclass
class Report:
    """Figures and findings; those of two shares can be added."""

    counts: Counter[str] = field(default_factory=Counter)
    """How often each thing was done."""
    highest: dict[str, int] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    """What did not hold, a sentence each."""

    def add(self, other: Report) -> None:
        """Take in another one."""
        self.counts += other.counts
        self.findings += other.findings
        for name, value in other.highest.items():
            self.highest[name] = max(value, self.highest.get(name, value))
        for name, value in other.lowest.items():
            self.lowest[name] = min(value, self.lowest.get(name, value))

    def __str__(self) -> str:
        """All figures on a line."""
        figures = [f"{name} {count}" for name, count in self.counts.items()]
        figures += [f"highest {name} {value}" for name, value in self.highest.items()]
        figures += [f"lowest {name} {value}" for name, value in self.lowest.items()]
        return ", ".join([*figures, f"findings {len(self.findings)}"])


def run_in_parallel(shares: Sequence[Callable[[], Report]], workers: int) -> Iterator[Report]:
    """Run each share in one of `workers` forked processes; a share that breaks is a finding."""
    # Fork: what is imported once serves them all.
    with ProcessPoolExecutor(workers, get_context("fork"), die_with_parent) as crew:
        for share in as_completed([crew.submit(share) for share in shares]):
            broke = share.exception()
            yield share.result() if broke is None else Report(findings=[f"a share broke: {broke!r}"])
