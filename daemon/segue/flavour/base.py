"""What every flavour answers, and what both do the same way."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from segue.errors import ServerError
from segue.sql import Connection, quote


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one server from another."""

    source_id: str
    """server_uuid on MySQL; server_id and domain on MariaDB, which has no uuid."""
    server_id: int
    uuid: str | None
    hostname: str
    port: int


@dataclass(frozen=True, slots=True)
class Session:
    """One client session on a server, as its process list shows it."""

    id: int
    user: str
    host: str
    database: str
    command: str
    seconds: int
    statement: str


NOT_TRACKED = frozenset(
    {"statement_id", "last_gtid", "last_insert_id", "identity", "insert_id", "pseudo_thread_id", "pseudo_slave_mode",
     "pseudo_replica_mode", "warning_count", "error_count", "rand_seed1", "rand_seed2", "in_transaction"}
)  # fmt: skip
"""Changes with each statement, or belongs to one server."""


@dataclass(frozen=True, slots=True)
class Privilege:
    """A privilege that Segue's account needs, and what for."""

    name: str
    why: str
    optional: bool = False
    """Without it things go another way, slower."""


def session(row: dict[str, Any]) -> Session:
    """From columns id, user, host, db, command, seconds, info."""
    return Session(int(row["id"]), row["user"], row["host"], row["db"], row["command"], int(row["seconds"]), row["info"])


def running_replica(rows: list[dict[str, Any]]) -> str | None:
    """The source's address of the first channel that runs, from SHOW REPLICA STATUS under any of its names."""
    for row in rows:
        lower = {k.lower().replace("slave", "replica").replace("master", "source"): v for k, v in row.items()}
        if "Yes" in (lower.get("replica_io_running"), lower.get("replica_sql_running")):
            return f"{lower.get('source_host')}:{lower.get('source_port')}"
    return None


def resting_replica(rows: list[dict[str, Any]], skip: dict[str, str]) -> str | None:
    """The source's address of the first channel that the server starts when it is started; `skip` are its variables."""
    if any(value.upper() in ("ON", "1") for value in skip.values()):
        return None
    for row in rows:
        lower = {k.lower().replace("master", "source"): v for k, v in row.items()}
        if lower.get("source_host"):
            return f"{lower['source_host']}:{lower.get('source_port')}"
    return None


SKIP_START = ("skip_replica_start", "skip_slave_start")


class Flavour(ABC):
    """One server's ways. Methods take the connection to use; they raise ServerError and ConnectionLost."""

    name: ClassVar[str]
    label: ClassVar[str]
    oldest: ClassVar[tuple[int, ...]]
    needed: ClassVar[tuple[Privilege, ...]]
    apply_session: ClassVar[tuple[str, ...]]
    """What a session that applies BINLOG statements must set, after its format description."""
    reading_session: ClassVar[str]
    """What a session must set so that equal values read as equal text on every server: one statement."""
    rows_v2: ClassVar[bool]
    """BINLOG takes row events of version 2 (types 30 to 32), else of version 1 (23 to 25)."""
    row_flags: ClassVar[int]
    """The flags of a row event that it knows; others are the other flavour's."""
    cascades_logged = False
    """Changes that foreign keys cascade are in the binlog, else the engine repeats them on a target."""
    stop_replica: ClassVar[str]
    """The statement that ends the server's own replication."""
    forget_replica: ClassVar[str]
    """The statement after which a restart does not begin it again."""
    dump_is_mariadb: ClassVar[bool]
    """How mysql-replication has to ask for the binlog, and how positions are written."""

    def __init__(self, version: tuple[int, ...], version_text: str, gtid: bool) -> None:
        self.version = version
        self.version_text = version_text
        self.gtid = gtid

    @classmethod
    @abstractmethod
    async def create(cls, conn: Connection, version: tuple[int, ...], text: str) -> Self:
        """Look at the server once and make its flavour object."""

    @abstractmethod
    async def identify(self, conn: Connection) -> Identity:
        """Who this server is."""

    @abstractmethod
    async def position(self, conn: Connection) -> str:
        """Where its binlog ends now: a GTID set, a MariaDB GTID position, or file:offset."""

    async def collations(self, conn: Connection) -> dict[int, tuple[str, str]]:
        """Collation id, as table maps give it, -> (character set, collation)."""
        rows = await conn.query(
            "SELECT ID AS i, CHARACTER_SET_NAME AS s, COLLATION_NAME AS c FROM information_schema.COLLATIONS"
            " WHERE ID IS NOT NULL AND CHARACTER_SET_NAME IS NOT NULL"
        )
        return {int(r["i"]): (str(r["s"]), str(r["c"])) for r in rows}

    @abstractmethod
    def column_default(self, raw: str | None, extra: str) -> tuple[str | None, bool]:
        """COLUMN_DEFAULT and EXTRA of information_schema.COLUMNS as (plain text or None, whether it is computed)."""

    @abstractmethod
    async def purged(self, conn: Connection, position: str) -> str | None:
        """What of the stream behind `position` the server no longer has; None when it has all, or cannot say."""

    @abstractmethod
    async def never_had(self, conn: Connection, position: str) -> str | None:
        """What of `position`, which is of this server's kind, the server has never executed; None when it has all."""

    @abstractmethod
    async def fence(self, conn: Connection, timeout: float) -> None:
        """Make the server refuse every write, ours too, until `unfence`. `conn` must stay open meanwhile."""

    @abstractmethod
    async def unfence(self, conn: Connection, *, writable: bool) -> None:
        """Lift the fence: to a writable server, or to a standby that only Segue writes to."""

    @abstractmethod
    async def held_by(self, conn: Connection) -> list[str]:
        """What kind of read-only is on now, by variable name; empty when anybody may write."""

    @abstractmethod
    def grant_for(self, missing: list[str], account: str) -> str:
        """The statement that gives these privileges."""

    @abstractmethod
    async def bypassing_accounts(self, conn: Connection, own_user: str) -> list[str]:
        """Accounts, other than ours and the server's own, that may write despite read_only."""

    @abstractmethod
    async def missing_privileges(self, conn: Connection) -> list[Privilege]:
        """Privileges that Segue's account lacks here."""

    @abstractmethod
    def exact_real(self, column: str) -> str:
        """SQL text of a FLOAT or DOUBLE column in which any two stored values differ; the same on both flavours."""

    @abstractmethod
    async def visible(self, conn: Connection, position: str, limit: float) -> bool:
        """Wait until every snapshot taken from now on shows what is up to `position`; False after `limit` seconds.

        A dump thread may send a transaction before its commit is visible.
        """

    @abstractmethod
    async def settled(self, conn: Connection, limit: float) -> str:
        """A position that contains every transaction whose changes can be seen now.

        Raises ServerError when transactions that are on their way do not end within `limit` seconds.
        """

    @abstractmethod
    async def sort_keys(self, conn: Connection, tables: int) -> None:
        """Room and threads for the secondary keys that `conn` will make, of one of so many tables at the same time."""

    @abstractmethod
    async def overlap(self, conn: Connection, *, on: bool) -> None:
        """Row events that find their row there already, or not there any more, are no error while it is on.

        `conn` is the one that applies them; where the server knows this for all only, it is set for all.
        """

    @abstractmethod
    async def overlap_globals(self, conn: Connection) -> dict[str, str]:
        """Global variables that `overlap` changes, as they are now."""

    async def make_standby(self, conn: Connection) -> None:
        """Only accounts with the right to bypass read_only, ours that is, may write from now on."""
        await self.unfence(conn, writable=False)

    async def is_writable(self, conn: Connection) -> bool:
        return not await self.held_by(conn)

    async def sessions(self, conn: Connection) -> list[Session]:
        """All client sessions but our own connection."""
        rows = await conn.query(
            "SELECT ID AS id, USER AS user, COALESCE(HOST,'') AS host, COALESCE(DB,'') AS db, COMMAND AS command,"
            " COALESCE(TIME,0) AS seconds, COALESCE(LEFT(INFO,200),'') AS info"
            " FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()"
        )
        return [
            Session(int(r["id"]), r["user"], r["host"], r["db"], r["command"], int(r["seconds"]), r["info"])
            for r in rows
        ]

    async def open_transactions(self, conn: Connection) -> list[Session]:
        """Sessions with an open transaction that has changed rows, longest first."""
        rows = await conn.query(
            "SELECT p.ID AS id, p.USER AS user, p.HOST AS host, COALESCE(p.DB,'') AS db, p.COMMAND AS command,"
            " TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS seconds, COALESCE(LEFT(p.INFO,200),'') AS info"
            " FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p"
            " ON p.ID = t.trx_mysql_thread_id WHERE t.trx_rows_modified > 0 AND p.ID <> CONNECTION_ID()"
            " ORDER BY t.trx_started"
        )
        return [
            Session(int(r["id"]), r["user"], r["host"], r["db"], r["command"], int(r["seconds"]), r["info"])
            for r in rows
        ]

    @abstractmethod
    async def table_locks(self, conn: Connection) -> list[Session]:
        """Sessions that hold LOCK TABLES or FLUSH TABLES WITH READ LOCK; `statement` says which, as far as it is known."""

    @abstractmethod
    async def replica_running(self, conn: Connection) -> str | None:
        """The server that this one follows by its own replication; None when it follows none."""

    @abstractmethod
    async def replica_at_rest(self, conn: Connection) -> str | None:
        """The server that this one would follow by itself after its next restart, though it does not now."""

    async def binlog_seconds(self, conn: Connection) -> float:
        """How long binlogs are kept; 0 for ever."""
        have = await self.variables(conn, "binlog_expire_logs_seconds", "expire_logs_days")
        return float(have.get("binlog_expire_logs_seconds") or 0) or float(have.get("expire_logs_days") or 0) * 86400

    @abstractmethod
    async def short_of_room(self, conn: Connection) -> str | None:
        """What shows that the server waits for room on its disk; None when nothing does."""

    async def started(self, conn: Connection) -> float:
        """When the server was started, Unix seconds on its own clock, right to a second or two."""
        rows = await conn.query("SHOW GLOBAL STATUS LIKE 'Uptime'")
        return float(await conn.value("SELECT UNIX_TIMESTAMP(NOW(6))")) - float(rows[0]["Value"])

    async def variables(self, conn: Connection, *names: str) -> dict[str, str]:
        """Global variables by lower-case name; a name the server does not know is absent."""
        wanted = ",".join(f"'{n}'" for n in names)
        rows = await conn.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")
        return {str(r["Variable_name"]).lower(): str(r["Value"]) for r in rows}

    @abstractmethod
    async def session_variables(self, conn: Connection) -> list[str]:
        """Names of the system variables that a session may set for itself and that a move has to carry."""

    async def facts(self, conn: Connection, ids: list[int]) -> dict[int, dict[str, list[str]]]:  # noqa: ARG002 - MySQL asks
        """What the server's tables say of connections: `variables` (user variables), `locks` (GET_LOCK),
        `temporary` (tables). Empty where a session is asked in its own connection."""
        return {}

    async def double_hashes(self, conn: Connection, users: list[str]) -> dict[str, list[str]]:
        """SHA1(SHA1(password)) in hex of these users' mysql_native_password accounts; empty without SELECT there."""
        listed = ", ".join(quote(u) for u in users) or "NULL"
        try:
            rows = await conn.query(
                "SELECT User AS u, authentication_string AS a FROM mysql.user"
                f" WHERE plugin = 'mysql_native_password' AND User IN ({listed})"
            )
        except ServerError:
            return {}
        found: dict[str, list[str]] = {}
        for row in rows:
            text = str(row["a"] or "")
            if len(text) == 41 and text[0] == "*":
                found.setdefault(str(row["u"]), []).append(text[1:])
        return found

    @abstractmethod
    async def account_rows(self, conn: Connection, user: str) -> list[dict[str, Any]]:
        """Accounts of this user: `user`, `host`, and what `restore_account` needs to put them back to the byte."""

    @abstractmethod
    async def add_password(self, conn: Connection, row: dict[str, Any], password: str) -> None:
        """Let the account log in with this password too, outside the binlog; effective after `reload_accounts`."""

    @abstractmethod
    async def restore_account(self, conn: Connection, row: dict[str, Any]) -> None:
        """Put back what the row held."""

    async def reload_accounts(self, conn: Connection) -> None:
        await conn.query("FLUSH LOCAL PRIVILEGES")

    async def granted(self, conn: Connection) -> str:
        """The account's global privileges, upper case, comma-separated, from SHOW GRANTS."""
        names: list[str] = []
        for row in await conn.query("SHOW GRANTS FOR CURRENT_USER()"):
            text = str(next(iter(row.values())))
            head, separator, _ = text.partition(" ON *.* TO ")
            if separator and head.startswith("GRANT "):
                names += [p.strip().upper() for p in head[len("GRANT ") :].split(",")]
        return ",".join(names)


_NOW = re.compile(r"^(?:current_timestamp|now|localtime|localtimestamp)(?:\((\d*)\))?$", re.IGNORECASE)


def one_name_for_now(text: str) -> str | None:
    """CURRENT_TIMESTAMP or CURRENT_TIMESTAMP(n) for all its spellings; None for what is none of them."""
    match = _NOW.match(text)
    if match is None:
        return None
    digits = (match[1] or "").strip("0")
    return f"CURRENT_TIMESTAMP({digits})" if digits else "CURRENT_TIMESTAMP"
