"""The lanes' work: whole tables first, then chunks of the largest table, and keys of tables whose overlap is over."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from segue.binlog.positions import Position, parse
from segue.copy import record
from segue.copy.definition import Definition, additions, key_name
from segue.copy.finish import foreign_keys
from segue.copy.gate import Gate
from segue.copy.keys import walk_key
from segue.copy.lane import Lane
from segue.copy.lines import Form, form
from segue.copy.plan import Planner
from segue.copy.record import TableRecord
from segue.copy.report import Report
from segue.copy.throttle import Throttle
from segue.copy.walk import Walk
from segue.copy.whole import WholeCopy
from segue.errors import ConnectionLost, Refused, SegueError, ServerError
from segue.flavour import Flavour
from segue.log import get_logger
from segue.schema import Selection, read_tables
from segue.sql import Connection, name

if TYPE_CHECKING:
    from segue.copy.seeder import Terms

log = get_logger("seed")
INDEX_LIMIT: Final = 24 * 3600.0
SETTLE_LIMIT: Final = 30.0
_IDLE: Final = 0.05
_PATIENCE: Final = 5
"""Times that one lane's chunk may fail in a row before the seed is taken up anew."""


class Work:
    """Made anew at each begin of the seed, from what the records say."""

    def __init__(  # noqa: PLR0917 - what the seeder has, handed on
        self, terms: Terms, flavours: tuple[Flavour, Flavour], source: Connection, target: Connection, tables: list[TableRecord],
        lanes: list[Lane], gate: Gate, throttle: Throttle, report: Report, running: asyncio.Event,
    ) -> None:  # fmt: skip
        """`source` and `target` are for definitions and records. A lane's connections are its own alone: it may be
        inside a transaction, and the source's gives all text as bytes."""
        self.terms = terms
        self.flavour, self._there = flavours
        self._source = source
        self._target = target
        self.tables = tables
        self.lanes = lanes
        self._gate = gate
        self._throttle = throttle
        self._report = report
        self._running = running
        self._walks: dict[int, Walk] = {}
        self._ready: list[TableRecord] = []
        """Tables whose keys can be made."""
        self._making = 0
        self._whole_lanes: set[int] = set()
        self._ended = False
        self._opening = asyncio.Lock()
        self._whole = WholeCopy(terms.source, terms.source_where, terms.deployment, self.flavour)
        self._whole_queue: list[TableRecord] = []
        self._whole_left = 0
        self._whole_done = asyncio.Event()

    def _planner(self) -> Planner:
        return Planner(self._source, self.flavour, self._target, self._there, self.terms.mapping)

    @property
    def has_chunks(self) -> bool:
        return any(not t.whole and t.state in ("waiting", "copying") for t in self.tables)

    @property
    def done(self) -> bool:
        if any(t.state != "done" for t in self.tables) or self._making:
            return False
        if self._gate.anew:
            names = ", ".join(".".join(n) for n in self._gate.anew)
            raise Refused(f"a DDL came at the very end of the seed and changed {names}",
                          mend="segue seed --cancel, then segue seed")  # fmt: skip
        return True

    def end(self) -> None:
        """The lanes go home."""
        self._ended = True

    def abandon(self) -> None:
        """Let go what an interrupted run holds."""
        self._whole.abandon()

    # -- whole tables --------------------------------------------------------------------------------------

    async def whole_tables(self) -> None:
        """Copy all of them that are not there yet, under one snapshot; lanes that take part do nothing else."""
        tables = [t for t in self.tables if t.whole and t.state in ("waiting", "copying")]
        if tables:
            log.info("copying tables in one pass", tables=[t.full_name for t in tables])
            planner = self._planner()
            for table in tables:
                await planner.make(table)
            helpers = self.lanes[: max(1, min(len(self.lanes) // 2, len(tables)))]
            position = await self._whole.snapshot(tables, len(helpers))
            for table in tables:
                table.snapshot, table.state = position, "copying"
            self._whole_queue = sorted(tables, key=lambda t: t.est_bytes)
            self._whole_left = len(tables)
            self._whole_lanes.update(lane.number for lane in helpers)
            await self._whole_done.wait()
            await self._whole.close()
        whole = [t for t in self.tables if t.whole]
        for table in whole:
            if table.state == "copied":
                table.state = "keys"
                self._ready.append(table)
        while any(t.state != "done" for t in whole):
            await asyncio.sleep(_IDLE)
        if whole:
            # The actions that the engine does by itself must be there before the first event is.
            await foreign_keys(self.terms, self._target, whole, acting=True)

    async def _whole_job(self, lane: Lane) -> None:
        """One snapshot for this lane; it copies until nothing is left."""
        source = self._whole.take()
        while self._whole_queue:
            table = self._whole_queue.pop()
            await self._whole.copy(source, await lane.target(), table, await self._form(lane, table, replace=False),
                                   self.terms.seed.chunk_bytes, self._step)  # fmt: skip
            self._report.moved(table.rows, table.bytes)
            await self._whole.finished(lane, table)
            self._whole_left -= 1
        self._whole_lanes.discard(lane.number)
        if not self._whole_left:
            self._whole_done.set()

    async def _step(self) -> None:
        """Before each piece of a whole table."""
        await self._running.wait()
        await self._throttle.wait()

    # -- a lane's life -------------------------------------------------------------------------------------

    async def lane(self, lane: Lane) -> None:
        """Take what is to be done until there is nothing more."""
        failures = 0
        while not self._ended:
            if lane.number in self._whole_lanes:
                await self._whole_job(lane)
                continue
            if self._ready:
                # What takes longest first: what is left for the end, when other lanes have nothing more, is short then.
                table = max(self._ready, key=_sorting)
                self._ready.remove(table)
                await self._make_keys(lane, table)
                continue
            try:
                worked = await self._chunk(lane)
                failures = 0
            except Refused:
                raise
            except (ConnectionLost, ServerError) as error:
                # Its outcome is known and the chunk is to be done again; other lanes may be well.
                failures += 1
                if failures >= _PATIENCE or not isinstance(error, ConnectionLost):
                    raise
                log.info("a lane lost its connection", lane=lane.number, error=error.message)
                lane.leave()
                await asyncio.sleep(0.2 * failures)
                worked = True
            if not worked:
                await asyncio.sleep(_IDLE)

    async def _chunk(self, lane: Lane) -> bool:
        await self._running.wait()
        walk = await self._largest(lane)
        if walk is None:
            return False
        walk.lanes += 1
        try:
            await self._throttle.wait()
            chunk = await walk.take(lane)
            if chunk is None:
                return False
            began = time.monotonic()
            await walk.copy(lane, chunk, self.terms.deployment, self._gate)
        finally:
            walk.lanes -= 1
        self._throttle.moved(chunk.bytes, time.monotonic() - began)
        self._report.moved(chunk.rows, chunk.bytes)
        if walk.done:
            await self._settled(walk)
        return True

    async def _largest(self, lane: Lane) -> Walk | None:
        """The walk of the table with most left to do; of those first that no other lane is at.

        Rows that arrive in the key's order leave full pages: four lanes in one table leave it a sixth larger.
        """
        shared: Walk | None = None
        left = [t for t in self.tables if not t.whole and t.state in ("waiting", "copying")]
        for table in sorted(left, key=lambda t: -(t.est_bytes * (1.0 - min(0.99, t.rows / (t.est_rows or 1))))):
            walk = self._walks.get(id(table))
            if walk is None:
                async with self._opening:
                    walk = self._walks.get(id(table)) or await self._open(lane, table)
            if walk.has_work:
                if not walk.lanes:
                    return walk
                shared = shared or walk
            if walk.done and table.state == "copying":
                await self._settled(walk)
        return shared

    async def _open(self, lane: Lane, table: TableRecord) -> Walk:
        here = await read_tables(self._source, Selection([table.name[0]]), {table.name[0]})
        key = walk_key(here[table.name]) if table.name in here else None
        if key is None or key.name != table.walk:
            raise Refused(f"{table.full_name} has changed on the source since the seed began",
                          mend="segue seed --cancel, then segue seed again")  # fmt: skip
        walk = Walk(table, key, await self._form(lane, table, replace=True), self.terms.seed.chunk_bytes)
        self._walks[id(table)] = walk
        if table.state == "waiting":
            table.state = "copying"
            await self._remember(table)
        return walk

    async def _form(self, lane: Lane, table: TableRecord, *, replace: bool) -> Form:
        mapping = self.terms.mapping.table(*table.name)
        here = await read_tables(self._source, Selection([table.name[0]]), {table.name[0]})
        target = await lane.target()
        there = await read_tables(target, Selection([mapping.target[0]]), {mapping.target[0]})
        try:
            # Of a table in one pass no row can be read again as lines.
            arrays = target.takes_arrays and not table.whole
            return form(mapping, here[table.name], there[mapping.target], replace=replace, arrays=arrays)
        except KeyError:
            raise Refused(f"{table.full_name} is gone, here or there", mend="segue seed --cancel, then again") from None
        except ValueError as error:
            raise Refused(f"{table.full_name}: {error}", mend="Exclude the table") from None

    # -- the end of a table --------------------------------------------------------------------------------

    async def _remember(self, table: TableRecord) -> None:
        if table.name in self._gate.anew:
            table.origin = ""
        await record.write_table(self._target, self.terms.deployment, table)

    async def _settled(self, walk: Walk) -> None:
        """All chunks are committed: write down behind which position the stream alone is right."""
        table = walk.table
        if table.state != "copying":
            return
        table.state = "settling"

    async def settle(self, source: Connection) -> None:
        """For tables whose last chunk was committed: by which position everything they showed has been sent."""
        tables = [t for t in self.tables if t.state == "settling"]
        if not tables:
            return
        position = await self.flavour.settled(source, SETTLE_LIMIT)
        for table in tables:
            table.settled, table.state = position, "copied"
            await self._remember(table)

    def applied(self, position: Position) -> None:
        """The stream has got there: tables whose overlap is behind it get their keys."""
        for table in self.tables:
            if table.state != "copied" or table.whole or table in self._ready:
                continue
            if position.contains(parse(table.settled, mariadb=self.flavour.dump_is_mariadb)):
                table.state = "keys"
                self._ready.append(table)

    async def _make_keys(self, lane: Lane, table: TableRecord) -> None:
        """Secondary keys in as few passes as the server takes. A definition that changed meanwhile: all anew."""
        self._making += 1
        try:
            target = await lane.target()
            planner = self._planner()
            _, origin = await planner.definition(table.name, None)
            if not table.whole and (origin != table.origin or table.name in self._gate.anew):
                await self._anew(table, planner)
                return
            wanted = Definition.parse_create(table.definition)
            there = self.terms.mapping.table(*table.name).target
            have = Definition.parse_create(str((await target.query(f"SHOW CREATE TABLE {name(*there)}"))[0]["Create Table"]))
            known = {key_name(i) for i in have.keys(None)}  # the other flavour writes the same key in other words
            items = [k for k in wanted.keys(table.walk or None) if key_name(k) not in known]
            if items:
                await self._there.sort_keys(target, self._making + len(self._ready))
            for clause in additions(items):
                await self._alter(target, f"ALTER TABLE {name(*there)} {clause}")
            if table.name in self._gate.anew:
                await self._anew(table, planner)
                return
            table.state = "done"
            await self._remember(table)
            log.info("table seeded", table=table.full_name, rows=table.rows, bytes=table.bytes, keys=len(items))
        finally:
            self._making -= 1

    async def _alter(self, target: Connection, statement: str) -> None:
        for attempt in range(3):
            try:
                await target.query(statement, timeout=INDEX_LIMIT)
                return
            except ConnectionLost:
                raise
            except ServerError as error:
                if error.code == 1061:  # it is there: an earlier try got through after all
                    return
                if error.code not in (1062, 1205, 1213, 1799) or attempt == 2:
                    raise SegueError(f"a key could not be made: {error.message}", mend=error.mend) from None
                # A duplicate that is none: rows that moved while the key was made.
                await asyncio.sleep(0.5)

    async def begin_anew(self) -> None:
        """Tables that a DDL in the stream has changed: the stream cannot go on before they are as it says.

        Nothing is copied or applied meanwhile. Those whose keys are being made are not among them (see `done`).
        """
        planner = self._planner()
        for table in self.tables:
            if table.name in self._gate.anew and table.state in ("waiting", "copying", "settling", "copied"):
                await self._anew(table, planner)

    async def _anew(self, table: TableRecord, planner: Planner) -> None:
        """Its definition was changed while it was copied: chunks of before and after do not go together."""
        log.warning("the table was changed on the source while it was copied: copying it anew", table=table.full_name)
        table.definition, table.origin = await planner.definition(table.name, None)
        table.again += 1
        self._gate.anew.discard(table.name)
        table.chunks, table.rows, table.bytes, table.settled = [], 0, 0, ""
        walk = self._walks.pop(id(table), None)
        if walk is not None:
            walk.dead = True
        await planner.make(table)
        await record.forget_chunks(self._target, self.terms.deployment, table.name)
        table.state = "waiting"
        await record.write_table(self._target, self.terms.deployment, table)


def _sorting(table: TableRecord) -> int:
    """How long a table's keys take, about: each row is read once and sorted once a key, which is like reading 100 bytes."""
    return table.bytes + 100 * table.rows * len(Definition.parse_create(table.definition).keys(table.walk or None))
