"""How fast the copy may go: by a rate, and by what the source and its replicas say about their load."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from segue.config import Endpoint, Seed
from segue.errors import SegueError
from segue.log import get_logger
from segue.sql import Connection, connect

log = get_logger("seed")
LOOK_EVERY: Final = 0.5
_STEP: Final = 0.05


class Throttle:
    """Every chunk asks `wait` before it and says `moved` after it. A watcher task looks at the servers."""

    def __init__(self, settings: Seed, source: Endpoint, where: str) -> None:
        self.settings = settings
        self.reason: str | None = None
        """Why the copy stands still now; None when it does not."""
        self._source = source
        self._where = where
        self._free_at = 0.0

    async def wait(self) -> None:
        """Until the next chunk may begin."""
        while self.reason is not None or (left := self._free_at - time.monotonic()) > 0:
            # No longer than is left: chunks of a few milliseconds have rests of a few.
            await asyncio.sleep(_STEP if self.reason is not None else min(_STEP, left))

    def moved(self, size: int, seconds: float) -> None:
        """A chunk of `size` bytes took `seconds`."""
        limit = self.settings.max_rate_mb
        now = time.monotonic()
        if limit is not None:
            self._free_at = max(self._free_at, now - 1.0) + size / (limit * 1e6)
        rest = seconds * (1.0 / self.settings.share - 1.0)
        if rest > 0:
            self._free_at = max(self._free_at, now + rest)

    async def watch(self) -> None:
        """For ever: keep `reason` up to date. A server that cannot be asked stops nothing: the chunks will meet it."""
        settings = self.settings
        if settings.max_threads_running is None and not settings.replicas:
            return
        conns: dict[str, Connection] = {}
        try:
            while True:
                reason = None
                with contextlib.suppress(SegueError):
                    reason = await self._look(conns)
                if reason != self.reason:
                    log.info("the copy waits" if reason else "the copy goes on", reason=reason)
                self.reason = reason
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for conn in conns.values():
                conn.abandon()

    async def _look(self, conns: dict[str, Connection]) -> str | None:
        limit = self.settings.max_threads_running
        if limit is not None:
            rows = await (await self._conn(conns, self._where, self._source)).query(
                "SHOW GLOBAL STATUS LIKE 'Threads_running'")  # fmt: skip
            running = int(rows[0]["Value"])
            if running > limit:
                return f"Threads_running is {running} on the source, more than {limit}"
        for address in self.settings.replicas:
            host, _, port = address.rpartition(":")
            endpoint = self._source.model_copy(update={"host": host, "port": int(port)})
            lag = await _replica_lag(await self._conn(conns, address, endpoint))
            if lag is None or lag > self.settings.max_replica_lag:
                return f"replica {address} is {'not replicating' if lag is None else f'{lag} s behind'}"
        return None

    async def _conn(self, conns: dict[str, Connection], where: str, endpoint: Endpoint) -> Connection:
        conn = conns.get(where)
        if conn is None or conn.closed:
            conn = conns[where] = await connect(endpoint, where=where, program="segue-seed")
        return conn


async def _replica_lag(conn: Connection) -> int | None:
    mariadb = "mariadb" in conn.server_version.lower()
    rows = await conn.query("SHOW SLAVE STATUS" if mariadb else "SHOW REPLICA STATUS")
    if not rows:
        return None
    value = rows[0].get("Seconds_Behind_Source", rows[0].get("Seconds_Behind_Master"))
    return None if value is None else int(value)
