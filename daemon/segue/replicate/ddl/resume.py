"""A statement that was begun before a crash: what of it is left to do, told from the tables. Pure."""

from __future__ import annotations

from segue.replicate.assembler import Stop
from segue.replicate.ddl import renames
from segue.replicate.ddl.plan import Key, Runnable
from segue.replicate.ddl.statement import Statement
from segue.replicate.ddl.target import Prints
from segue.sql import name

_UNTOLD = "it was begun before, and whether it took effect cannot be told from the tables"


def left_to_do(statement: Statement, plan: Runnable, before: Prints, now: Prints) -> str | None:
    """The text to run, None when all of it has been done. Raises Stop where that cannot be told.

    `before` and `now` are fingerprints of the plan's tables. Where nothing has changed it is run again: either it
    never ran, or it changes nothing that counts.
    """
    if statement.kind == "drop":
        left = [t for t in plan.tables if now[".".join(t)] is not None]
        if not left:
            return None
        return plan.text if len(left) == len(plan.tables) else "DROP TABLE IF EXISTS " + ", ".join(name(*t) for t in left)
    if before.keys() != now.keys() or any(p is not None and ":" not in p for p in before.values()):
        raise Stop(_UNTOLD)  # under another mapping, or by an earlier version, which wrote no numbers of tables
    if statement.kind == "rename":
        return _renames_left(plan, before, now)
    if statement.renamed:
        return _altered_and_renamed(plan, len(statement.tables), before, now)
    if now != before:
        return None
    if statement.moves_rows and len(plan.tables) > 1 and not renames.known({k: now[k] for k in _texts(plan.tables[1:])}):
        raise Stop(_UNTOLD)  # tables that exchanged rows look the same as before, and would exchange them again
    return plan.text


def _texts(tables: tuple[Key, ...]) -> list[str]:
    return [renames.text(t) for t in tables]


def _renames_left(plan: Runnable, before: Prints, now: Prints) -> str | None:
    half = len(plan.tables) // 2
    pairs = list(zip(plan.tables[:half], plan.tables[half:], strict=True))
    done = renames.steps_done(pairs, before, now)
    if done is None and half == 1:
        return _altered_and_renamed(plan, 1, before, now)
    if done is None:
        raise Stop(_UNTOLD)
    if done == 0:
        return plan.text
    left = ", ".join(f"{name(*old)} TO {name(*new)}" for old, new in pairs[done:])
    return f"RENAME TABLE {left}" if left else None


def _altered_and_renamed(plan: Runnable, old: int, before: Prints, now: Prints) -> str | None:
    """One table gets another name, and perhaps another definition: the first of `old` the first name behind them."""
    was, becomes = renames.text(plan.tables[0]), renames.text(plan.tables[old])
    if now == before:
        return plan.text
    if before[becomes] is None and now[was] is None and now[becomes] is not None:
        return None
    raise Stop(_UNTOLD)
