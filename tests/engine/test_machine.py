"""Whatever happens, in whatever order: every message is counted once, and will be polled."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import looptime
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.config import Settings
from exporter.domain.model import SECOND_US, NewMessage, Outcome, Priority, Reply, Source
from exporter.domain.snapshot import Kind
from exporter.domain.states import Status
from exporter.engine.tracker import Tracked
from tests.engine.provider import (
    HANGING,
    Provider,
    answer_delivered,
    count_most_within,
    find_closest_seconds,
    make_reply,
)
from tests.engine.rig import Rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VirtualExecutor, quick_folder

RATE = 40
"""High enough for messages to be read in advance."""
REPLIES = [
    *(
        make_reply(status)
        for status in (Status.SCHEDULED, Status.PROCESSING, Status.DELIVERED, Status.UNDELIVERABLE)
    ),
    make_reply(Status.OTHER),
    *(
        Reply(outcome)
        for outcome in (
            Outcome.SERVER_ERROR,
            Outcome.CONNECT,
            Outcome.CLIENT_ERROR,
            Outcome.NOT_FOUND,
            Outcome.UNAUTHORIZED,
            Outcome.RATE_LIMITED,
        )
    ),
    Reply(Outcome.RATE_LIMITED, retry_after_us=3 * SECOND_US),
    Reply(Outcome.CONNECT, reused_connection_lost=True),
    HANGING,
]
SETTINGS = [
    make_settings(rate=rate, max_in_flight=slots, campaigns={"otp": otp, "sale": "campaign"})
    for rate, slots, otp in ((RATE, 10, "otp"), (RATE, 1, "otp"), (2, 3, "default"))
]


class Daemon(RuleBasedStateMachine):
    """Tracker, poller, maintenance and store; their model knows only how many ids were tracked."""

    def __init__(self) -> None:
        """One daemon, one provider, one folder, in a loop of its own."""
        super().__init__()
        self.resources = ExitStack()
        self.runner = self.resources.enter_context(
            asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=0))
        )
        fallback = Path(self.resources.enter_context(tempfile.TemporaryDirectory()))
        folder = self.resources.enter_context(quick_folder(fallback))
        self.provider = Provider()
        self.rig = Rig(folder / "0-state", SETTINGS[0], {"main": self.provider}, VirtualExecutor())
        self.sent = 0

    @initialize()
    def start(self) -> None:
        """Start the first daemon."""
        self.runner.run(self.rig.start())

    @rule(
        count=st.integers(1, 20),
        campaign=st.sampled_from(["otp", "orders", "sale"]),
        age=st.sampled_from([0, 60]),
    )
    def track_new_ids(self, count: int, campaign: str, age: int) -> None:
        """New ids are tracked."""
        if not self.rig.store.full:
            self.runner.run(self.rig.send(count, campaign, prefix=f"b{self.sent}", age_seconds=age))
            self.sent += count

    @rule()
    @precondition(lambda self: self.sent and not self.rig.store.full)
    def track_known_ids(self) -> None:
        """Known ids are tracked once more."""
        messages = self.runner.run(self.rig.read_messages())[-20:]
        known = [NewMessage(message.message_id, "otp", "main") for message in messages]
        self.rig.submitted += len(known)
        assert self.runner.run(self.rig.tracker.track(known, Source.DROP)) == Tracked(0, len(known))

    @rule(replies=st.lists(st.sampled_from(REPLIES), min_size=1, max_size=4))
    def change_replies(self, replies: list[Reply]) -> None:
        """From now on it gives these replies in turn."""
        turns = iter(range(10**9))
        self.provider.answer = lambda _: replies[next(turns) % len(replies)]

    @rule(seconds=st.sampled_from([0.1, 1, 7, 30, 70]))
    def let_time_pass(self, seconds: float) -> None:
        """Only time passes."""
        self.runner.run(self.rig.pass_time(seconds))

    @rule(settings=st.sampled_from(SETTINGS), verb_seconds=st.sampled_from([0, 0.000_2]))
    def reload(self, settings: Settings, verb_seconds: float) -> None:
        """Reload, perhaps in the middle of a commit."""
        self.rig.slow_down(verb_seconds)
        self.runner.run(self.rig.pass_time(0.05))
        self.rig.reload(settings)
        self.runner.run(self.rig.pass_time(0.05))
        self.rig.slow_down(0)

    @rule(pause_seconds=st.sampled_from([0, 0.2, 20]))
    def crash(self, pause_seconds: float) -> None:
        """The process is killed, and another starts a while later."""
        self.runner.run(self.rig.crash())
        self.runner.run(asyncio.sleep(pause_seconds))
        self.runner.run(self.rig.start())

    @rule()
    @precondition(lambda self: not self.rig.store.full)
    def restart(self) -> None:
        """The process stops in order, and another starts at once."""
        self.runner.run(self.rig.stop())
        self.runner.run(self.rig.start())

    @rule(seconds=st.sampled_from([1, 10]))
    def fill_the_disk_for_a_while(self, seconds: float) -> None:
        """The disk is full, and then has room again."""
        self.rig.store.full = True
        self.runner.run(self.rig.pass_time(seconds))
        self.rig.store.full = False
        self.runner.run(self.rig.pass_time(1.1))

    @invariant()
    def counts_are_those_of_the_store(self) -> None:
        """Pending = tracked - finished at every moment, and the store agrees."""
        if hasattr(self.rig, "snapshot"):
            self.runner.run(self.rig.pass_time(0))
            self.runner.run(self.rig.check_counts())
            assert self.rig.sum_series(Kind.TRACKED) == self.sent

    @invariant()
    def the_limits_of_the_provider_are_kept(self) -> None:
        """No message twice within a second, and never more than the rate."""
        assert find_closest_seconds(self.provider.requests) >= 1
        assert count_most_within(self.provider.requests, 5) <= RATE * 5 + RATE / 10 + 1

    def teardown(self) -> None:
        """Check that each pending message is in the queue exactly once, and that all are delivered then."""
        try:
            self.runner.run(self._check_all_are_planned_once())
            self.runner.run(self.rig.stop())
        finally:
            self.resources.close()

    async def _check_all_are_planned_once(self) -> None:
        rig = self.rig
        # Nothing is in flight, and nothing is claimed: all that waits is in the queue.
        self.provider.answer = lambda _: Reply(Outcome.RATE_LIMITED, retry_after_us=30 * SECOND_US)
        await rig.pass_time(45)
        rig.reload()
        await rig.pass_time(0.01)
        assert self.provider.in_flight == 0
        assert await rig.list_queue() == [m for m in await rig.read_messages() if m.unsettled]
        assert not any(map(rig.account.queue.count_claimed, Priority))
        self.provider.answer = answer_delivered
        await rig.wait_until(lambda: rig.pending == 0, 120)


Daemon.TestCase.settings = hypothesis.settings(
    max_examples=25,
    stateful_step_count=25,
    # Shrinking takes too long here; add `Phase.shrink` to find the cause of a failure.
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
test_daemon = Daemon.TestCase
