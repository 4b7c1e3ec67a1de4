"""A store on a disk that a test can fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.aggregates import StateDelta
from exporter.domain.lifecycle import Event, Step
from exporter.domain.limiter import LimiterState
from exporter.domain.model import Message
from exporter.runtime.errors import StoreFull
from exporter.store import Accepted, Applied, Decide, FileProgress, QueueTime
from exporter.store.sqlite import SqliteStore


class FillableStore(SqliteStore):
    """A store whose disk is full while `full` is set."""

    full = False

    def _refuse_when_full(self) -> None:
        if self.full:
            raise StoreFull("no room to write")

    def ensure_account(self, account: str) -> int:
        """See `Store`."""
        self._refuse_when_full()
        return super().ensure_account(account)

    def ensure_campaign(self, account_id: int, campaign: str) -> int:
        """See `Store`."""
        self._refuse_when_full()
        return super().ensure_campaign(account_id, campaign)

    def track(self, *args: Any, file: FileProgress | None, **kwargs: Any) -> Accepted:  # noqa: ANN401 - passed on
        """See `Store`."""
        self._refuse_when_full()
        return super().track(*args, file=file, **kwargs)

    def apply(self, events: Sequence[Event], decide: Decide) -> Applied:
        """See `Store`; what changes nothing needs no room."""

        def decide_with_room(message: Message, event: Event) -> Step:
            step = decide(message, event)
            if step.message is not message:
                self._refuse_when_full()
            return step

        return super().apply(events, decide_with_room)

    def persist(
        self,
        changes: StateDelta,
        accounts: Mapping[int, LimiterState],
        queue_time: QueueTime | None = None,
    ) -> None:
        """See `Store`."""
        self._refuse_when_full()
        super().persist(changes, accounts, queue_time)

    def judge_lapsed(self, *args: Any, **kwargs: Any) -> StateDelta:  # noqa: ANN401 - passed on
        """See `Store`."""
        self._refuse_when_full()
        return super().judge_lapsed(*args, **kwargs)
