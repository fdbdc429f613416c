"""Rows that differ copied from the source to the target, beside the running stream.

Theory. A repair holds the target's progress row: the replicator commits each batch together with that row, so the
target stands still at one position Q while it is held. Then the row is read on the source, at Q or later, and written.

- A row that both sides have is updated. It is at least as new as Q, and what the stream brings for it afterwards
  replaces it as a whole.
- A row that only the source has is inserted, one that only the target has is deleted. That could meet a later event
  which inserts or deletes the same row once more, and stop the stream. But the row was seen to differ at an earlier
  position, and until now it is as it was then: an event in between that inserts or deletes it would have found the
  target without, or with, it, and the stream would stand still there already.
- Nothing is written whose version on either side is not the one that was compared.

Triggers on the target would fire, as they do not for the stream; a table that has any is not repaired.
"""

from __future__ import annotations

from typing import Final

from segue.errors import ConnectionLost, ServerError
from segue.log import get_logger
from segue.replicate import progress
from segue.sql import name, quote
from segue.verify.compare import Confirmed
from segue.verify.plan import Plan
from segue.verify.reader import Reader

log = get_logger("verify")
BATCH: Final = 50
TRIES: Final = 5
LOCK_WAIT: Final = 3
_AGAIN: Final = frozenset({1205, 1213, 3572, 1290})
"""Lock wait, deadlock, locked row, read-only for the moment."""
CHANGED: Final = "it changed meanwhile; compare again"


async def repair(deployment: str, plan: Plan, readers: tuple[Reader, Reader], rows: list[Confirmed]) -> None:
    """Make these rows the same; each finding is marked as repaired, or says why it is not.

    Raises ConnectionLost.
    """
    problem = await _obstacle(plan, readers[1])
    if problem:
        for row in rows:
            row.finding.problem = problem
        return
    await readers[1].conn.query(f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT}")
    for start in range(0, len(rows), BATCH):
        await _several(deployment, plan, readers, rows[start : start + BATCH])


async def _obstacle(plan: Plan, target: Reader) -> str:
    schema, table = plan.target.table
    granted = set((await target.flavour.granted(target.conn)).split(","))
    if not granted & {"TRIGGER", "ALL PRIVILEGES"}:
        return "segue's account lacks the privilege TRIGGER on the target, without which it cannot see triggers"
    there = await target.conn.query(
        f"SELECT TRIGGER_NAME AS n FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {quote(schema)}"
        f" AND EVENT_OBJECT_TABLE = {quote(table)}"
    )
    if there:
        return f"trigger {', '.join(str(t['n']) for t in there)} on the target would fire; drop it there first"
    if plan.left_out:
        return f"not all columns are compared ({plan.left_out[0]})"
    return ""


async def _several(deployment: str, plan: Plan, readers: tuple[Reader, Reader], rows: list[Confirmed]) -> None:
    """All at once if that goes, else one by one, so that one that cannot be written does not keep the others."""
    for attempt in range(TRIES):
        try:
            await _transaction(deployment, plan, readers, rows)
            return
        except ConnectionLost:
            raise
        except ServerError as error:
            await readers[1].conn.query("ROLLBACK")
            if error.code in _AGAIN and attempt < TRIES - 1:
                continue
            if len(rows) == 1:
                rows[0].finding.problem = error.message
                return
            break
    for row in rows:
        await _several(deployment, plan, readers, [row])


async def _transaction(deployment: str, plan: Plan, readers: tuple[Reader, Reader], rows: list[Confirmed]) -> None:
    source, target = readers
    conn = target.conn
    await conn.query("BEGIN")
    mine = f"FROM {progress.TABLE} WHERE deployment = {quote(deployment)}"
    if not await conn.query(f"SELECT position {mine} FOR UPDATE"):
        raise ServerError(0, "the target has no progress of this deployment: nothing holds the stream", where=conn.where)
    # Also the mark by which our own transactions are known.
    await conn.query(f"UPDATE {progress.TABLE} SET updated = NOW(6) WHERE deployment = {quote(deployment)}")
    keys = [r.key for r in rows]
    there = await target.lookup(plan, keys, lock=True)
    here = await source.lookup(plan, keys)
    values = await source.literals(plan, keys)
    unchanged = [r for r in rows if (here.get(r.key, 0), there.get(r.key, 0)) == (r.source, r.target)
                 and (not plan.keyed or values.get(r.key, (0, {}))[0] == r.source)]  # fmt: skip
    for row in sorted(unchanged, key=lambda r: r.finding.kind != "extra"):  # first what is in the way of others
        for statement in _statements(plan, row, values.get(row.key, (0, {}))[1]):
            await conn.query(statement)
    after = await target.lookup(plan, keys)
    stored = all(after.get(r.key, 0) == r.source for r in unchanged)
    if not stored and len(rows) > 1:
        raise ServerError(0, "not all rows are stored as they were sent")
    await conn.query("COMMIT" if stored else "ROLLBACK")
    for row in rows:
        if row not in unchanged:
            row.finding.problem = CHANGED
        elif stored:
            row.finding.repaired = True
            log.warning("a row was repaired", table=plan.target.name, kind=row.finding.kind, key=row.finding.key)
        else:
            row.finding.problem = "the target does not store the source's version as it is"


def _statements(plan: Plan, row: Confirmed, values: dict[str, str]) -> list[str]:
    end = plan.target
    kind = row.finding.kind
    where = end.is_one_of([row.key])
    if kind == "extra":
        limit = "" if plan.keyed else f" LIMIT {row.finding.copies}"
        return [f"DELETE FROM {end.sql} WHERE {where}{limit}"]
    writable = {c: v for c, v in values.items() if c not in end.generated}
    if kind == "different":
        key = {k.column for k in end.key}
        pairs = ", ".join(f"{name(c)} = {v}" for c, v in writable.items() if c not in key)
        # MySQL leaves 1.0 where it stands when 1 is written over it: JSON numbers are compared by value.
        documents = ", ".join(f"{name(f.column)} = 'null'" for f in end.fields if f.carrier == "json")
        clear = [f"UPDATE {end.sql} SET {documents} WHERE {where}"] if documents else []
        return [*clear, f"UPDATE {end.sql} SET {pairs} WHERE {where}"]
    insert = f"INSERT INTO {end.sql} ({', '.join(map(name, writable))}) VALUES ({', '.join(writable.values())})"
    return [insert] * row.finding.copies

