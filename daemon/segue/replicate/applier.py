"""The connection that applies batches to the target.

Theory of exactly-once. Rows and the progress row are committed together, so what a lost connection left is either
all there or not at all, and reading the row tells which. One thing could still spoil it: a statement of an earlier
connection that the server is yet to finish when the next one reads the row. So each connection first takes a named
lock that the server frees only when the earlier connection's work has ended.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Final

from segue.binlog.batch import Batch, BatchWriter
from segue.binlog.events import without_checksums
from segue.config import Endpoint
from segue.errors import ConnectionLost, ServerError
from segue.flavour import Flavour, Identity, detect
from segue.replicate import progress
from segue.replicate.assembler import Stop
from segue.sql import Connection, connect, quote

LOCK_WAIT: Final = 10
"""Seconds to wait for an earlier connection's end before it is killed."""
APPLY_LIMIT: Final = 3600.0
"""Seconds that one batch may take; keyless tables can make the server search each row."""
_PROGRESS_ROOM: Final = 64 * 1024
_RETRY: Final = frozenset({1205, 1213, 1290, 1317, 3100, 3101})
"""Lock wait, deadlock, read-only for the moment, interrupted, rollback hooks: the same again may succeed."""
_MENDS: Final = {
    1032: "A row to change is missing on the target: it was changed by somebody else. Compare both sides",
    1062: "A row to insert is there already: the target was changed by somebody else. Compare both sides",
    1146: "Create the table on the target as it is on the source",
    1142: "Grant what is missing on the target: segue check names it",
    1227: "Grant what is missing on the target: segue check names it",
    1114: "The target is full: make room there",
    1021: "The target's disk is full: make room there",
    3: "The target cannot write: is its disk full?",
}


class Applier:
    """One connection to the target, ready for BINLOG statements."""

    def __init__(self, conn: Connection, flavour: Flavour, identity: Identity, deployment: str, max_packet: int) -> None:
        self._conn = conn
        self.flavour = flavour
        self.identity = identity
        self._deployment = deployment
        self._writer = BatchWriter(identity.server_id)
        self._max_packet = max_packet
        self._open_transaction = False

    @classmethod
    async def open(cls, endpoint: Endpoint, where: str, deployment: str) -> Applier:
        """Connect, wait for an earlier connection's end. Raises ConnectionLost and ServerError."""
        conn = await connect(endpoint, where=where, program="segue-apply")
        try:
            flavour = await detect(conn)
            await _take_lock(conn, deployment)
            identity = await flavour.identify(conn)
            max_packet = int(await conn.value("SELECT @@max_allowed_packet"))
            return cls(conn, flavour, identity, deployment, max_packet)
        except BaseException:
            conn.abandon()
            raise

    @property
    def connection(self) -> Connection:
        return self._conn

    async def describe(self, description: bytes) -> None:
        """Give the session the target's own format description, and what must be set after it."""
        text = binascii.b2a_base64(without_checksums(description), newline=False)
        await self._conn.query(b"BINLOG '" + text + b"'")
        for statement in self.flavour.apply_session:
            await self._conn.query(statement)

    def prepare(self, batch: Batch, position: str | None) -> list[bytes]:
        """The statements for one batch, to go in one packet; with a position they end in a commit. Raises Stop.

        `position` is None for a part of a transaction that goes on in the next batch.
        """
        parts = [] if self._open_transaction else [b"BEGIN"]
        if batch.runs:
            statement = self._writer.statement(batch)
            if len(statement) + _PROGRESS_ROOM > self._max_packet:
                need = -(-(len(statement) + _PROGRESS_ROOM) // (1 << 20))
                raise Stop(
                    f"a row event of {len(statement) >> 20} MB does not fit the target's max_allowed_packet of"
                    f" {self._max_packet >> 20} MB",
                    mend=f"On the target: SET GLOBAL max_allowed_packet = {need} * 1048576;",
                )
            parts.append(statement)
        if position is not None:
            parts.append(progress.advance(self._deployment, position, batch.transactions))
            parts.append(b"COMMIT")
        self._open_transaction = position is None
        return parts

    async def apply(self, statements: list[bytes]) -> None:
        """Run what `prepare` made.

        Raises Stop for what will not succeed if tried again, ConnectionLost and ServerError otherwise. After any
        of them this connection is cut, and the transaction with it.
        """
        try:
            await self._conn.run(b";".join(statements), timeout=APPLY_LIMIT, count=len(statements))
        except ConnectionLost:
            raise
        except ServerError as error:
            self._conn.abandon()
            if error.code in _RETRY:
                raise
            detail = ""
            if error.code == 1105:
                detail = " (the server's error log has the reason)"
            raise Stop(f"{error.message}{detail}", mend=_MENDS.get(error.code, "")) from None

    async def close(self) -> None:
        await self._conn.close()

    def abandon(self) -> None:
        self._conn.abandon()


async def _take_lock(conn: Connection, deployment: str) -> None:
    lock = quote("segue." + hashlib.sha256(deployment.encode()).hexdigest()[:40])
    for attempt in range(2):
        if int(await conn.value(f"SELECT GET_LOCK({lock}, {LOCK_WAIT})", timeout=LOCK_WAIT + 10.0) or 0):
            return
        holder = await conn.value(f"SELECT IS_USED_LOCK({lock})")
        if attempt == 0 and holder is not None:
            await conn.query(f"KILL {int(holder)}")
    raise ConnectionLost(
        0, "another connection applies for this deployment and does not end", where=conn.where,
        mend="Is a second segue daemon running? SHOW PROCESSLIST there names it",
    )  # fmt: skip
