"""Both sides' definitions as they are now, asked beside the connections that carry rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from segue.binlog.positions import FilePosition, GtidSet, MariaGtid, parse
from segue.errors import ConnectionLost, SegueError
from segue.flavour import Flavour
from segue.replicate.applier import Applier
from segue.replicate.ddl.target import Target
from segue.replicate.order import Order
from segue.replicate.plan import Planner
from segue.schema import Sides, read_tables
from segue.sql import Connection, connect, quote

Position = GtidSet | MariaGtid | FilePosition


class BothSides:
    """New plans, and what the gate for DDL asks."""

    def __init__(
        self, order: Order, source: tuple[Connection, Flavour], applier: Applier, here: Callable[[], Position]
    ) -> None:
        """`here` is the position as it will be behind the statement at the gate."""
        self._order = order
        self._source, self._flavour = source
        self._applier = applier
        self._here = here

    def _alive(self) -> Connection:
        if self._source.closed:
            raise ConnectionLost(2013, "the connection for definitions broke", where=self._order.source_where)
        return self._source

    async def plan(self) -> Planner:
        """From both sides' present definitions."""
        order, there = self._order, self._applier.flavour
        target = await connect(order.target, where=order.target_where, program="segue-replicate")
        try:
            return Planner(
                order.mapping,
                await read_tables(self._alive(), order.mapping),
                await read_tables(target, order.mapping.inverse()),
                Sides(self._flavour.name, there.name, self._flavour.cascades_logged, self._applier.binlog_allowed),
                await self._flavour.collations(self._alive()),
                there,
            )
        finally:
            with contextlib.suppress(SegueError):
                await target.close()

    async def differences(self, tables: set[tuple[str, str]]) -> list[str]:
        return (await self.plan()).differences(tables)

    async def source_has(self, table: tuple[str, str]) -> bool:
        found = await self._alive().query(
            "SELECT 1 AS x FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = {quote(table[0])} AND TABLE_NAME = {quote(table[1])}"
        )
        return bool(found)

    async def source_moved_on(self) -> bool:
        """Whether there is anything behind the present transaction on the source."""
        now = parse(await self._flavour.position(self._alive()), mariadb=self._flavour.dump_is_mariadb)
        return not self._here().contains(now)

    async def open_target(self) -> Target:
        order = self._order
        return await Target.open(order.target, order.target_where, order.deployment)
