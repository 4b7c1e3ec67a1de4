"""Every message ever sent through the simulated provider: 12 bytes each.

A message is stored as its time of sending and a pointer to what it shares with
others (kind, campaign, scenario). Everything else is computed again for each
poll, see `timeline`.
"""

from array import array
from typing import NamedTuple

from exporter.runtime.clock import Clock
from exporter.simulator.identifiers import IdCodec
from exporter.simulator.scenarios import NORMAL, SCENARIOS, Scenario
from exporter.simulator.timeline import Timeline, TrafficKind, draw, plan_timeline


class Group(NamedTuple):
    """What messages of one kind, campaign and scenario share."""

    kind: TrafficKind
    campaign: str
    period: int
    """Index of the period in which they were sent."""


class Period(NamedTuple):
    """A scenario and the instant from which it holds."""

    began_at: int
    scenario: Scenario


class SentMessages:
    """What was sent, and under which circumstances."""

    def __init__(self, seed: int, clock: Clock, scenario: str = "calm") -> None:
        """Start empty; `clock` gives the provider's time. Raises KeyError for an unknown scenario."""
        self.ids = IdCodec(seed)
        self.clock = clock
        self._seed = seed
        self._periods = [Period(clock.now(), SCENARIOS[scenario])]
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
        return self._periods[-1].scenario

    def switch_scenario(self, name: str) -> None:
        """Let a scenario hold from now on. Raises KeyError for an unknown one."""
        scenario = SCENARIOS[name]
        if scenario is not self.scenario:
            self._periods.append(Period(self.clock.now(), scenario))

    def send(self, kind: TrafficKind, campaign: str, count: int) -> list[str]:
        """Send `count` messages now and return their ids."""
        first = len(self)
        group = Group(kind, campaign, len(self._periods) - 1)
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

    def campaign_of(self, index: int) -> str:
        """Return the campaign of message number `index`."""
        return self._groups[self._group_of[index]].campaign

    def timeline_of(self, index: int) -> Timeline:
        """Return the timeline of message number `index`, as far as the scenarios up to now decide it."""
        group = self._groups[self._group_of[index]]
        sent_at = self._sent_at[index]
        draws = draw(self._seed, index)
        effects = self._periods[group.period].scenario.effects
        timeline = plan_timeline(group.kind, draws, effects, sent_at)
        for began_at, scenario in self._periods[group.period + 1 :]:
            if timeline.final_at <= began_at:
                break
            added = scenario.effects
            if added is NORMAL:
                continue
            effects = effects.combine(added.without_viber() if timeline.fallback_at <= began_at else added)
            before, timeline = timeline, plan_timeline(group.kind, draws, effects, sent_at)
            # What would have happened under this scenario before it began is counted from its beginning.
            if timeline.fallback_at <= began_at < before.fallback_at:
                timeline = timeline.postpone(began_at - sent_at, from_fallback=True)
            elif timeline.final_at <= began_at:
                timeline = timeline.postpone(began_at - sent_at, from_fallback=False)
        return timeline
