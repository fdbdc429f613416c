"""The switchover's table, exhaustively."""

from __future__ import annotations

import itertools

import pytest

from segue.switchover.machine import (
    ACTIONS,
    AFTER_COMMIT,
    BEFORE_COMMIT,
    NEXT,
    Action,
    Event,
    State,
    after,
    broken,
    recovery,
)


def reachable(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for event in Event:
            if (state, event) in NEXT and (following := NEXT[state, event]) not in seen:
                seen.add(following)
                if following is not State.STEADY:
                    todo.append(following)
    return seen


def test_every_pair_is_decided() -> None:
    for state, event in itertools.product(State, Event):
        starts = (Event.START, Event.FORCE)
        valid = event in starts if state is State.STEADY else event not in starts
        if valid:
            assert after(state, event) in State
        else:
            with pytest.raises(KeyError):
                after(state, event)


def test_the_sides_of_the_commit_do_not_mix() -> None:
    assert State.ABORTING not in reachable(State.COMMITTED)
    assert AFTER_COMMIT.isdisjoint(reachable(State.ABORTING))
    assert [s for s in State if (s, Event.DONE) in NEXT and NEXT[s, Event.DONE] is State.OPENING] == [State.COMMITTED]
    assert [s for s in State for e in Event if NEXT.get((s, e)) is State.COMMITTED and s is not State.COMMITTED] == [State.DRAINED, State.FORCING]


def test_every_state_has_a_way_home() -> None:
    for state in State:
        assert State.STEADY in reachable(state)
        assert state in ACTIONS


def test_recovery() -> None:
    for state in State:
        if state in AFTER_COMMIT:
            assert recovery(state) is state
        elif state is State.STEADY:
            assert recovery(state) is State.STEADY
        else:
            assert recovery(state) is State.ABORTING
    assert BEFORE_COMMIT | AFTER_COMMIT | {State.STEADY, State.ABORTING} == set(State)


def test_no_invariant_is_broken() -> None:
    assert broken() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({(State.COMMITTED, Event.FAILED): State.ABORTING}, "aborting can be reached from committed"),
        ({(State.FENCED, Event.DONE): State.COMMITTED}, "committed is entered from fenced"),
        ({(State.ABORTING, Event.FAILED): State.OPENING}, "opening can be reached from aborting"),
        ({(State.OPENING, Event.DONE): State.OPENING}, "opening has no way to steady"),
    ],
)
def test_a_changed_table_is_found_out(change: dict[tuple[State, Event], State], said: str) -> None:
    assert said in broken(NEXT | change)


def test_changed_actions_and_recovery_are_found_out() -> None:
    early = ACTIONS | {State.DRAINED: (Action.OPEN, Action.CONFIRM)}
    assert "drained does open" in broken(NEXT, early)
    late = ACTIONS | {State.FENCED: (Action.CATCH_UP, Action.FENCE)}
    assert any("order" in one for one in broken(NEXT, late))
    assert "committed is resumed in aborting" in broken(resume=lambda _state: State.ABORTING)
