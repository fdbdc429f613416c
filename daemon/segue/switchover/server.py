"""One of the two servers as control sees it: a connection that comes back, its flavour, its identity."""

from __future__ import annotations

import asyncio
from typing import Any

from segue.errors import ConnectionLost, ServerError
from segue.flavour import Flavour, Identity, detect
from segue.roles import Side
from segue.sql import Connection, connect
from segue.switchover.claim import Claim


class Server:
    """Control's handle on one side. One statement at a time; a lost connection is made again when asked.

    With a `claim` every connection has proven that no other daemon acts here: only such a handle may fence or open.
    """

    def __init__(self, side: Side, claim: Claim | None = None) -> None:
        self.side = side
        self._claim = claim
        self.flavour: Flavour | None = None
        self.identity: Identity | None = None
        self._tracked = ""
        self._conn: Connection | None = None
        self._lock = asyncio.Lock()

    @property
    def label(self) -> str:
        return self.side.label

    def backend(self) -> dict[str, Any]:
        """How another process of Segue reaches it (never for a log: the password is in it)."""
        return {"name": self.label, "tracked": self._tracked, **self.side.endpoint.message()}

    async def connection(self) -> Connection:
        """The live connection. Raises ConnectionLost or ServerError when there can be none."""
        async with self._lock:
            if self._conn is None or self._conn.closed:
                conn = await connect(self.side.endpoint, where=self.side.where, program="segue-control")
                self.flavour = await detect(conn)
                identity = await self.flavour.identify(conn)
                if self.identity is not None and identity.source_id != self.identity.source_id:
                    conn.abandon()
                    raise ServerError(
                        0,
                        f"another server answers here now: {identity.source_id}, it was {self.identity.source_id}",
                        where=self.side.where,
                        mend="Point the configuration at the right server and restart segue",
                    )
                if self._claim is not None:
                    try:
                        await self._claim.take(conn)
                    except BaseException:
                        conn.abandon()
                        raise
                if not self._tracked:
                    self._tracked = ",".join(await self.flavour.session_variables(conn))
                self.identity = identity
                self._conn = conn
            return self._conn

    async def get(self) -> tuple[Flavour, Connection]:
        conn = await self.connection()
        assert self.flavour is not None
        return self.flavour, conn

    async def position(self) -> str:
        flavour, conn = await self.get()
        return await flavour.position(conn)

    async def held_by(self) -> list[str]:
        """Which read-only variables are on. A connection that was cut while idle is tried once more."""
        flavour, conn = await self.get()
        try:
            return await flavour.held_by(conn)
        except ConnectionLost:
            flavour, conn = await self.get()
            return await flavour.held_by(conn)

    async def fence(self, timeout: float) -> None:
        """Refuse all writes. A lost answer is not trusted: the server is asked what it does."""
        flavour, conn = await self.get()
        await flavour.fence(conn, timeout)
        if not await flavour.held_by(conn):
            raise ServerError(0, "it still accepts writes after the fence", where=self.side.where)

    async def unfence(self, *, writable: bool) -> None:
        """Lift the fence and see that it is lifted."""
        flavour, conn = await self.get()
        await flavour.unfence(conn, writable=writable)
        held = await flavour.held_by(conn)
        if bool(held) == writable:
            state = ", ".join(held) or "writable"
            raise ServerError(0, f"it is {state} after lifting the fence", where=self.side.where)

    async def verify_owner(self) -> None:
        """Is the deployment still ours here? Raises NotOwner."""
        if self._claim is not None:
            await self._claim.verify(await self.connection())

    async def write_epoch(self, epoch: int) -> None:
        """Leave on the server that it has got this far."""
        if self._claim is not None:
            await self._claim.write(await self.connection(), epoch)

    async def close(self) -> None:
        if self._conn is not None:
            await self._conn.close()
            self._conn = None
