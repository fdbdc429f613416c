"""Every difference between MySQL and MariaDB, and between their versions, lives in this room.

Enters: a connection. Leaves: a `Flavour` object whose methods answer in Segue's terms (position, fence,
standby) whatever the server. It must not know about roles, clients or the switchover's order: it does what it
is told to the one server it is given.
"""

from __future__ import annotations

from segue.errors import ServerError
from segue.flavour.base import Flavour, Identity, Session
from segue.flavour.mariadb import MariaDB
from segue.flavour.mysql import MySQL
from segue.sql import Connection

__all__ = ["Flavour", "Identity", "MariaDB", "MySQL", "Session", "detect"]


async def detect(conn: Connection) -> Flavour:
    """Which flavour this server is. Raises ServerError for one too old to serve."""
    text = str(await conn.value("SELECT VERSION()"))
    comment = str(await conn.value("SELECT @@version_comment"))
    kind: type[Flavour] = MariaDB if "mariadb" in f"{text} {comment}".lower() else MySQL
    version = tuple(int(part) for part in text.split("-", maxsplit=1)[0].split(".")[:3] if part.isdigit())
    if version < kind.oldest:
        oldest = ".".join(map(str, kind.oldest))
        raise ServerError(
            0, f"{kind.label} {text} is older than {oldest}", where=conn.where, mend="Use a newer server"
        )
    return await kind.create(conn, version, text)
