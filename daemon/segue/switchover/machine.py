r"""The states of a switchover as a table. Everything that decides what comes next lives in this file.

Theory. A switchover is a line of states with one commit point. Before it, any failure leads to ABORTING,
which undoes; after it, a failure leads back to the same state, which is done again until it succeeds. A state
is written to the journal *before* its actions are done, so that after a crash the journal names the farthest
state whose actions may have happened. The entry of COMMITTED in the journal is the commit itself.

    steady -> checking -> preparing -> draining -> fenced -> drained -> COMMITTED -> opening -> steady (swapped)
                  \___________\___________\_________\________\_ aborting -> steady (as before)

With a source that does not answer and an operator who wants the standby all the same, one state stands for all
before the commit:

    steady -> forcing -> COMMITTED -> opening -> steady (swapped, the old source marked as lost)
                  \_ aborting -> steady (as before)

Invariants (`broken` says which of them a table breaks; tests/model explores them with crashes and lost messages):
- the source is opened only in ABORTING, the target only in OPENING, and no path visits both: never two writable;
- COMMITTED is entered only from where the source is known to be closed (DRAINED) or given up (FORCING);
- behind COMMITTED there is no way to ABORTING, and from ABORTING none to COMMITTED;
- every state leads to STEADY, and a crash in any state is resumed in ABORTING or behind the commit: after recovery
  exactly one side is writable;
- a write that was acknowledged before the switch is present after it: CATCH_UP lies between FENCE and the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Named as `phase` in status shows them."""

    STEADY = "steady"
    CHECKING = "checking"
    PREPARING = "preparing"
    DRAINING = "draining"
    FENCED = "fenced"
    DRAINED = "drained"
    COMMITTED = "committed"
    OPENING = "opening"
    ABORTING = "aborting"
    FORCING = "forcing"
    """The source is dead and given up: nothing of it can be fenced or read."""


class Event(StrEnum):
    START = "start"
    FORCE = "force"
    DONE = "done"
    """All actions of the state were done."""
    FAILED = "failed"
    """An action failed, met its limit, or the operator asked for an abort."""


class Action(StrEnum):
    CHECK = "check"
    PREPARE = "prepare"
    HOLD = "hold"
    FENCE = "fence"
    CATCH_UP = "catch up"
    ADOPT = "adopt"
    """Every held session is ready to be given to the target, or the policy says what becomes of it."""
    CONFIRM = "confirm"
    MARK = "mark"
    """Read the new source's position under its own fence; it is journalled with the next state."""
    OPEN = "open"
    UNDO = "undo"
    WITNESS = "witness"
    """See that the source does not answer, apply what was received of it, and say what is not known."""


ACTIONS: Final[dict[State, tuple[Action, ...]]] = {
    State.STEADY: (),
    State.CHECKING: (Action.CHECK,),
    State.PREPARING: (Action.PREPARE,),
    State.DRAINING: (Action.HOLD,),
    State.FENCED: (Action.FENCE, Action.CATCH_UP, Action.ADOPT),
    State.DRAINED: (Action.CONFIRM,),
    State.COMMITTED: (Action.MARK,),
    State.OPENING: (Action.OPEN,),
    State.ABORTING: (Action.UNDO,),
    State.FORCING: (Action.WITNESS,),
}

NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.STEADY, Event.START): State.CHECKING,
    (State.STEADY, Event.FORCE): State.FORCING,
    (State.FORCING, Event.DONE): State.COMMITTED,
    (State.FORCING, Event.FAILED): State.ABORTING,
    (State.CHECKING, Event.DONE): State.PREPARING,
    (State.CHECKING, Event.FAILED): State.ABORTING,
    (State.PREPARING, Event.DONE): State.DRAINING,
    (State.PREPARING, Event.FAILED): State.ABORTING,
    (State.DRAINING, Event.DONE): State.FENCED,
    (State.DRAINING, Event.FAILED): State.ABORTING,
    (State.FENCED, Event.DONE): State.DRAINED,
    (State.FENCED, Event.FAILED): State.ABORTING,
    (State.DRAINED, Event.DONE): State.COMMITTED,
    (State.DRAINED, Event.FAILED): State.ABORTING,
    (State.COMMITTED, Event.DONE): State.OPENING,
    (State.COMMITTED, Event.FAILED): State.COMMITTED,
    (State.OPENING, Event.DONE): State.STEADY,
    (State.OPENING, Event.FAILED): State.OPENING,
    (State.ABORTING, Event.DONE): State.STEADY,
    (State.ABORTING, Event.FAILED): State.ABORTING,
}

BEFORE_COMMIT: Final = frozenset(
    {State.CHECKING, State.PREPARING, State.DRAINING, State.FENCED, State.DRAINED, State.FORCING}
)
BEFORE_IN_ORDER: Final = (State.CHECKING, State.PREPARING, State.DRAINING, State.FENCED, State.DRAINED)
AFTER_COMMIT: Final = frozenset({State.COMMITTED, State.OPENING})


def after(state: State, event: Event) -> State:
    """The next state. Raises KeyError for a pair that cannot happen: an unknown state is never guessed."""
    return NEXT[state, event]


def recovery(state: State) -> State:
    """Where a daemon that finds `state` in its journal at start has to go on."""
    if state in AFTER_COMMIT:
        return state
    if state in BEFORE_COMMIT or state is State.ABORTING:
        return State.ABORTING
    return State.STEADY


def broken(
    table: Mapping[tuple[State, Event], State] = NEXT,
    actions: Mapping[State, tuple[Action, ...]] = ACTIONS,
    resume: Callable[[State], State] = recovery,
) -> list[str]:
    """Which invariants a table breaks; empty for ours."""
    found = [f"{s} is resumed in {resume(s)}" for s in State if (s in AFTER_COMMIT) != (resume(s) in AFTER_COMMIT)]
    for opener, only in ((Action.UNDO, State.ABORTING), (Action.OPEN, State.OPENING)):
        found += [f"{s} does {opener}" for s in State if opener in actions[s] and s is not only]
    behind = _reachable(table, State.COMMITTED)
    found += [f"{State.ABORTING} can be reached from {State.COMMITTED}"] * (State.ABORTING in behind)
    found += [f"{s} can be reached from {State.ABORTING}" for s in AFTER_COMMIT & _reachable(table, State.ABORTING)]
    found += [
        f"{State.COMMITTED} is entered from {s}"
        for (s, _), following in table.items()
        if following is State.COMMITTED and s not in (State.DRAINED, State.FORCING, State.COMMITTED)
    ]
    found += [f"{s} has no way to {State.STEADY}" for s in State if State.STEADY not in _reachable(table, s)]
    line = [a for s in (*BEFORE_IN_ORDER, State.COMMITTED, State.OPENING) for a in actions[s]]
    wanted = [Action.HOLD, Action.FENCE, Action.CATCH_UP, Action.CONFIRM, Action.MARK, Action.OPEN]
    found += ["the order of the actions is not hold, fence, catch up, confirm, mark, open"] * (
        [a for a in line if a in wanted] != wanted
    )
    return found


def _reachable(table: Mapping[tuple[State, Event], State], start: State) -> set[State]:
    """States that can follow `start` until STEADY."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (one, _), following in table.items():
            if one is state and following not in seen:
                seen.add(following)
                if following is not State.STEADY:
                    todo.append(following)
    return seen
