"""What is left of a statement that a crash interrupted: every stage of a rename is told from every other, or none is."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.config import Replicate
from segue.replicate.assembler import Stop
from segue.replicate.ddl import renames
from segue.replicate.ddl.plan import Runnable, runnable
from segue.replicate.ddl.resume import left_to_do
from segue.replicate.ddl.statement import classify
from segue.schema.mapping import Mapping

SWAP = "RENAME TABLE a TO spare, b TO a, spare TO b"


def left(text: str, before: dict[str, str | None], now: dict[str, str | None]) -> str | None:
    statement = classify(text, "d")
    plan = runnable(statement, "d", Mapping.of(Replicate(schemas=["d"])))
    assert isinstance(plan, Runnable), plan
    full = [{f"d.{k}": v for k, v in prints.items()} for prints in (before, now)]
    return left_to_do(statement, plan, *full)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"a": "1:x", "b": "2:x", "spare": None}, SWAP),
        ({"a": None, "b": "2:x", "spare": "1:x"}, "RENAME TABLE `d`.`b` TO `d`.`a`, `d`.`spare` TO `d`.`b`"),
        ({"a": "2:x", "b": None, "spare": "1:x"}, "RENAME TABLE `d`.`spare` TO `d`.`b`"),
        ({"a": "2:x", "b": "1:x", "spare": None}, None),
        ({"a": "2:y", "b": "1:z", "spare": None}, None),  # definitions may follow a rename: constraints have names
    ],
)
def test_tables_that_exchange_their_names(now: dict[str, str | None], expected: str | None) -> None:
    assert left(SWAP, {"a": "1:x", "b": "2:x", "spare": None}, now) == expected


@pytest.mark.parametrize(
    ("text", "before", "now"),
    [
        (SWAP, {"a": "1:x", "b": "2:x", "spare": None}, {"a": "3:x", "b": "1:x", "spare": None}),
        (SWAP, {"a": ":x", "b": ":x", "spare": None}, {"a": ":x", "b": ":x", "spare": None}),
        (SWAP, {"a": "x", "b": "y", "spare": None}, {"a": "2:y", "b": "1:x", "spare": None}),
        ("ALTER TABLE t ADD n INT, RENAME TO u", {"t": "1:x", "u": None}, {"t": "2:y", "u": None}),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", {"t": ":x", "u": ":y"}, {"t": ":x", "u": ":y"}),
    ],
)
def test_nothing_is_guessed(text: str, before: dict[str, str | None], now: dict[str, str | None]) -> None:
    with pytest.raises(Stop, match="cannot be told"):
        left(text, before, now)


@pytest.mark.parametrize(
    ("text", "before", "now", "expected"),
    [
        ("RENAME TABLE t TO u", {"t": ":x", "u": None}, {"t": None, "u": ":y"}, None),
        ("RENAME TABLE t TO u", {"t": ":x", "u": None}, {"t": ":x", "u": None}, "RENAME TABLE t TO u"),
        ("ALTER TABLE t RENAME TO u", {"t": "1:x", "u": None}, {"t": None, "u": "2:y"}, None),
        ("ALTER TABLE t RENAME TO u", {"t": "1:x", "u": None}, {"t": "1:x", "u": None}, "ALTER TABLE t RENAME TO u"),
        ("ALTER TABLE t ADD n INT", {"t": "1:x"}, {"t": "1:y"}, None),
        ("ALTER TABLE t ADD n INT", {"t": "1:x"}, {"t": "1:x"}, "ALTER TABLE t ADD n INT"),
        ("DROP TABLE t, u", {"t": "1:x", "u": "2:x"}, {"t": None, "u": "2:x"}, "DROP TABLE IF EXISTS `d`.`u`"),
        ("DROP TABLE t, u", {"t": "1:x", "u": "2:x"}, {"t": None, "u": None}, None),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", {"t": "1+2:x", "u": "3:x"}, {"t": "1+3:x", "u": "2:x"}, None),
    ],
)
def test_what_is_left(text: str, before: dict[str, str | None], now: dict[str, str | None], expected: str | None) -> None:
    assert left(text, before, now) == expected


@given(st.lists(st.sampled_from(list(permutations("abcd", 2))), min_size=1, max_size=5), st.sets(st.sampled_from("abcd")))
def test_a_stage_is_never_taken_for_another(steps: list[tuple[str, str]], there: set[str]) -> None:
    """With numbers: what is told to be done of a rename gives, with the rest of it, the same as all of it."""
    pairs = [(("d", old), ("d", new)) for old, new in steps]
    before = {f"d.{n}": f"{i}:x" if n in there else None for i, n in enumerate("abcd", 1)}

    def run(prints: dict[str, str | None], some: list[tuple[str, str]]) -> dict[str, str | None]:
        out = dict(prints)
        for old, new in some:
            if out[f"d.{old}"] is not None:
                out[f"d.{new}"], out[f"d.{old}"] = out[f"d.{old}"], None
        return out

    named = {renames.text(k) for pair in pairs for k in pair}
    for count in range(len(steps) + 1):
        now = run(before, steps[:count])
        told = renames.steps_done(pairs, before, {k: now[k] for k in named})
        assert told is not None
        assert run(now, steps[told:]) == run(before, steps)
