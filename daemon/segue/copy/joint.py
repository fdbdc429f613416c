"""Where the stream and a seed meet: what the feed does otherwise while the copy and the stream overlap."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from segue.binlog.batch import Batch
from segue.binlog.positions import Position
from segue.binlog.rows import TableMap
from segue.copy import record
from segue.copy.gate import Gate
from segue.copy.keys import walk_key
from segue.copy.overlap import Columns, Overlap
from segue.copy.plan import as_it_will_be
from segue.copy.record import TableRecord
from segue.copy.seeder import pending
from segue.flavour import Flavour
from segue.log import get_logger
from segue.replicate.assembler import Stop
from segue.schema.catalogue import Tables
from segue.sql import Connection

if TYPE_CHECKING:
    from segue.replicate.assembler import Assembler
    from segue.replicate.ddl.event import Ddl
    from segue.replicate.order import Order

log = get_logger("seed")
REST: Final = 0.2
"""Seconds at most between looks at what the source has sent."""


class Joint:
    """One life of the feed inside a seed."""

    def __init__(self, gate: Gate, tables: list[TableRecord], order: Order) -> None:
        self._gate = gate
        self._records = tables
        self._deployment = order.deployment
        self._mapping = order.mapping
        self._closed: list[tuple[TableRecord, Position]] = []
        self._source: Tables = {}
        self._target: Tables = {}
        self._overlap = Overlap(self._columns)

    @classmethod
    async def open(cls, gate: Gate, conn: Connection, order: Order, flavour: Flavour) -> Joint:
        """`conn` is the connection that will apply; it holds the lock, so what came before it is known now."""
        await flavour.overlap(conn, on=True)
        tables = await record.read_tables(conn, order.deployment)
        await gate.stream_is_known()
        return cls(gate, tables, order)

    async def rest(self) -> None:
        """Between reads of the source's binlog: nothing of it is applied in the copy's turn, so it is taken in a few large
        pieces then, where each transaction by itself costs a thread's waking."""
        await self._gate.streams_turn(REST)

    def applying(self) -> AbstractAsyncContextManager[None]:
        """Around each commit."""
        return self._gate.applying()

    def tables(self, source: Tables, target: Tables) -> Tables:
        """The target's tables as the seed will leave them: what they lack now is no difference."""
        self._source, self._target = source, target
        return as_it_will_be(source, target, self._mapping)

    def attach(self, assembler: Assembler, *, mariadb: bool) -> None:
        """Drop events of whole tables until their snapshots' positions."""
        self._closed = pending(self._records, assembler.position, mariadb=mariadb)
        if self._closed:
            assembler.at_commit = lambda: self._reached(assembler)

    def drops(self, table: TableMap) -> bool:
        """Whether the table's snapshot shows what comes now."""
        return any(t.name == (table.schema, table.table) for t, _ in self._closed)

    def _reached(self, assembler: Assembler) -> None:
        left = [(t, p) for t, p in self._closed if not assembler.position.contains(p)]
        if len(left) == len(self._closed):
            return
        self._closed = left
        assembler.forget_tables()
        if not left:
            assembler.at_commit = None

    async def let_pass(self, ddl: Ddl, conn: Connection) -> None:
        """A DDL of the source: tables that are still being copied will be copied anew, with what it did to them.

        Raises Stop where that does not help: the table is there already, or is new, or the statement is not understood.
        """
        statement = ddl.statement
        mend = "segue seed --cancel, then segue seed: it begins anew with what the tables are now"
        if statement.kind in ("unknown", "database"):
            raise Stop(f"the source ran a statement during the seed that changes more than tables: {ddl.shown}", mend=mend)
        names = [n.key for n in statement.names if self._mapping.wants(*n.key)]
        known = {t.name: t for t in await record.read_tables(conn, self._deployment)}
        for name in names:
            table = known.get(name)
            if statement.kind not in ("alter", "truncate") or table is None or table.whole or table.state == "done":
                raise Stop(f"the source changed {'.'.join(name)} during the seed: {ddl.shown}", mend=mend)
        for name in names:
            await record.forget_origin(conn, self._deployment, name)
            self._gate.anew.add(name)
        log.warning("the source ran a DDL during the seed", statement=ddl.shown, copied_anew=names)

    def convert(self, batch: Batch) -> Batch:
        """Made idempotent."""
        return self._overlap.convert(batch)

    def _columns(self, table: TableMap) -> Columns:
        """By the target's catalogue, since a table map that is made for the target has no names."""
        name = (table.schema, table.table)
        found = next((r for r in self._records if self._mapping.table(*r.name).target == name), None)
        if found is not None and found.whole:
            return (), ()
        source, target = self._source.get(found.name) if found is not None else None, self._target.get(name)
        if found is None or source is None or target is None or len(target.columns) != len(table.types):
            return None, ()
        mapping, walk = self._mapping.table(*found.name), walk_key(source)
        here = {c.name.lower(): n for n, c in enumerate(target.columns)}
        carried = [here.get(mapping.column(c.name) or "") for c in source.columns if not c.generated]
        needed = tuple(n for n in carried if n is not None and not target.columns[n].generated)
        places = [here.get(mapping.column(c.name) or "") for c in walk.columns] if walk is not None else [None]
        return None if None in places else tuple(p for p in places if p is not None), needed
