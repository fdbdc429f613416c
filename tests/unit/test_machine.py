"""The switchover's table, exhaustively."""

from __future__ import annotations

import itertools

import pytest

from segue.switchover.machine import ACTIONS, AFTER_COMMIT, BEFORE_COMMIT, NEXT, Event, State, after, recovery


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
        valid = event is Event.START if state is State.STEADY else event is not Event.START
        if valid:
            assert after(state, event) in State
        else:
            with pytest.raises(KeyError):
                after(state, event)


def test_the_sides_of_the_commit_do_not_mix() -> None:
    assert State.ABORTING not in reachable(State.COMMITTED)
    assert AFTER_COMMIT.isdisjoint(reachable(State.ABORTING))
    assert [s for s in State if (s, Event.DONE) in NEXT and NEXT[s, Event.DONE] is State.OPENING] == [State.COMMITTED]
    assert [s for s in State for e in Event if NEXT.get((s, e)) is State.COMMITTED and s is not State.COMMITTED] == [State.DRAINED]


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
