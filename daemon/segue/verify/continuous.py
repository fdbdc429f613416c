"""Comparing all the time at a set load, so that at a switchover only what is still in doubt has to be compared.

Every table is compared chunk by chunk, again and again; what the stream touches (follow.py) is looked at again row by
row as soon as it has settled. So a table is in doubt only for the rows touched in the last moments, unless it has not
been compared once yet, or has no key.

A row counts as compared only if the source showed the change that was noted: a dump stream can tell of a transaction
before the source lets it be seen. So the source's position must first contain what had been noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Final

from segue.binlog.events import BinlogError
from segue.binlog.positions import parse
from segue.errors import SegueError
from segue.log import get_logger
from segue.verify.compare import FIRST_STEP, ROUND, Clock, Suspect, TableComparison, both, next_step
from segue.verify.findings import Finding
from segue.verify.follow import Follower, Touched
from segue.verify.plan import KeyValue, Plan, as_text
from segue.verify.reader import Reader
from segue.verify.session import Order, plans

log = get_logger("verify")
SETTLE_AFTER: Final = 0.1
"""Seconds after which a touched row is looked at; a hot row is looked at once in this time, not at each change."""
SETTLE_SOON: Final = 0.02
"""The same while a switchover is coming: fewer rows are in doubt, for more questions."""
FEW: Final = 400
"""Rows in doubt that are few enough for a pause."""
PAUSE_LOOKUP: Final = 500
FOUND_AGAIN: Final = 2.0
"""Seconds after which rows that differ are looked at again."""
AGAIN_AFTER: Final = 5.0
WHOLE_ROWS: Final = 20_000
"""A table in doubt of up to so many rows is compared in the pause as a whole."""
MAX_TOLD: Final = 100


@dataclass(slots=True)
class TableState:
    plan: Plan
    touched: Touched = field(default_factory=Touched)
    complete: bool = False
    """Every row was compared equal, or is among `touched`, `looking` or `found`."""
    low: KeyValue | None = None
    step: int = FIRST_STEP
    rows: int = 0
    rows_last: int = 0
    passed_at: float | None = None
    """Wall clock second of the end of the last pass."""
    looking: dict[KeyValue, Suspect] = field(default_factory=dict)
    found: dict[KeyValue, Finding] = field(default_factory=dict)
    found_looked_at: float = 0.0

    @property
    def doubtful(self) -> bool:
        """It could not be proved in a pause."""
        if self.passed_at is None:
            return True
        whole = not self.complete or self.touched.whole or not self.plan.keyed
        return whole and self.rows_last > WHOLE_ROWS


class Continuous:
    """Made for one direction of replication; `run` until cancelled."""

    def __init__(self, order: Order, clock: Clock) -> None:
        self.order = order
        self._clock = clock
        self._tables: list[TableState] = []
        self._bad: list[str] = []
        self._follower: Follower | None = None
        self._pause_readers: tuple[Reader, Reader] | None = None
        self._calm = asyncio.Event()
        """No chunks for now: a switchover is coming."""
        self._chunk_ended = asyncio.Event()
        self._chunk_ended.set()
        self._proving = False
        """In the pause: nothing but the proof asks the servers."""
        self._error: str | None = None
        self._looked = 0
        self._mariadb = False

    # -- running -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; begins anew whenever something breaks."""
        while True:
            try:
                await self._once()
            except (SegueError, BinlogError) as error:
                self._error = str(error)
                log.warning("continuous comparison begins anew", reason=self._error, after_seconds=AGAIN_AFTER)
            finally:
                self._tables = []
                self._follower = None
            await asyncio.sleep(AGAIN_AFTER)

    async def _once(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            readers = await self._open(stack)
            self._pause_readers = None
            flavour = readers[0].flavour
            self._mariadb = flavour.dump_is_mariadb
            # Before definitions are read: what changes from here on is noted.
            start = await readers[0].position()
            good, bad = await plans(self.order.mapping, readers, [])
            self._bad = [f"{r.source or r.target}: {r.error}" for r in bad]
            self._tables = [TableState(p) for p in good]
            follower = self._follower = Follower(
                self.order, {p.source.table: (p, t.touched) for p, t in zip(good, self._tables, strict=True)}
            )
            jobs = [asyncio.create_task(follower.run(flavour, start)), asyncio.create_task(self._loop(readers, stack))]
            try:
                await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.wait(jobs)
            for job in jobs:
                if not job.cancelled() and (error := job.exception()) is not None:
                    raise error

    async def _open(self, stack: contextlib.AsyncExitStack) -> tuple[Reader, Reader]:
        readers = await self.order.readers()
        for reader in readers:
            stack.callback(reader.abandon)
        return readers

    async def _loop(self, readers: tuple[Reader, Reader], stack: contextlib.AsyncExitStack) -> None:
        turn, idle_until = 0, 0.0
        load = self.order.settings.load
        while True:
            if self._proving:
                await asyncio.sleep(0.005)
                continue
            if self._pause_readers is None or any(r.closed for r in self._pause_readers):
                # A proof that ran out of its budget cut off its questions, and with them the connections.
                self._pause_readers = await self._open(stack)
            looked = await self._look_again(readers)
            if self._tables and not self._calm.is_set() and time.monotonic() >= idle_until:
                began = time.monotonic()
                state = self._tables[turn % len(self._tables)]
                self._chunk_ended.clear()
                try:
                    turn += await self._next_chunk(state, readers)
                finally:
                    self._chunk_ended.set()
                took = time.monotonic() - began
                idle_until = time.monotonic() + took * (1 - load) / load
                self._error = None
            elif not looked:
                await asyncio.sleep(0.02)

    # -- one step ------------------------------------------------------------------------------------------

    def _comparison(self, state: TableState, readers: tuple[Reader, Reader]) -> TableComparison:
        return TableComparison(state.plan, readers, self._clock, _no_pace, lambda _: None)

    async def _next_chunk(self, state: TableState, readers: tuple[Reader, Reader]) -> bool:
        """Compare the table's next chunk; True when that was its last one."""
        if state.low is None:
            state.complete = state.complete and not state.touched.whole
            state.touched.whole = False
            state.rows = 0
            await self._shown(readers[0])
        comparison = self._comparison(state, readers)
        if not state.plan.ranged and not state.plan.keyed:
            result = await comparison.run()
            state.rows = result.rows
            state.found = {c.key: c.finding for c in comparison.confirmed}
            self._tell(state, [c.finding for c in comparison.confirmed])
        else:
            began = time.monotonic()
            high = await readers[0].boundary(state.plan, state.low, state.step) if state.plan.ranged else None
            for key, suspect in (await comparison.suspects((state.low, high))).items():
                state.looking.setdefault(key, suspect)
            state.rows += comparison.result.rows
            state.step = next_step(state.step, time.monotonic() - began)
            state.low = high
        if state.low is None:
            state.complete = not state.touched.whole
            state.rows_last, state.passed_at = state.rows, time.time()
            return True
        return False

    async def _look_again(self, readers: tuple[Reader, Reader]) -> int:
        """Look at rows that were touched and at suspects; how many."""
        count = 0
        for state in self._tables:
            keys = state.touched.take(time.monotonic() - (SETTLE_SOON if self._calm.is_set() else SETTLE_AFTER), ROUND)
            for key in keys:
                state.looking[key] = state.looking.get(key) or Suspect(key)
            if state.found and state.plan.keyed and time.monotonic() > state.found_looked_at + FOUND_AGAIN:
                # A repair, or the application, may have made them equal.
                state.found_looked_at = time.monotonic()
                for key in state.found:
                    state.looking.setdefault(key, Suspect(key))
            suspects = list(state.looking.values())[:ROUND]
            if not suspects or not state.plan.keyed:
                continue
            count += len(suspects)
            await self._shown(readers[0])
            comparison = self._comparison(state, readers)
            again = {s.key for s in await comparison.round(suspects)}
            confirmed = {c.key: c.finding for c in comparison.confirmed}
            new = [f for k, f in confirmed.items() if k not in state.found]
            for suspect in suspects:
                if suspect.key in again:
                    # To the end of the line, so that others get their turn.
                    state.looking[suspect.key] = state.looking.pop(suspect.key)
                    continue
                state.looking.pop(suspect.key, None)
                state.found.pop(suspect.key, None)
            self._tell(state, new)
            state.found |= confirmed
        self._looked += count
        return count

    async def _shown(self, source: Reader) -> None:
        """Until the source lets everything be seen that was noted so far."""
        if self._follower is None or self._follower.position is None:
            return
        noted = self._follower.position.copy()
        while not parse(await source.position(), mariadb=self._mariadb).contains(noted):
            await asyncio.sleep(0.005)

    def _tell(self, state: TableState, findings: list[Finding]) -> None:
        for finding in findings[:20]:
            log.error("a row differs", table=state.plan.source.name, key=finding.key, kind=finding.kind,
                      columns=finding.columns)  # fmt: skip

    # -- the switchover ------------------------------------------------------------------------------------

    async def prepare(self, limit: float) -> dict[str, Any]:
        """Stop comparing chunks and look at what was touched, until little is left or `limit` seconds are over.

        A chunk that is being compared is waited for, or the servers would still be at it in the pause; so is the
        follower, or its backlog would be read there.
        """
        self._calm.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._chunk_ended.wait()
                if self._follower is not None and self._pause_readers is not None:
                    await self._follower.reached(await self._pause_readers[0].position(), self._mariadb)
                while self._in_doubt() > FEW:
                    await asyncio.sleep(0.01)
        return self.status()

    def resume(self) -> None:
        self._calm.clear()

    def _in_doubt(self) -> int:
        return sum(len(t.touched.keys) + len(t.looking) for t in self._tables)

    async def settle(self, position: str, budget: float) -> dict[str, Any]:
        """Both sides stand still at `position`: compare all that is in doubt, for `budget` seconds at most."""
        began = time.monotonic()
        told: list[dict[str, Any]] = []
        done: dict[str, Any] = {"rows": 0, "different": 0, "rows_that_differ": told}
        left = [t.plan.source.name for t in self._tables]
        try:
            async with asyncio.timeout(budget):
                if self._follower is None or self._pause_readers is None:
                    raise TimeoutError
                self._calm.set()
                self._proving = True
                await self._follower.reached(position, self._mariadb)
                done["followed_ms"] = round((time.monotonic() - began) * 1000, 1)
                for state in list(self._tables):
                    if await self._settle_table(state, self._pause_readers, done):
                        left.remove(state.plan.source.name)
        except TimeoutError:
            pass
        except (SegueError, BinlogError) as error:
            done["error"] = str(error)
        finally:
            self._proving = False
        done["tables_in_doubt"] = left + self._bad
        done["outcome"] = "different" if done["different"] else (
            "incomplete" if done["tables_in_doubt"] or self._follower is None else "equal")  # fmt: skip
        done["ms"] = round((time.monotonic() - began) * 1000, 1)
        return done

    async def _settle_table(self, state: TableState, readers: tuple[Reader, Reader], done: dict[str, Any]) -> bool:
        """False when the table is too large to be compared now."""
        plan = state.plan
        keys = list(state.touched.keys | state.looking.keys() | state.found.keys())
        comparison = self._comparison(state, readers)
        if not state.complete or state.touched.whole or not plan.keyed:
            if max(state.rows_last, await readers[0].estimate(plan)) > WHOLE_ROWS:
                return False
            keys = list(await comparison.suspects((None, None)))
            done["rows"] += comparison.result.rows
        for start in range(0, len(keys), PAUSE_LOOKUP):
            part = keys[start : start + PAUSE_LOOKUP]
            mine, theirs = await both(readers[0].lookup(plan, part), readers[1].lookup(plan, part))
            done["rows"] += len(part)
            different = [k for k in part if mine.get(k) != theirs.get(k)]
            done["different"] += len(different)
            done["rows_that_differ"] += [
                {"table": plan.source.name, "key": as_text(plan.named(k))}
                for k in different[: MAX_TOLD - len(done["rows_that_differ"])]
            ]
        return True

    def status(self) -> dict[str, Any]:
        done = [t for t in self._tables if t.complete]
        return {
            "running": bool(self._tables), "error": self._error, "tables": len(self._tables),
            "tables_compared": len(done), "rows_in_doubt": self._in_doubt(),
            "tables_in_doubt": [t.plan.source.name for t in self._tables if t.doubtful],
            "not_compared": self._bad, "rows_looked_at_again": self._looked,
            "oldest_pass": min((t.passed_at for t in done if t.passed_at), default=None),
            "differences": sum(len(t.found) for t in self._tables),
            "rows_that_differ": [
                {"table": t.plan.source.name, **f.message()} for t in self._tables for f in list(t.found.values())[:10]
            ][:MAX_TOLD],
        }  # fmt: skip


async def _no_pace(_took: float) -> None:
    return
