"""What a RENAME leaves behind each name, and how far one has got. Pure.

A name says nothing about which table is behind it: two tables that exchange their names leave the same names. So a
table is known by its fingerprint, `number:digest`: the engine's number of the table, which a rename keeps, and where
the engine has none a digest of the definition. A digest can be that of several tables, and a rename can change it
(the name of a constraint, a reference of a table to itself); then nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Key = tuple[str, str]
Pairs = Sequence[tuple[Key, Key]]
"""(old name, new name) of each step, in order."""
Prints = Mapping[str, str | None]
"""`schema.table` -> fingerprint, None where there is no table."""


def text(key: Key) -> str:
    return ".".join(key)


def number(fingerprint: str | None) -> str:
    """The engine's number of the table; empty where it is not known."""
    return fingerprint.partition(":")[0] if fingerprint is not None else ""


def known(prints: Prints) -> bool:
    """Whether every table is known by its number."""
    return all(number(p) for p in prints.values() if p is not None)


def stages(pairs: Pairs, there: Mapping[str, bool]) -> list[dict[str, str | None]]:
    """Name -> the name that its table had at the beginning, before the first step and behind each of them.

    `there` says which names had a table at the beginning. A step without a table does nothing (IF EXISTS).
    """
    at: dict[str, str | None] = {n: n if there.get(n) else None for pair in pairs for n in map(text, pair)}
    out = [dict(at)]
    for old, new in pairs:
        if at[text(old)] is not None:
            at[text(new)], at[text(old)] = at[text(old)], None
        out.append(dict(at))
    return out


def by_names(pairs: Pairs) -> tuple[set[str], set[str]]:
    """Names that have a table before it, and names that have one behind it."""
    first: dict[str, bool] = {}
    for old, new in pairs:
        first.setdefault(text(old), True)
        first.setdefault(text(new), False)
    last = stages(pairs, first)[-1]
    return {n for n, has in first.items() if has}, {n for n, origin in last.items() if origin is not None}


def steps_done(pairs: Pairs, before: Prints, now: Prints) -> int | None:
    """How many of the steps have happened since `before`; all of them also where they end as they began. None where
    that cannot be told."""
    told = stages(pairs, {n: p is not None for n, p in before.items()})
    fitting = [n for n, stage in enumerate(told) if _fits(stage, before, now)]
    if not fitting or any(told[n] != told[fitting[-1]] for n in fitting):
        return None
    return fitting[-1]


def _fits(stage: Mapping[str, str | None], before: Prints, now: Prints) -> bool:
    return all(_same(before[origin] if origin is not None else None, now[n]) for n, origin in stage.items())


def _same(one: str | None, two: str | None) -> bool:
    if one is None or two is None or not (number(one) and number(two)):
        return one == two
    return number(one) == number(two)
