"""Every message ever sent to the simulated provider: 12 bytes each.

A message is stored as its time of sending and a pointer to what it shares with
others (kind, campaign, scenario). Everything else is recomputed on each look,
see `fate`. This is also where the end of any message is known, seen or not.
"""

from array import array
from typing import NamedTuple

from exporter.runtime.clock import Clock
from exporter.simulator.fate import Fate, TrafficKind, draw, live
from exporter.simulator.identifiers import IdCodec
from exporter.simulator.scenarios import NORMAL, SCENARIOS, Scenario


class Group(NamedTuple):
    """What messages of one kind, campaign and scenario share."""

    kind: TrafficKind
    campaign: str
    turn: int
    """Index of the scenario's turn during which they were sent."""


class Turn(NamedTuple):
    """A scenario and the instant since which it holds."""

    begun_at: int
    scenario: Scenario


class Book:
    """The provider's memory: what was sent, and under which circumstances."""

    def __init__(self, seed: int, clock: Clock, scenario: str = "calm") -> None:
        """Open an empty book; `clock` gives the provider's time. Raises KeyError for an unknown scenario."""
        self.ids = IdCodec(seed)
        self.clock = clock
        self._seed = seed
        self._turns = [Turn(clock.now(), SCENARIOS[scenario])]
        self._groups: list[Group] = []
        self._group_numbers: dict[Group, int] = {}
        self._sent_at = array("q")
        self._group_of = array("I")

    def __len__(self) -> int:
        """Messages sent so far."""
        return len(self._sent_at)

    @property
    def scenario(self) -> Scenario:
        """The scenario that holds now."""
        return self._turns[-1].scenario

    def switch(self, scenario: str) -> None:
        """Let `scenario` hold from now on. Raises KeyError for an unknown one."""
        chosen = SCENARIOS[scenario]
        if chosen is not self.scenario:
            self._turns.append(Turn(self.clock.now(), chosen))

    def send(self, kind: TrafficKind, campaign: str, count: int) -> list[str]:
        """Send `count` messages now and return their ids."""
        first = len(self)
        group = Group(kind, campaign, len(self._turns) - 1)
        number = self._group_numbers.setdefault(group, len(self._groups))
        if number == len(self._groups):
            self._groups.append(group)
        self._sent_at.extend(array("q", (self.clock.now(),)) * count)
        self._group_of.extend(array("I", (number,)) * count)
        return [self.ids.write(index) for index in range(first, first + count)]

    def find(self, message_id: str) -> int:
        """Return the index of a sent message, or -1."""
        index = self.ids.read(message_id)
        return index if index < len(self) else -1

    def campaign(self, index: int) -> str:
        """Return the campaign of message number `index`."""
        return self._groups[self._group_of[index]].campaign

    def fate(self, index: int) -> Fate:
        """Return the life of message number `index`, as far as the scenarios up to now decide it."""
        group = self._groups[self._group_of[index]]
        sent_at = self._sent_at[index]
        draws = draw(self._seed, index)
        effects = self._turns[group.turn].scenario.effects
        fate = live(group.kind, draws, effects, sent_at)
        for number in range(group.turn + 1, len(self._turns)):
            begun_at, scenario = self._turns[number]
            if fate.final_at <= begun_at:
                break
            added = scenario.effects
            if added is NORMAL:
                continue
            effects = effects.joined_with(added.beyond_viber() if fate.fallback_at <= begun_at else added)
            before, fate = fate, live(group.kind, draws, effects, sent_at)
            # What would have happened under this scenario before it began is counted from there.
            if fate.fallback_at <= begun_at < before.fallback_at:
                fate = fate.put_off(begun_at - sent_at, from_fallback=True)
            elif fate.final_at <= begun_at:
                fate = fate.put_off(begun_at - sent_at, from_fallback=False)
        return fate
