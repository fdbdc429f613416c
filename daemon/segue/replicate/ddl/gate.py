"""Where the stream stands at a DDL: everything before it is applied, nothing behind it. Runs it, waits, or goes on.

Rows behind the gate are still held against the target's tables one by one, so going on too early can stop the
stream again but cannot put a value into the wrong column.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from segue.errors import SegueError, ServerError
from segue.log import get_logger
from segue.replicate.assembler import Stop
from segue.replicate.ddl import renames
from segue.replicate.ddl.event import Ddl
from segue.replicate.ddl.plan import Runnable, runnable
from segue.replicate.ddl.resume import left_to_do
from segue.replicate.ddl.statement import Name
from segue.replicate.ddl.target import Prints, Target
from segue.schema.mapping import Mapping

log = get_logger("replicate")
LOOK: Final = 1.0
"""Seconds between two looks whether both sides fit."""
AGAIN: Final = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds before a statement that the target refused is tried again."""
_HAS_IT: Final = frozenset({1007, 1008, 1022, 1050, 1051, 1060, 1061, 1091, 1146, 1304, 1305, 1359, 1360, 1507, 1517,
                            1537, 1539, 1826})  # fmt: skip
"""It exists already, or is not there any more: perhaps somebody has run the statement already."""

_UNSEEN: Final = (
    "whether the target has run it cannot be seen from outside: run it there, unless that was done before, and say"
    " segue skip-ddl"
)


class Sides(Protocol):
    """What the gate asks about both sides."""

    async def differences(self, tables: set[tuple[str, str]]) -> list[str]:
        """Sentences; of tables by the source's names, as both servers define them now."""
        ...

    async def source_has(self, table: tuple[str, str]) -> bool: ...

    async def source_moved_on(self) -> bool:
        """Whether the source has committed something behind the statement."""
        ...


@dataclass(slots=True)
class _Look:
    """One statement at the gate."""

    ddl: Ddl
    target: Target
    first: Prints = field(default_factory=dict)
    """What the tables looked like on the target when the stream came to stand here."""


class Gate:
    """One per life of the stream."""

    def __init__(
        self, on_ddl: str, mapping: Mapping, sides: Sides, open_target: Callable[[], Awaitable[Target]],
        report: Callable[[Stop | None], None], *, same_flavour: bool,
    ) -> None:  # fmt: skip
        self._on_ddl = on_ddl
        self._mapping = mapping
        self._sides = sides
        self._open_target = open_target
        self._report = report
        self._same_flavour = same_flavour
        self._skip = asyncio.Event()
        self._waiting: Ddl | None = None
        self.present: dict[str, Any] | None = None
        """For the status: the statement at which the stream stands."""

    def skip(self) -> str:
        """Go on behind the statement that is waited at; its text. Raises SegueError when there is none."""
        if self._waiting is None:
            raise SegueError("the stream waits at no DDL statement", mend="segue status shows where it stands")
        self._skip.set()
        return self._waiting.shown

    async def let_pass(self, ddl: Ddl) -> None:
        """Return when the stream may go on. Raises ConnectionLost and ServerError."""
        if self._on_ddl == "ignore":
            log.warning("a DDL of the source was passed over, as on_ddl says", statement=ddl.shown, at=ddl.at)
            return
        self.present = {"statement": ddl.shown, "at": ddl.at, "since": time.time(), "state": "deciding"}
        target = await self._open_target()
        try:
            look = _Look(ddl, target, await target.fingerprints(self._target_names(ddl)))
            await self._decide(look)
        finally:
            self._waiting = self.present = None
            self._skip.clear()
            await target.close()
            self._report(None)

    def _target_names(self, ddl: Ddl) -> list[tuple[str, str]]:
        return [self._mapping.table(*n.key).target for n in self._wanted(ddl)]

    def _wanted(self, ddl: Ddl) -> list[Name]:
        return [n for n in ddl.statement.names if self._mapping.wants(*n.key)]

    # -- deciding ------------------------------------------------------------------------------------------

    async def _decide(self, look: _Look) -> None:
        ddl, tries, next_try = look.ddl, 0, 0.0
        plan = runnable(ddl.statement, ddl.database, self._mapping) if self._on_ddl == "apply" else None
        refused = plan if isinstance(plan, str) else ""
        while True:
            if isinstance(plan, Runnable) and time.monotonic() >= next_try:
                try:
                    await self._run(look, plan)
                    return
                except Stop as stop:
                    refused = stop.message
                    next_try = time.monotonic() + AGAIN[min(tries, len(AGAIN) - 1)]
                    tries += 1
            missing = await self._missing(look)
            if tries and not missing and ddl.statement.kind != "object" and not await self._changed(look):
                # Both sides fit without it (an index, for instance); but it was to be run, and was not.
                missing = ["it was refused there"]
            if not missing:
                why = refused or "the target has it"
                log.warning("a DDL of the source was passed and not run", statement=ddl.shown, at=ddl.at, why=why)
                return
            self._wait_for(ddl, refused, missing)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._skip.wait()
            if self._skip.is_set():
                log.warning("a DDL of the source was skipped by the operator", statement=ddl.shown, at=ddl.at)
                return

    async def _changed(self, look: _Look) -> bool:
        """Whether somebody has changed the tables on the target since the stream stands here."""
        now = await look.target.fingerprints(self._target_names(look.ddl))
        return any(now[k] != v for k, v in look.first.items())

    def _wait_for(self, ddl: Ddl, refused: str, missing: list[str]) -> None:
        self._waiting = ddl
        if self.present is not None:
            self.present |= {"state": "waiting", "missing": missing}
        why = f" It cannot be run on the target: {refused}." if refused else ""
        lead = "" if missing == [_UNSEEN] else "and the target has not: "
        self._report(Stop(
            f"the source ran a DDL: {ddl.shown} -- {lead}{'; '.join(missing[:5])}.{why}",
            mend="Run it on the target too: replication goes on by itself when both sides fit."
                 " If that is not wanted: segue skip-ddl",
        ))  # fmt: skip

    # -- does the target have it? --------------------------------------------------------------------------

    async def _missing(self, look: _Look) -> list[str]:
        """What the target lacks of the statement's outcome; empty when it is all there."""
        statement = look.ddl.statement
        match statement.kind:
            case "unknown":
                return [f"it is not understood here ({statement.uncertain})"]
            case "object":
                return []  # no row depends on it
            case "database":
                return await self._missing_schema(look)
        wanted = self._wanted(look.ddl)
        if statement.kind == "drop":
            return [s for n in wanted for s in await self._left(look, n)]
        if statement.kind == "truncate":
            there = [self._mapping.table(*n.key).target for n in wanted]
            return [f"{'.'.join(t)} has rows on the target" for t in there
                    if await look.target.exists(t) and not await look.target.is_empty(t)]  # fmt: skip
        if statement.kind == "rename" or (statement.renamed and not statement.moves_rows):
            return await self._missing_rename(look)
        if statement.moves_rows and not statement.partitions:
            return [_UNSEEN]
        missing = await self._differences(look, {n.key for n in wanted})
        if statement.kind == "create":
            for one in wanted:
                there_too = self._mapping.table(*one.key).target
                if not missing and not await look.target.is_empty(there_too):
                    missing.append(f"{'.'.join(there_too)} has rows already")
        for partition in statement.partitions:
            table = self._mapping.table(*wanted[0].key).target
            if partition.lower() in await look.target.partitions(table):
                missing.append(f"{'.'.join(table)} has still its partition {partition}")
        return missing

    async def _differences(self, look: _Look, tables: set[tuple[str, str]]) -> list[str]:
        """How the tables differ now. The source may be further already, and its definitions with it: then a target
        that was changed since the stream stands here counts as changed to fit."""
        missing = []
        for table in tables:
            there = self._mapping.table(*table).target
            if not await look.target.exists(there):
                missing.append(f"table {'.'.join(there)} does not exist on the target")
        if missing:
            return missing
        differ = await self._sides.differences(tables)
        if differ and await self._sides.source_moved_on():
            now = await look.target.fingerprints(self._target_names(look.ddl))
            if all(now[k] != v for k, v in look.first.items()):
                return []
        return differ

    async def _left(self, look: _Look, table: Name) -> list[str]:
        there = self._mapping.table(*table.key).target
        if not await look.target.exists(there):
            return []
        if await self._sides.source_has(table.key):
            # Made anew on the source since: what counts is that nothing of the old one is left.
            if await look.target.is_empty(there) and not await self._sides.differences({table.key}):
                return []
            return [f"{'.'.join(there)} still holds what was dropped"]
        return [f"{'.'.join(there)} is still there"]

    async def _missing_rename(self, look: _Look) -> list[str]:
        statement = look.ddl.statement
        there = {k: self._mapping.table(*k).target for n in statement.names if self._mapping.wants(*(k := n.key))}
        pairs = [(o.key, n.key) for o, n in zip(statement.tables, statement.renamed, strict=False)]
        before, behind = renames.by_names(pairs)
        missing = []
        for key in sorted(there, key=lambda k: renames.text(k) in behind):
            if await look.target.exists(there[key]) != (renames.text(key) in behind):
                wrong = "is not there" if renames.text(key) in behind else "is still there"
                missing.append(f"{'.'.join(there[key])} {wrong}")
        mine = {renames.text(key) for key in there}
        if missing or before & mine != behind & mine:
            return missing
        # The names are as before: only the tables behind them tell.
        if all(o in there and n in there for o, n in pairs) and renames.known(look.first):
            now = await look.target.fingerprints(there.values())
            done = renames.steps_done([(there[o], there[n]) for o, n in pairs], look.first, now)
            if done == len(pairs):
                return []
        return [_UNSEEN]

    async def _missing_schema(self, look: _Look) -> list[str]:
        statement = look.ddl.statement
        schema = self._mapping.table(statement.schema, "").target[0]
        tables = await look.target.tables_of(schema)
        if statement.verb == "CREATE" and tables is None:
            return [f"schema {schema} does not exist on the target"]
        if statement.verb == "DROP" and tables:
            wanted = [t for t in tables if self._mapping.inverse().wants(schema, t)]
            return [f"{schema}.{t} is still there" for t in wanted[:5]]
        return []

    # -- running it ----------------------------------------------------------------------------------------

    async def _run(self, look: _Look, plan: Runnable) -> None:
        """Once, whatever dies meanwhile. Raises Stop with the reason when the target refuses it."""
        ddl, target = look.ddl, look.target
        if self.present is not None:
            self.present["state"] = "running"
        while not await target.take_lock():
            self._report(Stop(f"{ddl.shown} still runs on the target, begun by an earlier connection",
                              mend="It is waited for; KILL it there to have it run anew"))  # fmt: skip
        now = before = await target.fingerprints(plan.tables)
        text = plan.text
        entry = await target.entry(ddl.at)
        if entry is None:
            await self._may_drop_schema(look)
            await target.write(ddl, "running", now)
        elif entry[0] == "done":
            await self._done(look, entry[1], "was done already")
            return
        else:
            rest = left_to_do(ddl.statement, plan, entry[1], now)
            if rest is None:
                await self._done(look, entry[1], "was done already")
                return
            text, before = rest, entry[1]
        try:
            await target.execute(ddl, text, plan.schema, same_flavour=self._same_flavour)
        except ServerError as error:
            if target.conn.closed:
                raise
            if error.code in _HAS_IT and not await self._missing(look):
                await self._done(look, before, "the target has it already")
                return
            raise Stop(error.message) from None
        await self._done(look, before, "done")

    async def _done(self, look: _Look, before: Prints, how: str) -> None:
        await look.target.write(look.ddl, "done", before)
        log.info("a DDL of the source was run on the target", statement=look.ddl.shown, at=look.ddl.at, outcome=how)

    async def _may_drop_schema(self, look: _Look) -> None:
        statement = look.ddl.statement
        if (statement.kind, statement.verb) != ("database", "DROP"):
            return
        tables = await look.target.tables_of(statement.schema) or []
        kept = [t for t in tables if not self._mapping.inverse().wants(statement.schema, t)]
        if kept:
            raise Stop(f"schema {statement.schema} has tables on the target that are not replicated: {', '.join(kept[:5])}")
