"""The page about numbers: which status may follow which, as the transition table has it."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.domain.states import CLAIM_MOVES, MOVES, ClaimEvent, ClaimState, Phase, Status


def diagram() -> str:
    """The moves of a status, then those of a claim."""
    return "\n".join(["```text", *_statuses(), "", *_claims(), "```", ""])


def _statuses() -> Iterator[str]:
    yield f"{'phase':12}{'status':18}next"
    for phase in Phase:
        for status in (status for status in Status if status.phase is phase):
            yield f"{phase.value:12}{status.word:18}{', '.join(_next(status)) or '-'}"


def _next(status: Status) -> Iterator[str]:
    """The statuses that may follow, in short where they are a whole phase."""
    for phase in Phase:
        whole = [other for other in Status if other.phase is phase]
        following = [other for other in whole if other in MOVES[status]]
        if len(following) == len(whole) > 1:
            yield f"any {phase.value}"
        elif following:
            yield ", ".join(other.word for other in following)


def _claims() -> Iterator[str]:
    yield f"{'claim':12}" + "".join(f"{event.value:24}" for event in ClaimEvent).rstrip()
    for state in ClaimState:
        after = (CLAIM_MOVES[state].get(event, state) for event in ClaimEvent)
        yield f"{state.name.lower():12}" + "".join(f"{one.name.lower():24}" for one in after).rstrip()
