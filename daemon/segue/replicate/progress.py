"""How far a target has got: one row in `segue.progress` on the target, written with the data it stands for.

deployment  the deployment's name, primary key
source_id   the server the position belongs to (`Identity.source_id`)
position    GTID set, MariaDB GTID position, or file:offset: everything up to here is on this server
epoch       number of the role assignment; a replicator of an older one must not write
transactions  applied since the row was made
"""

from __future__ import annotations

from dataclasses import dataclass

from segue.replicate import held
from segue.sql import Connection, quote

TABLE = "`segue`.`progress`"


@dataclass(frozen=True, slots=True)
class Progress:
    source_id: str
    position: str
    epoch: int
    transactions: int


async def ensure(conn: Connection) -> None:
    """Make schema and table where they are missing; on a server that has them nothing is written."""
    there = await conn.query(
        "SELECT 1 AS x FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'segue'"
        " AND TABLE_NAME IN ('progress', 'held')"
    )
    if len(there) == 2:
        return
    await conn.query("CREATE SCHEMA IF NOT EXISTS `segue`")
    await conn.query(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
        " PRIMARY KEY, source_id VARCHAR(64) NOT NULL, position LONGTEXT NOT NULL, epoch BIGINT NOT NULL,"
        " transactions BIGINT NOT NULL DEFAULT 0, updated TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))"
        " ENGINE=InnoDB DEFAULT CHARACTER SET ascii"
    )
    await conn.query(held.CREATE)


async def read(conn: Connection, deployment: str) -> Progress | None:
    """The row as committed; None when there is none. The table must exist."""
    rows = await conn.query(
        f"SELECT source_id, position, epoch, transactions FROM {TABLE} WHERE deployment = {quote(deployment)}"
    )
    if not rows:
        return None
    row = rows[0]
    return Progress(str(row["source_id"]), str(row["position"]), int(row["epoch"]), int(row["transactions"]))


async def initialise(conn: Connection, deployment: str, source_id: str, position: str, epoch: int) -> None:
    """Set the row, whatever it was: from here on `position` of `source_id` counts, with nothing prepared before it."""
    await conn.query(
        f"REPLACE INTO {TABLE} (deployment, source_id, position, epoch, transactions, updated) VALUES"
        f" ({quote(deployment)}, {quote(source_id)}, {quote(position)}, {epoch}, 0, NOW(6))"
    )
    await held.forget(conn, deployment)


def advance(deployment: str, position: str, transactions: int) -> bytes:
    """The statement that moves the row on, for the same commit as the data."""
    return (
        f"UPDATE {TABLE} SET position = {quote(position)}, transactions = transactions + {transactions},"
        f" updated = NOW(6) WHERE deployment = {quote(deployment)}"
    ).encode()
