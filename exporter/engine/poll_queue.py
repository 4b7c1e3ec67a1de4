"""What this process knows of an account's poll queue: which messages it holds, and when to look again.

The queue itself is in the store. A message is held from its claim until what
came of it is committed, and then rests for the provider's second; an id that
is not tracked yet is held for its request too. Every request needs a hold, so
no two for one message can be closer than that second (I5).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from exporter.domain.model import Message, Priority
from exporter.domain.schedule import CLOSEST_US
from exporter.runtime.clock import Clock
from exporter.store import Claimed, QueueTime

SHARES_PERCENT = {Priority.HIGH: 0, Priority.NORMAL: 20, Priority.LOW: 10}
"""What a class gets of the polls while others press; high comes first with the rest."""
_WHOLE_TURN = 100
_NEVER = 1 << 62


class QueueClock:
    """The clock of due times: wall time at the first start, and never a step from then on.

    It goes on with the monotonic clock, and across a restart by as much as the wall clock went, but never
    back. So a wall clock that is set an hour back delays no poll by an hour, neither while the process
    runs nor at its next start.
    """

    def __init__(self, clock: Clock, saved: QueueTime | None) -> None:
        """Go on from what an earlier run saved."""
        self._clock = clock
        wall_us = clock.now()
        began_us = wall_us if saved is None else saved.queue_us + max(0, wall_us - saved.wall_us)
        self._ahead_us = began_us - clock.monotonic()

    def now(self) -> int:
        """Microseconds; may be read from any thread."""
        return self._clock.monotonic() + self._ahead_us

    def from_wall(self, poll_at: int, at: int) -> int:
        """The due time for a poll that was planned at `at` for `poll_at`, both of the wall clock."""
        now = self.now()
        # The second is earlier only if the wall clock was set back since the plan was made.
        return min(poll_at + now - self._clock.now(), now + poll_at - at)

    def export(self) -> QueueTime:
        """What to save for a later run."""
        return QueueTime(self.now(), self._clock.now())


class PollQueue:
    """The holds and the next due times of one account; belongs to the event loop."""

    def __init__(self, clock: QueueClock) -> None:
        """Start with a hold on everything: an earlier run may have sent a request just before it ended."""
        self._clock = clock
        self._open_at = clock.now() + CLOSEST_US
        self._held: dict[str, int] = {}
        """Until when each id is held; those with `_NEVER` until they are released."""
        self._resting: deque[tuple[int, str]] = deque()
        self._claimed = dict.fromkeys(Priority, 0)
        self._next_due_at = dict.fromkeys(Priority, 0)
        self.wakeup = asyncio.Event()
        """Set when something may be due earlier, or the limiter may allow a request earlier."""

    def now(self) -> int:
        """The time that due times are measured by."""
        return self._clock.now()

    # --- holds ------------------------------------------------------------------------------------

    def get_wait_us(self) -> int:
        """How long until requests may go out at all; 0 for now."""
        return max(0, self._open_at - self._clock.now())

    def hold(self, message_id: str) -> bool:
        """Hold an id for a request about it; False when it is held already, and must not be requested."""
        if self._held.get(message_id, 0) > self._clock.now() or self.get_wait_us():
            return False
        self._held[message_id] = _NEVER
        return True

    def release(self, message_id: str, requested_at: int | None) -> None:
        """End a hold; `requested_at` is when its request ended at the latest, None if none was sent.

        A message that came to be due meanwhile, in whichever class, was passed over: it is noted now.
        """
        until = self._end_hold(message_id, requested_at)
        for priority in Priority:
            self.note_due(priority, until)

    def _end_hold(self, message_id: str, requested_at: int | None) -> int:
        """Let an id rest, or go; returns until when no request may follow."""
        self._forget_rests()
        self._held.pop(message_id, None)
        until = 0 if requested_at is None else requested_at + CLOSEST_US
        if until > self._clock.now():
            self._held[message_id] = until
            self._resting.append((until, message_id))
        return until

    def list_held(self) -> frozenset[str]:
        """The ids that are held now."""
        now = self._clock.now()
        return frozenset(message_id for message_id, until in self._held.items() if until > now)

    def _forget_rests(self) -> None:
        """Forget the rests that are over, about in their order."""
        now = self._clock.now()
        while self._resting and self._resting[0][0] <= now:
            until, message_id = self._resting.popleft()
            # It may have been claimed since.
            if self._held.get(message_id) == until:
                del self._held[message_id]

    # --- claims -----------------------------------------------------------------------------------

    def begin_claim(self, priority: Priority) -> None:
        """Note that the store is read now: what becomes due from here on is not in its answer."""
        self._next_due_at[priority] = _NEVER

    def take(self, priority: Priority, claimed: Claimed) -> list[Message]:
        """Hold what was claimed; leaves out what something else holds by now."""
        if claimed.next_due_at is not None:
            self.note_due(priority, claimed.next_due_at)
        taken = [message for message in claimed.messages if self.hold(message.message_id)]
        left = {message.message_id for message in claimed.messages} - {
            message.message_id for message in taken
        }
        for message_id in left.union(claimed.passed_over):
            # Those that do not rest yet are noted when they are released.
            self.note_due(priority, self._held.get(message_id, 0))
        self._claimed[priority] += len(taken)
        return taken

    def finish(self, message: Message, requested_at: int | None, *, planned: bool) -> None:
        """End the hold of a claimed message; unless `planned`, which notes it, it is due as before."""
        self._claimed[message.priority] -= 1
        if planned:
            self._end_hold(message.message_id, requested_at)
        else:
            # A webhook, and a reload before it, may have moved it to another class meanwhile.
            self.release(message.message_id, requested_at)

    def count_claimed(self, priority: Priority) -> int:
        """How many messages are claimed and neither put back nor committed."""
        return self._claimed[priority]

    # --- when to look again -------------------------------------------------------------------------

    def note_due(self, priority: Priority, due_at: int) -> None:
        """Note that something may be due then."""
        if due_at < self._next_due_at[priority]:
            self._next_due_at[priority] = due_at
            self.wakeup.set()

    def note_planned(self, message: Message) -> None:
        """Note when a message is due; if it is held, whoever holds it notes it again."""
        held_until = self._held.get(message.message_id, 0)
        if held_until != _NEVER:
            self.note_due(message.priority, max(message.due_at, held_until))

    def is_due(self, priority: Priority) -> bool:
        """Whether something may be due."""
        return self._next_due_at[priority] <= self._clock.now()

    def find_next_wait_us(self, priorities: Iterable[Priority]) -> int:
        """How long until something of these may be due."""
        return min(self._next_due_at[priority] for priority in priorities) - self._clock.now()


class Turns:
    """Whose turn it is among the priorities that have something due."""

    def __init__(self) -> None:
        """Nobody has waited yet."""
        self._credit = dict.fromkeys(Priority, 0)

    def choose(self, waiting: Sequence[Priority]) -> Priority:
        """The first of `waiting` (in order), unless one behind it has earned its turn by waiting."""
        for priority in waiting[1:]:
            self._credit[priority] += SHARES_PERCENT[priority]
        earned = [priority for priority in waiting[1:] if self._credit[priority] >= _WHOLE_TURN]
        chosen = earned[0] if earned else waiting[0]
        self._credit[chosen] = self._credit[chosen] - _WHOLE_TURN if earned else 0
        return chosen
