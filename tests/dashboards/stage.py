"""The demo, a real Prometheus with the shipped rules, a real Alertmanager, and somebody who is told.

The demo's clock runs `SPEED` times as fast, and the rules' durations are divided by a number of
their own. Where it is `SPEED` too, all is as in earnest, only sooner; `HURRIED` rules look at a
quarter of what they should, and are done within a minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import SteadyClock
from tests.dashboards.accelerated import Accelerated
from tests.kit.alerting import Receiver, alertmanager, receiving
from tests.kit.processes import EXPORTER, Running
from tests.kit.prometheus import Prometheus, prometheus
from tests.kit.waiting import until
from tests.kit.web import ask

SPEED = 30
HURRIED = 120


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs."""

    address: str
    provider: str
    drop: Path
    running: Running

    def switch(self, scenario: str) -> None:
        """Let the provider go through something else from now on."""
        assert ask(self.provider, f"/-/scenario/{scenario}", method="POST").status == 200

    def clock(self) -> tuple[float, float]:
        """The time now, and what the demo takes it for, in Unix seconds."""
        return SteadyClock().now() / SECOND_US, float(ask(self.provider, "/-/scenario").json()["now"])

    def lose_webhooks(self) -> None:
        """Let polls be all there is."""
        assert ask(self.provider, "/-/webhook", method="DELETE").status == 200


@dataclass(frozen=True, slots=True)
class Stage:
    """All that runs."""

    demos: dict[str, Demo]
    """By job."""
    prometheus: Prometheus
    receiver: Receiver
    accelerated: Accelerated


def _demo(stack: ExitStack, folder: Path) -> Demo:
    folder.mkdir()
    argv = [*EXPORTER, "demo", f"--speed={SPEED}", "--web.listen-address=127.0.0.1:0"]
    running = stack.enter_context(Running(argv, folder / "demo.log"))

    def opened() -> Demo | None:
        assert running.runs, running.said()
        found = re.search(
            r"metrics +http://(\S+)/metrics\n.*provider +http://([^/]+)/.* mv (\S+) ",
            running.printed(),
            re.DOTALL,
        )
        return Demo(found[1], found[2], Path(found[3]), running) if found else None

    demo = until(opened, "the demo says what to open")
    assert demo is not None
    return demo


@contextmanager
def staged(folder: Path, jobs: Sequence[str], divisor: int) -> Iterator[Stage]:
    """A demo for each job, and all that looks at them, until the block ends."""
    with ExitStack() as stack:
        demos = {job: _demo(stack, folder / job) for job in jobs}
        # Demos that began together share a clock, nearly.
        at_seconds, shown_seconds = next(iter(demos.values())).clock()
        accelerated = Accelerated(
            divisor, clock_speed=SPEED, at_seconds=at_seconds, shown_seconds=shown_seconds
        )
        for name, text in accelerated.rules().items():
            (folder / name).write_text(text, "utf-8")
        receiver = stack.enter_context(receiving())
        manager = stack.enter_context(alertmanager(folder, accelerated.alertmanager(receiver.url)))
        targets = {job: demo.address for job, demo in demos.items()}
        running = stack.enter_context(
            prometheus(folder, accelerated.prometheus(manager, targets), "--rules.alert.resend-delay=1s")
        )
        yield Stage(demos, running, receiver, accelerated)
