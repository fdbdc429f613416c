"""A lane: one connection to the source and one to the target, through which rows go as text.

Theory of lost answers. A lane's target connection holds a named lock, which the server frees when that connection's
work has ended, committed or not. A connection that breaks inside a chunk is followed by one that waits for the lock;
only then is the chunk's outcome known and the gate left. A process that starts takes the locks of all lanes first.
"""

from __future__ import annotations

import hashlib
from typing import Final

from segue.config import Endpoint
from segue.copy.lines import SOURCE_SESSION, TARGET_SESSION
from segue.errors import ConnectionLost
from segue.sql import Connection, connect, quote

MAX_LANES: Final = 32
_LOCK_WAIT: Final = 15

End = tuple[Endpoint, str]
"""A server, and its name in errors."""


class Lane:
    """Connects when it is used; a lost connection is made again."""

    def __init__(self, number: int, source: End, target: End, deployment: str, *, binlog: bool) -> None:
        """With `binlog` what it writes goes into the target's binlog."""
        self.number = number
        self._ends = (*source, *target)
        self._lock = quote(f"segue.seed.{hashlib.sha256(deployment.encode()).hexdigest()[:32]}.{number}")
        self._binlog = binlog
        self._source: Connection | None = None
        self._target: Connection | None = None

    async def source(self) -> Connection:
        if self._source is None or self._source.closed:
            conn = await connect(self._ends[0], where=self._ends[1], program="segue-seed", local_infile=False)
            try:
                for statement in SOURCE_SESSION:
                    await conn.query(statement)
            except BaseException:
                conn.abandon()
                raise
            self._source = conn
        return self._source

    async def target(self) -> Connection:
        """Its first act is to wait until an earlier connection of this lane has ended."""
        if self._target is None or self._target.closed:
            conn = await connect(self._ends[2], where=self._ends[3], program="segue-seed", local_infile=True)
            try:
                await self._take_lock(conn)
                for statement in TARGET_SESSION:
                    await conn.query(statement)
                if not self._binlog:
                    await conn.query("SET SESSION sql_log_bin = 0")
            except BaseException:
                conn.abandon()
                raise
            self._target = conn
        return self._target

    async def _take_lock(self, conn: Connection) -> None:
        for attempt in range(2):
            got = await conn.value(f"SELECT GET_LOCK({self._lock}, {_LOCK_WAIT})", timeout=_LOCK_WAIT + 10.0)
            if int(got or 0):
                return
            holder = await conn.value(f"SELECT IS_USED_LOCK({self._lock})")
            if attempt == 0 and holder is not None:
                await conn.query(f"KILL {int(holder)}")
        raise ConnectionLost(0, "an earlier connection of the copy does not end", where=conn.where,
                             mend="Is a second segue daemon running? SHOW PROCESSLIST there names it")  # fmt: skip

    def leave(self) -> None:
        """Cut both connections, and what they were doing with them."""
        for conn in (self._source, self._target):
            if conn is not None:
                conn.abandon()
        self._source = self._target = None

    async def close(self) -> None:
        for conn in (self._source, self._target):
            if conn is not None and not conn.closed:
                await conn.close()
        self._source = self._target = None
