"""Both sides' definitions as they are now, asked beside the connections that carry rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection

from segue.binlog.positions import Position, parse
from segue.errors import ConnectionLost, SegueError
from segue.flavour import Flavour
from segue.replicate.applier import Applier
from segue.replicate.ddl.target import Target
from segue.replicate.order import Order
from segue.replicate.plan import Planner
from segue.schema import Sides, Tables, read_tables
from segue.sql import Connection, connect, quote


class Beside:
    """The target's catalogue, on a connection that is kept."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._conn: Connection | None = None

    async def _alive(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = await connect(self._order.target, where=self._order.target_where, program="segue-replicate")
            await self._conn.query("SET SESSION wait_timeout = 31536000")  # the most there is; it may have nothing to do
        return self._conn

    async def tables(self, tables: Collection[tuple[str, str]]) -> Tables:
        return await read_tables(await self._alive(), self._order.mapping.inverse(), tables=tables)

    async def triggers(self, tables: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        schemas, names = (", ".join(quote(n) for n in sorted(set(part))) for part in zip(*tables, strict=True))
        rows = await (await self._alive()).query(
            "SELECT DISTINCT EVENT_OBJECT_SCHEMA AS s, EVENT_OBJECT_TABLE AS t FROM information_schema.TRIGGERS"
            f" WHERE EVENT_OBJECT_SCHEMA IN ({schemas}) AND EVENT_OBJECT_TABLE IN ({names})"
        )
        return {(str(r["s"]), str(r["t"])) for r in rows} & set(tables)

    def abandon(self) -> None:
        if self._conn is not None:
            self._conn.abandon()


class BothSides:
    """New plans, and what the gate for DDL asks."""

    def __init__(
        self, order: Order, source: tuple[Connection, Flavour], applier: Applier, here: Callable[[], Position],
        amend: Callable[[Tables, Tables], Tables] | None = None,
    ) -> None:  # fmt: skip
        """`here` is the position as it will be behind the statement at the gate.

        `amend` makes the target's tables out of both sides', for a target that is not complete yet.
        """
        self._amend = amend
        self._order = order
        self._source, self._flavour = source
        self._applier = applier
        self._here = here
        self._source_tables: Tables | None = None
        self._target_tables: Tables = {}

    def _alive(self) -> Connection:
        if self._source.closed:
            raise ConnectionLost(2013, "the connection for definitions broke", where=self._order.source_where)
        return self._source

    async def plan(self, schemas: set[str] | None = None) -> Planner:
        """From both sides' definitions: of these schemas of the source as they are now, of others as last read.

        With many tables most of a statement's time would else go into reading what it does not concern.
        """
        order, there = self._order, self._applier.flavour
        if self._source_tables is None:
            schemas = None
        target = await connect(order.target, where=order.target_where, program="segue-replicate")
        try:
            source_tables = await read_tables(self._alive(), order.mapping, schemas)
            target_tables = await read_tables(target, order.mapping.inverse(), schemas and self._on_target(schemas))
            if schemas is not None:
                known, wanted = self._source_tables or {}, self._on_target(schemas)
                source_tables |= {k: t for k, t in known.items() if k[0] not in schemas}
                target_tables |= {k: t for k, t in self._target_tables.items() if k[0] not in wanted}
            self._source_tables, self._target_tables = source_tables, target_tables
            return Planner(
                order.mapping, source_tables,
                target_tables if self._amend is None else self._amend(source_tables, target_tables),
                Sides(self._flavour.name, there.name, self._flavour.cascades_logged, self._applier.binlog_allowed),
                await self._flavour.collations(self._alive()), there, await self._position(),
                overlap=self._amend is not None,
            )  # fmt: skip
        finally:
            with contextlib.suppress(SegueError):
                await target.close()

    def _on_target(self, schemas: set[str]) -> set[str]:
        """The target's schemas that hold tables of these schemas of the source."""
        mapping = self._order.mapping
        whole = {mapping.table(s, "").target[0] for s in schemas}
        return whole | {rule.target[0] for rule in mapping.rules() if rule.source[0] in schemas}

    async def differences(self, tables: set[tuple[str, str]]) -> list[str]:
        return (await self.plan({schema for schema, _ in tables})).differences(tables)

    async def source_has(self, table: tuple[str, str]) -> bool:
        found = await self._alive().query(
            "SELECT 1 AS x FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = {quote(table[0])} AND TABLE_NAME = {quote(table[1])}"
        )
        return bool(found)

    async def source_moved_on(self) -> bool:
        """Whether there is anything behind the present transaction on the source."""
        return not self._here().contains(await self._position())

    async def _position(self) -> Position:
        return parse(await self._flavour.position(self._alive()), mariadb=self._flavour.dump_is_mariadb)

    async def open_target(self) -> Target:
        order = self._order
        return await Target.open(order.target, order.target_where, order.deployment)
