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

__all__ = ["Flavour", "Identity", "MariaDB", "MySQL", "Session", "carried_default", "common_capabilities", "detect"]

_ONE_FLAVOURS = 1 << 25 | 1 << 28 | 1 << 29
"""Optional result set metadata and multi-factor logins of MySQL, the old progress reports of MariaDB."""


def common_capabilities(one: Flavour | None, two: Flavour | None) -> tuple[int, int]:
    """Masks of what clients may be offered who shall be able to move between these two: of the protocol's capabilities
    and of MariaDB's extended ones. Everything while one of them is not known."""
    if one is None or two is None or one.name == two.name:
        return -1, -1
    return ~_ONE_FLAVOURS, 0


_ALIKE = frozenset({
    "sql_mode", "time_zone", "autocommit", "group_concat_max_len", "div_precision_increment", "sql_safe_updates",
    "sql_select_limit", "max_sort_length", "default_week_format", "lc_time_names", "wait_timeout", "interactive_timeout",
    "net_read_timeout", "net_write_timeout", "foreign_key_checks", "unique_checks", "innodb_lock_wait_timeout",
    "lock_wait_timeout", "sql_auto_is_null", "auto_increment_increment", "auto_increment_offset",
    "explicit_defaults_for_timestamp",
})  # fmt: skip
"""Session variables that both flavours have, with values that mean the same."""


def carried_default(name: str, value: str, one: Flavour, two: Flavour) -> str | None:
    """What a session on `two` is given of `one`'s default of a variable that the session never set; None for nothing.

    Between flavours only what an application's statements notice is carried: a storage engine's or an optimizer's
    variable of the same name takes other values there."""
    if one.name == two.name:
        return value
    if name not in _ALIKE:
        return None
    if name == "sql_mode":  # MySQL 8.0 and newer do not know this one and behave as if it were set
        return ",".join(mode for mode in value.split(",") if mode != "NO_AUTO_CREATE_USER")
    return value


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
