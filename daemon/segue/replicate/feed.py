"""One life of the replication: from connecting to both servers until something ends it.

Two tasks share one Assembler. The reader feeds it; the applier takes what is complete whenever it is idle. So a
transaction is applied at once when caught up, and batches grow by themselves while the target is busy: when one is
full, its statement is made ready ahead, and the reader waits for room.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from segue.binlog.batch import LARGE, Batch
from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid, parse
from segue.binlog.rows import TableMap
from segue.copy.gate import Gate as Turns
from segue.copy.joint import Joint
from segue.errors import SegueError
from segue.flavour import Flavour, detect
from segue.log import get_logger
from segue.replicate import held, progress
from segue.replicate.applier import Applier, Work
from segue.replicate.assembler import Assembler, Route, Stop
from segue.replicate.clock import SourceClock
from segue.replicate.ddl.event import Ddl
from segue.replicate.ddl.gate import Gate
from segue.replicate.dump import DumpRequest, DumpStream, format_description
from segue.replicate.guard import Guard
from segue.replicate.order import Order
from segue.replicate.sides import Beside, BothSides
from segue.replicate.xa import Held
from segue.sql import Connection, connect

log = get_logger("replicate")
BATCH_BYTES: Final = 1_500_000
"""Row bytes of a full batch; base64 adds a third (why this size: docs/row-path.md)."""
PERSIST_EVERY: Final = 1.0
"""Seconds between writes of a position behind which nothing was for the target."""
CAREFUL_TRANSACTIONS: Final = 1000
CLOCK_EVERY: Final = 2.0
"""Seconds between looks at the source's clock."""
CLOCK_TRUSTED: Final = 0.5
"""Seconds within which its answer must come to count."""


@dataclass(slots=True)
class Job:
    """One batch on its way."""

    work: Work
    batch: Batch
    position: GtidSet | MariaGtid | FilePosition | None
    began: float
    """Commit time of its oldest transaction on the source's clock."""
    sent: float = 0.0
    """Monotonic second at which the target got it."""


class Feed:
    """Made, run once, thrown away."""

    def __init__(self, order: Order, changed: Callable[[], None], *, careful: bool = False,
                 turns: Turns | None = None) -> None:  # fmt: skip
        """With `turns` it runs beside a seed, by turns, and idempotently."""
        self.order = order
        self._turns = turns
        self._beside = Beside(order)
        self._joint: Joint | None = None
        self.applied: GtidSet | MariaGtid | FilePosition | None = None
        self.transactions = 0
        self.rows = 0
        self.bytes = 0
        self.batches = 0
        self.stopped: Stop | None = None
        """Why it stands still while connected (a DDL that waits for both sides to fit)."""
        self.live = False
        self.heard: float | None = None
        """Unix second at which the source last sent anything, a heartbeat included."""
        self._changed = changed
        self._careful = careful
        self._careful_left = CAREFUL_TRANSACTIONS if careful else 0
        self._ready: Job | None = None
        self._running: Job | None = None
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._urgent = False
        self._end = asyncio.Event()
        self._reading = True
        self._persisted_at = 0.0
        self._unpersisted = False
        self._clock = SourceClock()

    # -- from outside --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `end`, or raises Stop, Altered, BinlogError, ServerError, ConnectionLost. All before is applied then."""
        order = self.order
        self._applier = await Applier.open(order.target, order.target_where, order.deployment)
        self._source: Connection | None = None
        stream: DumpStream | None = None
        try:
            if self._turns is not None:
                self._joint = await Joint.open(self._turns, self._applier.connection, order, self._applier.flavour)
            else:
                # What a seed set may have outlived it; idempotent, a divergence would be silence.
                await self._applier.flavour.overlap(self._applier.connection, on=False)
            self._source = await connect(order.source, where=order.source_where, program="segue-replicate")
            flavour = await detect(self._source)
            position = await self._start_position(flavour)
            self.applied = position.copy()
            await self._applier.describe(await format_description(self._request(flavour, None)))
            self._sides = BothSides(order, (self._source, flavour), self._applier, self._behind_ddl,
                                   self._joint.tables if self._joint else None)  # fmt: skip
            await self._plan()
            self._assembler = Assembler(position, self._route, order.mapping,
                                        1 if self._careful else BATCH_BYTES,
                                        Held(await held.read(self._applier.connection, order.deployment)))  # fmt: skip
            if self._joint is not None:
                self._joint.attach(self._assembler, mariadb=flavour.dump_is_mariadb)
            self._gate = Gate(order.on_ddl, order.mapping, self._sides, self._sides.open_target, self._stands,
                              same_flavour=flavour.name == self._applier.flavour.name)  # fmt: skip
            stream = self._stream = await DumpStream.open(self._request(flavour, position))
            self.live = True
            self._changed()
            await self._both()
        finally:
            self.live = False
            if stream is not None:
                stream.close()
            if self._source is not None:
                await self._source.close()
            self._beside.abandon()
            if self._end.is_set() and not self._applier.connection.closed:
                await self._applier.close()
            else:
                self._applier.abandon()

    def end(self) -> None:
        """Finish the batch under way, write the position, and come back from `run`."""
        self._urgent = True
        self._end.set()
        self._work.set()

    def hurry(self) -> None:
        """Write the position even where nothing was for the target: somebody waits for it."""
        self._urgent = True
        self._work.set()

    def lag(self) -> float | None:
        """Seconds that the oldest transaction not yet applied has been waiting; None while not connected."""
        if not self.live:
            return None
        assembler = self._assembler
        for job in (self._running, self._ready):
            if job is not None:
                return self._clock.since(job.began)
        if assembler.batch.transactions or assembler.in_transaction:
            return self._clock.since(assembler.batch.began)
        if self._stream.at_head or self.batches == 0:
            return 0.0
        return self._clock.since(assembler.commit_time)

    def busy(self) -> float:
        """Seconds that the target has been working on one batch."""
        job = self._running
        return time.monotonic() - job.sent if job is not None else 0.0

    def received(self) -> str | None:
        return self._assembler.position.text() if self.live else None

    def plans(self) -> dict[str, Any]:
        """How rows are applied, and which tables are not just passed on."""
        if not self.live:
            return {}
        others = {f"{s}.{t}": path for (s, t), path in self._planner.paths.items() if path != "pass"}
        return {"apply": "events" if self._applier.binlog_allowed else "statements", "plans": others}

    # -- beginning -----------------------------------------------------------------------------------------

    async def _start_position(self, flavour: Flavour) -> GtidSet | MariaGtid | FilePosition:
        assert self._source is not None
        order = self.order
        identity = await flavour.identify(self._source)
        if identity.source_id == self._applier.identity.source_id:
            raise Stop("source and target are the same server", mend="Give green its own server")
        self._clock.set(await _time_on(self._source))
        row = await progress.read(self._applier.connection, order.deployment)
        if row is None:
            raise Stop(f"{order.target_where} has no progress of deployment '{order.deployment}'",
                       mend="It was removed from segue.progress; fill the target anew, or restore the row")  # fmt: skip
        if row.source_id != identity.source_id or row.epoch != order.epoch:
            raise Stop(
                f"the progress on {order.target_where} is of source {row.source_id}, epoch {row.epoch}; expected"
                f" {identity.source_id}, epoch {order.epoch}",
                mend="Another daemon changed the roles, or a server was exchanged: compare segue.progress on both",
            )  # fmt: skip
        try:
            position = parse(row.position, mariadb=flavour.dump_is_mariadb)
        except BinlogError as error:
            raise Stop(str(error)) from None
        gone = await flavour.purged(self._source, position.text())
        if gone is not None:
            raise Stop(f"{order.source_where} no longer has the binlog behind our position: {gone} is purged",
                       mend="Fill the target anew, and keep binlogs longer: binlog_expire_logs_seconds")  # fmt: skip
        return position

    def _request(self, flavour: Flavour, position: GtidSet | MariaGtid | FilePosition | None) -> DumpRequest:
        """Ask the source from `position`, or with None the target for its description."""
        order = self.order
        of_source = position is not None
        seed = hashlib.sha256(f"segue:{order.deployment}:{of_source}".encode()).digest()
        return DumpRequest(
            order.source if of_source else order.target,
            order.source_where if of_source else order.target_where,
            flavour.dump_is_mariadb,
            int.from_bytes(seed[:4], "little") | 0x8000_0000,
            str(uuid.UUID(bytes=seed[:16])),
            position,
        )

    async def _plan(self, schemas: set[str] | None = None) -> None:
        self._planner = await self._sides.plan(schemas)
        self._applier.guard = Guard(self._planner.target, self._beside, complete=self._joint is None)

    def _route(self, table: TableMap) -> Route | None:
        """The present plan's word; nothing for a table whose copy shows what comes now."""
        if self._joint is not None and self._joint.drops(table):
            return None
        return self._planner(table)

    # -- the two tasks -------------------------------------------------------------------------------------

    async def _keep_the_time(self) -> None:
        """Ask again and again: the source's own clock may jump. A connection that breaks shows where it is needed."""
        source = self._source
        while source is not None and not source.closed:
            await asyncio.sleep(CLOCK_EVERY)
            with contextlib.suppress(SegueError):
                asked = time.monotonic()
                now = await _time_on(source)
                if time.monotonic() - asked < CLOCK_TRUSTED:  # else it is old already
                    self._clock.set(now)

    async def _both(self) -> None:
        reader = asyncio.create_task(self._read(), name="reader")
        applier = asyncio.create_task(self._apply(), name="applier")
        ending = asyncio.create_task(self._end.wait(), name="ending")
        keeper = asyncio.create_task(self._keep_the_time(), name="time")
        try:
            await asyncio.wait({reader, applier, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not applier.done():
                # What was read completely is still applied, whatever ended the reading.
                reader.cancel()
                await asyncio.wait({reader})
                self._assembler.discard_partial()
                self._reading = False
                self._work.set()
                await asyncio.wait({applier})
        finally:
            tasks = {reader, applier, ending, keeper}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in (applier, reader):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _read(self) -> None:
        assembler, stream = self._assembler, self._stream
        while True:
            packets = await stream.read()
            self.heard = time.time()
            sizes = list(map(len, packets))
            self.bytes += sum(sizes)
            assembler.clock = self._clock.now()
            rest = iter(packets) if max(sizes) < LARGE else _consumed(packets)
            del packets
            while (found := assembler.feed(rest)) is not False:
                if isinstance(found, Ddl):
                    await self._decide(found)
                else:
                    await self._hand_over()
            if self._planner.reached(assembler.position):
                assembler.forget_tables()
            self._work.set()
            if self._joint is not None:
                await self._joint.rest()

    async def _hand_over(self) -> None:
        while self._ready is not None:
            self._room.clear()
            self._work.set()
            await self._room.wait()
        self._ready = self._job()
        self._work.set()

    def _job(self) -> Job:
        assembler = self._assembler
        position = None if assembler.in_transaction else assembler.position.copy()
        batch = assembler.take()
        if self._joint is not None:
            batch = self._joint.convert(batch)
        work = self._applier.prepare(batch, position.text() if position else None)
        batch.forget_rows()
        return Job(work, batch, position, batch.began)

    def _next(self) -> Job | None:
        if self._ready is not None:
            job, self._ready = self._ready, None
            self._room.set()
            return job
        assembler = self._assembler
        if assembler.in_transaction and self._reading:
            return None
        if assembler.batch.transactions == 0:
            return None
        nothing_for_target = not (assembler.batch.runs or assembler.cut_inside or self._urgent)
        if nothing_for_target and time.monotonic() - self._persisted_at < PERSIST_EVERY:
            self._unpersisted = True
            return None
        return self._job()

    async def _apply(self) -> None:
        while True:
            job = self._next()
            if job is None:
                self._idle.set()
                if not self._reading:
                    return
                self._work.clear()
                try:
                    async with asyncio.timeout(PERSIST_EVERY if self._unpersisted else None):
                        await self._work.wait()
                except TimeoutError:
                    pass
                continue
            self._idle.clear()
            self._running = job
            job.sent = time.monotonic()
            try:
                async with self._joint.applying() if self._joint else contextlib.nullcontext():
                    await self._applier.apply(job.work)
            except Stop as stop:
                raise self._named(stop, job) from None
            finally:
                self._running = None
            self._count(job)

    def _count(self, job: Job) -> None:
        self.batches += 1
        self.rows += job.batch.events
        if job.position is None:
            return
        self.transactions += job.batch.transactions
        self.applied = job.position
        self._persisted_at = time.monotonic()
        self._unpersisted = self._urgent = False
        if self._careful_left:
            self._careful_left -= job.batch.transactions
            if self._careful_left <= 0:
                self._careful_left = 0
                self._assembler.limit = BATCH_BYTES
        self._changed()

    def _named(self, stop: Stop, job: Job) -> Stop:
        if not self._careful_left or not job.batch.runs:
            return stop
        table = job.batch.runs[-1].map
        behind = self.applied.text() if self.applied else ""
        return Stop(f"in table {table.schema}.{table.table}, in the transaction behind {behind}: {stop.message}",
                    mend=stop.mend)  # fmt: skip

    async def _decide(self, ddl: Ddl) -> None:
        """Apply everything before the statement, then stand at the gate until the stream may go on behind it."""
        while self._assembler.batch.transactions or self._ready is not None or self._running is not None:
            self.hurry()
            self._idle.clear()
            await self._idle.wait()
        if self._joint is not None:
            await self._joint.let_pass(ddl, self._applier.connection)
        else:
            await self._gate.let_pass(ddl)
        await self._plan(ddl.statement.touched_schemas)
        self._assembler.forget_tables()
        self._assembler.passed()
        self.hurry()
        self._changed()

    def _stands(self, stop: Stop | None) -> None:
        """The gate says why the stream stands still, or that it does no more."""
        self.stopped = stop
        self._changed()

    def _behind_ddl(self) -> GtidSet | MariaGtid | FilePosition:
        return self._assembler.behind_present()

    def skip_ddl(self) -> str:
        """Go on behind the statement that is waited at; its text. Raises SegueError when there is none."""
        if not self.live:
            raise SegueError("the stream waits at no DDL statement", mend="segue status shows where it stands")
        return self._gate.skip()

    @property
    def ddl(self) -> dict[str, Any] | None:
        """The statement at which the stream stands, for the status."""
        return self._gate.present if self.live else None


async def _time_on(source: Connection) -> float:
    return float(await source.value("SELECT UNIX_TIMESTAMP(NOW(6))"))


def _consumed(packets: list[bytes]) -> Iterator[bytes]:
    """One after the other, and nothing is kept of those that were given."""
    packets.reverse()
    while packets:
        yield packets.pop()
