"""XA transactions prepared on the source, kept on the target until their outcome: `segue.held`.

deployment, xid  whose, and the xid as the servers write it
part, data       their events (replicate/xa.py), cut into pieces that fit a packet
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from segue.replicate.xa import Xid
from segue.sql import Connection, quote

TABLE = "`segue`.`held`"
_PIECE: Final = 1 << 20
CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
    " xid VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, part INT NOT NULL, data LONGBLOB NOT NULL,"
    " PRIMARY KEY (deployment, xid, part)) ENGINE=InnoDB DEFAULT CHARACTER SET ascii"
)


async def read(conn: Connection, deployment: str) -> dict[Xid, bytes]:
    """All that is prepared as of the progress row."""
    rows = await conn.query(
        f"SELECT xid, data FROM {TABLE} WHERE deployment = {quote(deployment)} ORDER BY xid, part"
    )
    found: dict[Xid, bytes] = {}
    for row in rows:
        found[str(row["xid"])] = found.get(str(row["xid"]), b"") + bytes(row["data"])
    return found


def changes(deployment: str, held: Mapping[Xid, bytes | None]) -> Iterable[bytes]:
    """The statements that make the table hold what a batch leaves prepared (bytes) or ends (None)."""
    if not held:
        return
    listed = ", ".join(map(quote, held))
    yield f"DELETE FROM {TABLE} WHERE deployment = {quote(deployment)} AND xid IN ({listed})".encode()
    for xid, data in held.items():
        if data is None:
            continue
        for part, at in enumerate(range(0, max(len(data), 1), _PIECE)):
            piece = data[at : at + _PIECE].hex()
            yield (
                f"INSERT INTO {TABLE} (deployment, xid, part, data) VALUES"
                f" ({quote(deployment)}, {quote(xid)}, {part}, X'{piece}')"
            ).encode()


async def forget(conn: Connection, deployment: str) -> None:
    """Nothing is prepared: a new source counts from here on."""
    await conn.query(f"DELETE FROM {TABLE} WHERE deployment = {quote(deployment)}")
