"""Runs a seed inside the replicator: takes turns with the stream, gives work to the lanes, ends in the hand-over.

    plan -> whole tables (the stream stands still) -> chunks and stream by turns -> keys, where a table's overlap
    is behind it -> foreign keys, triggers, views -> done: the stream runs alone, strictly

Everything it decides is on the target before it is acted on, so it may be killed anywhere and made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final, Protocol

from segue.binlog.positions import Position, parse
from segue.config import Endpoint, Seed
from segue.copy import record
from segue.copy.finish import Finish
from segue.copy.gate import Gate
from segue.copy.lane import Lane
from segue.copy.objects import create_schemas
from segue.copy.plan import Planner
from segue.copy.record import ACTIVE, TableRecord
from segue.copy.report import Report
from segue.copy.throttle import Throttle
from segue.copy.work import Work
from segue.errors import ConnectionLost, Refused, SegueError, ServerError
from segue.flavour import Flavour, detect
from segue.flavour.definitions import translated
from segue.log import get_logger
from segue.replicate import progress
from segue.replicate.applier import take_lock
from segue.schema.mapping import Mapping
from segue.sql import Connection, connect

log = get_logger("seed")
RETRY: Final = 1.0
LOOK: Final = 0.1
BARRIER_LIMIT: Final = 10.0
_SWITCHED_ON: Final = ("local_infile", "log_bin_trust_function_creators")
"""For the time of the seed, on the target: rows by LOAD DATA LOCAL; functions and triggers without SUPER (1419)."""
STREAM_AT_LEAST: Final = 0.1
"""Seconds of a turn of the stream that has nothing to do."""


class Stream(Protocol):
    """What the replicator lends."""

    def applied(self) -> Position | None: ...
    def hurry(self) -> None: ...


class Terms(Protocol):
    """Between which servers, for which deployment; `replicate.Order` is one."""

    @property
    def deployment(self) -> str: ...
    @property
    def source(self) -> Endpoint: ...
    @property
    def target(self) -> Endpoint: ...
    @property
    def source_where(self) -> str: ...
    @property
    def target_where(self) -> str: ...
    @property
    def mapping(self) -> Mapping: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seed(self) -> Seed: ...


class Seeder:
    """One seed, for as long as this process runs it."""

    def __init__(self, terms: Terms, stream: Stream) -> None:
        self.terms = terms
        self.gate = Gate()
        self.report = Report()
        self.stream_wanted = asyncio.Event()
        """The stream may connect: every whole table is there."""
        self.over = asyncio.Event()
        """Done or cancelled: what is left to run is the stream alone, or nothing."""
        self.work: Work | None = None
        self.error: SegueError | None = None
        self._stream = stream
        self._running = asyncio.Event()
        self._throttle = Throttle(terms.seed, terms.source, terms.source_where)
        self._cancelled = False
        self._source: Connection | None = None
        self._target: Connection | None = None

    @staticmethod
    async def active(terms: Terms) -> bool:
        """Whether the target has a seed under way. Raises ConnectionLost and ServerError."""
        conn = await connect(terms.target, where=terms.target_where, program="segue-seed")
        try:
            found = await record.read(conn, terms.deployment)
            return found is not None and found.state in ACTIVE
        finally:
            await conn.close()

    async def may_stream(self) -> bool:
        """Wait until the stream may run beside the seed, True, or the seed is over before that, False."""
        waits = [asyncio.create_task(e.wait()) for e in (self.stream_wanted, self.over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return not self.over.is_set()

    # -- commands ------------------------------------------------------------------------------------------

    async def pause(self, on: bool) -> None:
        """Stop giving out chunks, or go on; the stream runs meanwhile. Remembered over restarts."""
        await record.update(await self._record(), self.terms.deployment, paused=int(on))
        (self._running.clear if on else self._running.set)()
        self.report.paused = on

    async def cancel(self) -> None:
        """End it; tables half filled stay until the next seed makes them anew."""
        self._cancelled = True
        await record.update(await self._record(), self.terms.deployment, state="cancelled")
        self._running.set()

    async def _record(self) -> Connection:
        if self._target is None or self._target.closed:
            raise Refused("the standby cannot be reached now", mend="Try again")
        return self._target

    # -- running -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is over; errors are shown and the work is taken up again."""
        while not self.over.is_set():
            try:
                await self._once()
                self.error = None
            except (SegueError, TimeoutError) as error:
                shown = error if isinstance(error, SegueError) else SegueError(f"no answer in time: {error}")
                if self.error is None or shown.message != self.error.message:
                    log.warning("the seed is interrupted and will be taken up again", error=shown.message, mend=shown.mend)
                self.error = self.report.error = shown
                await asyncio.sleep(RETRY)
            except Exception as error:  # a fault of ours: it must be seen, and not be a seed that stands still
                log.exception("the seed met what it does not know and will be taken up again")
                self.error = self.report.error = SegueError(f"an unexpected {type(error).__name__}: {error}",
                                                            mend="The log has more; please report it")  # fmt: skip
                await asyncio.sleep(RETRY)
            finally:
                for conn in (self._source, self._target):
                    if conn is not None:
                        conn.abandon()

    async def _once(self) -> None:
        terms = self.terms
        self._source = await connect(terms.source, where=terms.source_where, program="segue-seed")
        self._target = await connect(terms.target, where=terms.target_where, program="segue-seed")
        flavour = await detect(self._source)
        there = await detect(self._target)
        found = await record.read(self._target, terms.deployment)
        if found is None or found.state not in ACTIVE:
            self.over.set()
            return
        binlog = terms.seed.binlog == "on" or (terms.seed.binlog == "auto" and await _has_replicas(self._target, terms))
        if not binlog:
            await self._target.query("SET SESSION sql_log_bin = 0")
        lanes = [
            Lane(n, (terms.source, terms.source_where), (terms.target, terms.target_where), terms.deployment, binlog=binlog)
            for n in range(terms.seed.lanes)
        ]
        try:
            for lane in lanes:
                await lane.target()
            if not self.stream_wanted.is_set():
                await applied_by_others(self._target, terms.deployment)
            await self._prepare(found, flavour, there)
            tables = await record.read_tables(self._target, terms.deployment)
            self.report.begin(tables, found)
            await (self.pause(True) if found.paused else self.pause(False))
            work = self.work = Work(terms, (flavour, there), self._source, self._target, tables, lanes, self.gate, self._throttle, self.report,
                                    self._running)  # fmt: skip
            try:
                await self._both(work, flavour, there)
            finally:
                work.abandon()
        finally:
            for lane in lanes:
                lane.leave()

    async def _prepare(self, found: record.Seed, flavour: Flavour, there: Flavour) -> None:
        """Plan, once; and what the target must allow, each time."""
        assert self._source is not None
        assert self._target is not None
        terms, target = self.terms, self._target
        if not flavour.gtid:
            raise Refused("seeding needs GTIDs on the source", mend="Set gtid_mode = ON there, step by step as its manual says")
        if str(image := await self._source.value("SELECT @@GLOBAL.binlog_row_image")).upper() != "FULL":
            raise Refused(f"seeding needs binlog_row_image = FULL on the source, where it is {image}",
                          mend="SET GLOBAL binlog_row_image = 'FULL'; there, and end the sessions that began before")  # fmt: skip
        restore = found.restore
        if "local_infile" not in restore:
            now = {n: str(await target.value(f"SELECT @@GLOBAL.{n}")) for n in _SWITCHED_ON}
            restore = restore | now | await there.overlap_globals(target)
            await record.update(target, terms.deployment, restore_values=restore)
            found.restore = restore
        for variable in _SWITCHED_ON:
            if str(await target.value(f"SELECT @@GLOBAL.{variable}")) == "0":
                await target.query(f"SET GLOBAL {variable} = 1")
        if found.state == "new":
            self.report.state = "planning"
            await self._plan(found, flavour, there)

    async def _plan(self, found: record.Seed, flavour: Flavour, there: Flavour) -> None:
        assert self._source is not None
        assert self._target is not None
        terms, target = self.terms, self._target
        planner = Planner(self._source, flavour, target, there, terms.mapping)
        begun = {t.name: t for t in await record.read_tables(target, terms.deployment)}
        tables = await planner.tables(found.options, begun)
        schemas = {(t.name[0], terms.mapping.table(*t.name).target[0]) for t in tables}
        await create_schemas(self._source, target, schemas, lambda text: translated(text, flavour, there))
        for table in tables:
            await record.write_table(target, terms.deployment, table)
            await planner.make(table)
        by_statements = await planner.by_statements()
        for table in tables:
            if table.name in by_statements and not table.whole:
                table.whole, table.walk = True, ""
                await record.write_table(target, terms.deployment, table)
        source_id = (await flavour.identify(self._source)).source_id
        position = await flavour.position(self._source)
        await progress.initialise(target, terms.deployment, source_id, position, terms.epoch)
        await record.update(target, terms.deployment, state="copying")
        log.info("seeding begins", tables=len(tables), rows=sum(t.est_rows for t in tables), position=position)

    async def _both(self, work: Work, flavour: Flavour, there: Flavour) -> None:
        """Lanes beside the turns; the first error of either ends both."""
        tasks = [asyncio.create_task(work.lane(lane), name=f"lane-{lane.number}") for lane in work.lanes]
        watcher = asyncio.create_task(self._throttle.watch(), name="throttle")
        turns = asyncio.create_task(self._turns(work, flavour, there), name="turns")
        try:
            left = {turns, *tasks}
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.cancelled():
                        raise SegueError(f"{task.get_name()} was cut off")
                    if (error := task.exception()) is not None:
                        raise error
                    if not turns.done():  # lanes go home when the turns are over; before that their work is undone
                        raise SegueError(f"{task.get_name()} ended too early")
        finally:
            for task in (turns, watcher, *tasks):
                task.cancel()
            await asyncio.wait({turns, watcher, *tasks})

    async def _turns(self, work: Work, flavour: Flavour, there: Flavour) -> None:
        assert self._source is not None
        assert self._target is not None
        await self._copy_turn(flavour)
        await work.whole_tables()
        self.stream_wanted.set()
        while not self._cancelled:
            if work.has_chunks and self._running.is_set():
                await self._copy_for(work)
            await self._stream_turn(work, flavour)
            if self.gate.anew:
                await self.gate.give_to_copy()
                await work.begin_anew()
            if work.done:
                break
            if work.has_chunks and self._running.is_set():
                await self._copy_turn(flavour)
        if not self._cancelled:
            await self.gate.give_to_copy()
            self.report.state = "finishing"
            await Finish(self.terms, self._source, self._target, flavour, there).run()
        work.end()
        self.report.state = "cancelled" if self._cancelled else "done"
        self.over.set()

    async def _copy_turn(self, flavour: Flavour) -> None:
        """Close the gate for the stream, and let chunks begin when the source shows all that was applied."""
        assert self._source is not None
        assert self._target is not None
        await self.gate.give_to_copy()
        await barrier(self._source, flavour, self._target, self.terms.deployment)
        await self.gate.begin_copy()

    async def _copy_for(self, work: Work) -> None:
        """A copy's turn: so many seconds, or until no chunk is left."""
        deadline = time.monotonic() + self.terms.seed.turn
        while time.monotonic() < deadline and work.has_chunks and self._running.is_set() and not self._cancelled:
            await asyncio.sleep(LOOK)

    async def _stream_turn(self, work: Work, flavour: Flavour) -> None:
        """Until the stream has what the source has now; but not for much longer than the copy's turn."""
        assert self._source is not None
        await self.gate.give_to_stream()
        await work.settle(self._source)
        wanted = parse(await flavour.position(self._source), mariadb=flavour.dump_is_mariadb)
        limit = time.monotonic() + max(10.0, self.terms.seed.turn)
        await asyncio.sleep(STREAM_AT_LEAST)
        while not self._cancelled:
            self._stream.hurry()
            applied = self._stream.applied()
            if applied is not None:
                work.applied(applied)
                if applied.contains(wanted):
                    return
            if self.gate.anew or (time.monotonic() > limit and work.has_chunks):
                return
            await asyncio.sleep(LOOK / 2)

    def status(self) -> dict[str, Any]:
        return self.report.status(self._throttle.reason)


async def barrier(source: Connection, flavour: Flavour, target: Connection, deployment: str) -> None:
    """Until every snapshot of the source shows what the target has applied.

    Without this a chunk could bring back an old state of a row whose change was applied before it could be seen.
    """
    found = await progress.read(target, deployment)
    if found is None:
        raise ServerError(0, "the progress row is gone", where=target.where, mend="segue seed begins anew")
    while not await flavour.visible(source, found.position, BARRIER_LIMIT):
        log.warning("waiting for transactions of the source to become visible", position=found.position)


async def applied_by_others(target: Connection, deployment: str) -> None:
    """Wait for the end of a stream's connection that an earlier process left: its last commit may still come."""
    lock = await take_lock(target, deployment)
    await target.query(f"SELECT RELEASE_LOCK({lock})")


async def _has_replicas(target: Connection, terms: Terms) -> bool:
    """Somebody reads the target's binlog: the copy must then be in it."""
    with contextlib.suppress(ConnectionLost):
        rows = await target.query(
            "SELECT USER AS u FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"
        )
        return any(str(r["u"]) != terms.target.user for r in rows)
    return True


def pending(tables: list[TableRecord], at: Position, *, mariadb: bool) -> list[tuple[TableRecord, Position]]:
    """Whole tables whose snapshot shows more than the stream has reached: their events are dropped until then."""
    found = [(t, parse(t.snapshot, mariadb=mariadb)) for t in tables if t.whole and t.snapshot]
    return [(t, p) for t, p in found if not at.contains(p)]
