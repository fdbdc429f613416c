"""Tables that cannot be walked, and families that must be exact: copied in one pass under one snapshot.

A read lock on these tables, held for an instant, waits for the writers that are under way; while it is held the
snapshots are taken and the source's position is read. So the position tells for each of these tables exactly which
changes the snapshot shows: the stream's events for it begin behind that. The stream stands still until all of them
are copied, so that nothing is applied to a table that is half there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from segue.config import Endpoint
from segue.copy import record
from segue.copy.lane import Lane
from segue.copy.lines import SOURCE_SESSION, Form
from segue.copy.load import load
from segue.copy.record import TableRecord
from segue.copy.rows import stream_rows
from segue.errors import ServerError
from segue.flavour import Flavour
from segue.log import get_logger
from segue.sql import Connection, connect, name

log = get_logger("seed")
LOCK_WAIT: Final = 2
"""Seconds that writers of these tables wait for us at most; then it is tried again later."""
_TRIES: Final = 30


class WholeCopy:
    """Makes the snapshots, then copies tables by as many lanes as there are."""

    def __init__(self, endpoint: Endpoint, where: str, deployment: str, flavour: Flavour) -> None:
        self._endpoint = endpoint
        self._where = where
        self._deployment = deployment
        self._flavour = flavour
        self._snapshots: list[Connection] = []
        self._given = 0

    async def snapshot(self, tables: list[TableRecord], count: int) -> str:
        """Begin `count` snapshots, to be taken; the position that all of them show for `tables`.

        Raises ServerError when a long transaction keeps the lock from being taken.
        """
        conn = await connect(self._endpoint, where=self._where, program="segue-seed")
        try:
            for _ in range(count):
                source = await connect(self._endpoint, where=self._where, program="segue-seed")
                self._snapshots.append(source)
                for statement in SOURCE_SESSION:
                    await source.query(statement)
                await source.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await conn.query(f"SET SESSION lock_wait_timeout = {LOCK_WAIT}")
            names = ", ".join(f"{name(*t.name)} READ" for t in tables)
            await self._lock(conn.query, f"LOCK TABLES {names}")
            for source in self._snapshots:
                await source.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            position = await self._flavour.position(conn)
            await conn.query("UNLOCK TABLES")
            return position
        finally:
            await conn.close()

    def take(self) -> Connection:
        """A connection with a snapshot. It is never made again: a new one would show something else."""
        self._given += 1
        return self._snapshots[self._given - 1]

    async def close(self) -> None:
        """Let the snapshots go."""
        for source in self._snapshots:
            await source.close()

    def abandon(self) -> None:
        for source in self._snapshots:
            source.abandon()

    async def _lock(self, query: Callable[[str], Awaitable[object]], statement: str) -> None:
        for attempt in range(_TRIES):
            try:
                await query(statement)
                return
            except ServerError as error:
                if error.code not in (1205, 1213) or attempt == _TRIES - 1:
                    raise
                log.info("waiting for a moment without long transactions on the tables that have no key")
                await asyncio.sleep(LOCK_WAIT)

    async def copy(  # noqa: PLR0917 - both ends, what and how
        self, source: Connection, target: Connection, table: TableRecord, form: Form, size: int,
        step: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """All rows of one table, in commits of about `size` bytes; `step` is awaited before each.

        The target's table must be empty. What an attempt left is gone with the table when it is made again.
        """
        table.rows = table.bytes = 0
        async for count, lines in stream_rows(source, form, name(*table.name), size):
            await step()
            await target.query("START TRANSACTION")
            await load(target, form, lines, count)
            await target.query("COMMIT")
            table.rows += count
            table.bytes += sum(map(len, lines))

    async def finished(self, lane: Lane, table: TableRecord) -> None:
        """Remember that its rows are there."""
        table.state = "copied"
        await record.write_table(await lane.target(), self._deployment, table)
