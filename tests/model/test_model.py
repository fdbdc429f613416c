"""The model finds nothing in the product's table, and finds what is planted."""

from __future__ import annotations

import pytest

from segue.switchover.machine import ACTIONS, NEXT, Action, Event, State
from tests.model.explore import OPEN, Rules, Violation, explore


def test_nothing_is_found() -> None:
    states = explore(crashes=1, switchovers=2, writes=2, rest=5)
    print(states, "states explored")
    assert states > 5_000


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(fences=False, actions=ACTIONS | {State.DRAINED: ()}), "lacks|both sides"),
        (Rules(actions=ACTIONS | {State.DRAINED: (Action.CONFIRM, Action.OPEN)}), "before the commit"),
        (Rules(resume=lambda s: State.ABORTING if s is not State.STEADY else s), "both sides|lacks|never"),
        (Rules(table=NEXT | {(State.OPENING, Event.FAILED): State.ABORTING}), "both sides|lacks|before the commit"),
        (Rules(boots=OPEN), "both sides"),
        (Rules(actions=ACTIONS | {State.DRAINED: (), State.FENCED: (Action.FENCE,)}), "lacks|recovery"),
    ],
    ids=["no fence", "opened too early", "undone after the commit", "no way forward", "boots writable", "not caught up"],
)
def test_a_planted_bug_is_found(rules: Rules, said: str) -> None:
    with pytest.raises(Violation, match=said) as caught:
        explore(rules, crashes=1, rest=0)
    assert len(caught.value.trace) > 2
