"""MySQL's CLONE plugin: what it needs, how it is asked, what it says of itself. Source: the Reference Manual, "The Clone Plugin".

MariaDB has nothing like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from segue.binlog.positions import GtidSet
from segue.errors import ServerError

if TYPE_CHECKING:
    from segue.config import Endpoint
    from segue.flavour.base import Flavour
    from segue.sql import Connection

OLDEST: Final = (8, 0, 17)
NOT_RESTARTED: Final = 3707
"""All is cloned; the server has shut down, and nobody is there to start it."""
BUSY: Final = 3634
"""Another clone is under way."""
_SYSTEM = "('mysql', 'sys', 'information_schema', 'performance_schema', 'segue')"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a clone cannot be: one sentence, and what to do about it."""

    sentence: str
    mend: str


async def obstacle(source: tuple[Flavour, Connection], target: tuple[Flavour, Connection]) -> Obstacle | None:
    """The first thing that is not as a clone needs it; None when all is."""
    (here, _), (there, _) = source, target
    for flavour, conn in (source, target):
        if flavour.name != "mysql" or flavour.version < OLDEST:
            return Obstacle(f"only MySQL 8.0.17 and newer can be cloned; {conn.where} is {flavour.label} {flavour.version_text}",
                            "segue seed without --clone fills it")  # fmt: skip
    if here.version != there.version:
        return Obstacle(f"a clone needs the same version on both sides, not {here.version_text} and {there.version_text}",
                        "segue seed without --clone fills it")  # fmt: skip
    for (flavour, conn), needed in ((source, "BACKUP_ADMIN"), (target, "CLONE_ADMIN")):
        if not flavour.gtid:
            return Obstacle(f"a clone needs gtid_mode = ON on {conn.where}", "Set it there, step by step as its manual says")
        status = await conn.value("SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'")
        if status != "ACTIVE":
            return Obstacle(f"the clone plugin is not loaded on {conn.where}",
                            f"On {conn.where}: INSTALL PLUGIN clone SONAME 'mysql_clone.so';")  # fmt: skip
        if needed not in (await flavour.granted(conn)).split(","):
            user, _, host = str(await conn.value("SELECT CURRENT_USER()")).rpartition("@")
            grant = flavour.grant_for([needed], f"'{user}'@'{host}'")
            return Obstacle(f"Segue's account lacks {needed} on {conn.where}", f"On {conn.where}: {grant};")
    return await _content(source[1], *target)


async def _content(source: Connection, there: Flavour, target: Connection) -> Obstacle | None:
    """What the source holds that would do harm, or be missing, on the other side."""
    if await source.query("XA RECOVER"):
        return Obstacle(f"{source.where} has prepared XA transactions, whose end the clone would not meet",
                        "XA COMMIT or XA ROLLBACK them, or wait")  # fmt: skip
    strange = await source.query(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS t FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
        f" AND ENGINE <> 'InnoDB' AND TABLE_SCHEMA NOT IN {_SYSTEM} LIMIT 5"
    )
    if strange:
        names = ", ".join(str(r["t"]) for r in strange)
        return Obstacle(f"tables of another engine than InnoDB would arrive empty: {names}", "ALTER TABLE ... ENGINE=InnoDB")
    on = (await there.variables(target, "event_scheduler")).get("event_scheduler", "OFF")
    events = await source.value("SELECT COUNT(*) AS n FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'")
    if on.upper() == "ON" and events:
        return Obstacle(f"{events} enabled events would run on {target.where} as soon as they are cloned",
                        f"On {target.where}: SET PERSIST event_scheduler = OFF;")  # fmt: skip
    return None


async def foreign_schemas(target: Connection) -> list[str]:
    """Schemas on the target in which there is anything: a clone removes them."""
    rows = await target.query(
        f"SELECT DISTINCT TABLE_SCHEMA AS s FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN {_SYSTEM} UNION"
        f" SELECT DISTINCT ROUTINE_SCHEMA FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN {_SYSTEM} UNION"
        f" SELECT DISTINCT EVENT_SCHEMA FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN {_SYSTEM}"
    )
    return sorted(str(r["s"]) for r in rows)


async def source_schemas(source: Connection) -> list[str]:
    """Schemas that come along."""
    rows = await source.query(
        f"SELECT DISTINCT TABLE_SCHEMA AS s FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN {_SYSTEM}"
    )
    return sorted(str(r["s"]) for r in rows)


async def run(target: Connection, donor: Endpoint) -> None:
    """Replace all that the target holds by what the donor holds. Comes back with an error even where all went well.

    The target restarts at the end: the connection is lost, or error NOT_RESTARTED. The donor's account and address
    are used by the target itself. The server keeps the password out of its logs.
    """
    await target.query("SET SESSION sql_mode = ''")
    address = f"{donor.host}:{donor.port}"
    await target.query(f"SET GLOBAL clone_valid_donor_list = {_literal(address)}")
    password = donor.password.get_secret_value() if donor.password else ""
    tls = " REQUIRE SSL" if donor.tls not in ("disabled", "preferred") else ""
    await target.query(
        f"CLONE INSTANCE FROM {_literal(donor.user)}@{_literal(donor.host)}:{donor.port}"
        f" IDENTIFIED BY {_literal(password)}{tls}",
        timeout=None,
    )


def _literal(text: str) -> str:
    """For a statement that takes no expression, under an empty sql_mode."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


async def under_way(target: Connection) -> int | None:
    """The connection on which a clone is at work on the target."""
    rows = await target.query(
        "SELECT c.PID AS i FROM performance_schema.clone_status c JOIN information_schema.PROCESSLIST p ON p.ID = c.PID"
        " WHERE c.STATE = 'In Progress'"
    )
    return int(rows[0]["i"]) if rows else None


async def progress(target: Connection) -> dict[str, Any]:
    """`percent`, `bytes` and `rate` of the clone that is under way."""
    rows = await target.query(
        "SELECT COALESCE(SUM(ESTIMATE), 0) AS e, COALESCE(SUM(DATA), 0) AS d, COALESCE(MAX(DATA_SPEED), 0) AS s"
        " FROM performance_schema.clone_progress"
    )
    estimate, done = int(rows[0]["e"]), int(rows[0]["d"])
    percent = min(99.0, 100.0 * done / estimate) if estimate else 0.0
    return {"percent": round(percent, 1), "bytes": done, "rate": int(rows[0]["s"])}


async def cloned_position(target: Connection, own_uuid: str) -> str:
    """Where in the source's binlog a completed clone was made. Raises ServerError when the server does not agree with itself."""
    rows = await target.query("SELECT STATE AS s, GTID_EXECUTED AS g FROM performance_schema.clone_status")
    said = str(rows[0]["g"]).replace("\n", "") if rows and rows[0]["s"] == "Completed" else None
    if said is None:
        raise ServerError(0, "it has no record of a completed clone", where=target.where, mend="segue seed --clone begins anew")
    executed = GtidSet(str(await target.value("SELECT @@GLOBAL.gtid_executed")))
    wrote = executed.of(own_uuid).without(GtidSet(said))
    if executed.without(wrote).text() != GtidSet(said).text():
        raise ServerError(0, f"it was cloned at {said} and has executed {executed.text()}", where=target.where,
                          mend="Something else wrote there: segue seed --clone begins anew")  # fmt: skip
    return GtidSet(said).text()


async def disable_events(target: Connection) -> int:
    """As a seed leaves them; how many there were."""
    rows = await target.query(
        "SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'"
    )
    for row in rows:
        names = (str(row[k]).replace("`", "``") for k in ("s", "n"))
        await target.query(f"ALTER EVENT {'.'.join(f'`{n}`' for n in names)} DISABLE")
    return len(rows)

