"""One daemon acts for a deployment: a named lock and a row on each server, besides the lock on the state_dir.

The lock on the state_dir keeps two daemons of one machine apart, not a daemon that was started elsewhere, nor one
that was stopped while another took over. So each connection that may fence or open a server takes a named lock there,
which lasts as long as the connection, and finds its own name in the row

    segue.owner: deployment, owner (a uuid kept in the journal), epoch (of the last switchover known here), since

before anything is done with it. Whoever resumes with a dead connection has to take the lock again and meets the row.
An epoch above the journal's means that the state_dir is older than what was done with these servers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from segue.errors import SegueError, ServerError
from segue.sql import Connection, quote

TABLE: Final = "`segue`.`owner`"
_LOCK_WAIT: Final = 1
_READ_ONLY: Final = frozenset({1290, 1836, 1223})


class NotOwner(SegueError):  # noqa: N818 - names what is
    """Another daemon acts for this deployment: this one must not go on."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What this daemon is."""

    deployment: str
    owner: str
    epoch: Callable[[], int]
    may_make: Callable[[], bool] = lambda: True
    """Whether a missing row may be made now: a server that is being cloned would make the statement wait, and the daemon."""

    async def take(self, conn: Connection) -> None:
        """Lock, and find or make our row. Raises NotOwner when another daemon has either, with who and what to do."""
        lock = quote("segue.control." + hashlib.sha256(self.deployment.encode()).hexdigest()[:40])
        for attempt in range(3):
            if int(await conn.value(f"SELECT GET_LOCK({lock}, {_LOCK_WAIT})") or 0):
                break
            holder = await conn.value(f"SELECT IS_USED_LOCK({lock})")
            row = await read(conn, self.deployment)
            if row is not None and row[0] == self.owner and holder is not None and attempt < 2:
                # An earlier connection of ours, whose end has not reached the server: the state_dir is ours alone.
                await kill(conn, int(holder))
                continue
            raise NotOwner(
                f"{conn.where}: another segue acts for deployment '{self.deployment}' (connection {holder})",
                mend="Stop that daemon; SHOW PROCESSLIST there says from where it connects",
            )
        await self.verify(conn, make=True)

    async def verify(self, conn: Connection, *, make: bool = False) -> None:
        """Is the row ours still? Raises NotOwner; with `make` an absent row is made."""
        row = await read(conn, self.deployment)
        if row is None:
            if make and self.may_make():
                await self._make(conn)
            return
        owner, epoch = row
        if owner != self.owner:
            raise NotOwner(
                f"{conn.where}: deployment '{self.deployment}' belongs to another segue ({owner}), not to this one"
                f" ({self.owner})",
                mend="Start that one. If its state_dir is lost: stop all daemons, make the standby equal, and"
                f" DELETE FROM {TABLE} WHERE deployment = '{self.deployment}' on both servers",
            )
        if epoch > self.epoch() + 1:
            raise NotOwner(
                f"{conn.where}: the servers are at epoch {epoch} of deployment '{self.deployment}', the journal knows"
                f" {self.epoch()}: the state_dir is an old copy",
                mend="Use the newest state_dir; an old journal does not know which side is active",
            )

    async def _make(self, conn: Connection) -> None:
        try:
            await ensure(conn)
            await self.write(conn, self.epoch())
        except ServerError as error:
            if error.code not in _READ_ONLY:  # fenced now: the row is made with the next switchover
                raise

    async def withdraw(self, conn: Connection) -> None:
        """A first start was refused: nothing of it stays."""
        await conn.query(
            f"DELETE FROM {TABLE} WHERE deployment = {quote(self.deployment)} AND owner = {quote(self.owner)}"
        )

    async def write(self, conn: Connection, epoch: int) -> None:
        """Set the row to this epoch."""
        await ensure(conn)
        await conn.query(
            f"REPLACE INTO {TABLE} (deployment, owner, epoch, since) VALUES"
            f" ({quote(self.deployment)}, {quote(self.owner)}, {epoch}, NOW(6))"
        )


async def ensure(conn: Connection) -> None:
    """Make the table where it is missing."""
    there = await conn.query(
        "SELECT 1 AS x FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'segue' AND TABLE_NAME = 'owner'"
    )
    if not there:
        await conn.query("CREATE SCHEMA IF NOT EXISTS `segue`")
        await conn.query(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
            " PRIMARY KEY, owner VARCHAR(36) CHARACTER SET ascii NOT NULL, epoch BIGINT NOT NULL,"
            " since TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
        )


async def read(conn: Connection, deployment: str) -> tuple[str, int] | None:
    """(owner, epoch) as committed; None where there is none."""
    try:
        rows = await conn.query(f"SELECT owner, epoch FROM {TABLE} WHERE deployment = {quote(deployment)}")
    except ServerError as error:
        if error.code in (1146, 1049):
            return None
        raise
    return (str(rows[0]["owner"]), int(rows[0]["epoch"])) if rows else None


async def kill(conn: Connection, connection_id: int) -> None:
    """End another connection; one that is gone already is fine."""
    try:
        await conn.query(f"KILL {connection_id}")
    except ServerError as error:
        if error.code != 1094:  # no such thread
            raise


__all__ = ["Claim", "NotOwner", "ensure", "kill", "read"]
