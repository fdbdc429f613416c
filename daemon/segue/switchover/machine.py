r"""The states of a switchover as a table. Everything that decides what comes next lives in this file.

Theory. A switchover is a line of states with one commit point. Before it, any failure leads to ABORTING,
which undoes; after it, a failure leads back to the same state, which is done again until it succeeds. A state
is written to the journal *before* its actions are done, so that after a crash the journal names the farthest
state whose actions may have happened. The entry of COMMITTED in the journal is the commit itself.

    steady -> checking -> preparing -> draining -> fenced -> drained -> COMMITTED -> opening -> steady (swapped)
                  \___________\___________\_________\________\_ aborting -> steady (as before)

Invariants, checked by tests over every state, event and crash point:
- the source is made writable again only in ABORTING, the target only in OPENING: never both;
- OPENING can be reached only through COMMITTED, ABORTING never from it.
"""

from __future__ import annotations

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


class Event(StrEnum):
    START = "start"
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
}

NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.STEADY, Event.START): State.CHECKING,
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
    {State.CHECKING, State.PREPARING, State.DRAINING, State.FENCED, State.DRAINED}
)
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
