"""MariaDB 10.5 to 11.8. Source of names: the MariaDB Knowledge Base, GTID, SHOW GRANTS, FLUSH, read_only."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, ClassVar, Self

import orjson

from segue.binlog.positions import MariaGtid
from segue.errors import ServerError
from segue.flavour.base import (
    NOT_TRACKED,
    SKIP_START,
    Flavour,
    Identity,
    Privilege,
    Session,
    one_name_for_now,
    resting_replica,
    running_replica,
    session,
)
from segue.sql import Connection, quote

_GTID = re.compile(r"(\d+)-(\d+)-(\d+)")
_NO_SUCH_BINLOG, _NO_BINLOG = 1220, 1381
_IDLE = 1.0
"""Seconds after which a snapshot that does not come to the binlog's end is asked for its GTID."""


def _last_of_domains(position: str) -> dict[int, int]:
    return {int(d): int(n) for d, _, n in _GTID.findall(position)}


def _place(file: object, offset: object) -> tuple[int, int]:
    """A place in the binlog as what can be compared: number of the file, bytes."""
    return int(str(file).rpartition(".")[2]), int(str(offset))


def _text(value: str) -> str:
    """A literal for a statement that takes no expression."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


class MariaDB(Flavour):
    name: ClassVar[str] = "mariadb"
    label: ClassVar[str] = "MariaDB"
    oldest: ClassVar[tuple[int, ...]] = (10, 5)
    needed: ClassVar[tuple[Privilege, ...]] = (
        Privilege("REPLICATION SLAVE", "to read the binlog"),
        Privilege("BINLOG MONITOR", "to ask for the binlog position"),
        Privilege("PROCESS", "to see open transactions and sessions"),
        Privilege("READ_ONLY ADMIN", "to set read_only and to write while it is on"),
        Privilege("CONNECTION ADMIN", "to end sessions that bypass the proxy"),
        Privilege("BINLOG REPLAY", "to apply row events with BINLOG", optional=True),
        Privilege("RELOAD", "to take the read lock of the fence"),
        Privilege("SLAVE MONITOR", "to see whether it follows another server by itself"),
        Privilege("EVENT", "to see events"),
        Privilege("SELECT", "to read table definitions and the progress"),
        Privilege("INSERT", "to apply rows"),
        Privilege("UPDATE", "to apply rows"),
        Privilege("DELETE", "to apply rows"),
        Privilege("CREATE", "to make the schema segue"),
    )

    # Else every table map in the target's binlog carries the whole BINLOG statement as its annotation.
    apply_session: ClassVar[tuple[str, ...]] = ("SET SESSION binlog_annotate_row_events = 0",)
    reading_session: ClassVar[str] = (
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00',"
        " sql_select_limit = DEFAULT, foreign_key_checks = 0, max_statement_time = 0,"
        " tx_isolation = 'READ-COMMITTED', character_set_connection = latin1"
    )
    dump_is_mariadb: ClassVar[bool] = True
    stop_replica: ClassVar[str] = "STOP ALL SLAVES;"
    forget_replica: ClassVar[str] = "RESET SLAVE ALL;"
    rows_v2: ClassVar[bool] = False
    row_flags: ClassVar[int] = 0x000F

    @classmethod
    async def create(cls, conn: Connection, version: tuple[int, ...], text: str) -> Self:  # noqa: ARG003 - MySQL asks
        return cls(version, text, gtid=True)

    async def identify(self, conn: Connection) -> Identity:
        row = (
            await conn.query("SELECT @@server_id AS i, @@gtid_domain_id AS d, @@hostname AS h, @@port AS p")
        )[0]
        number = int(row["i"])
        return Identity(f"{row['d']}-{number}", number, None, str(row["h"]), int(row["p"]))

    async def position(self, conn: Connection) -> str:
        return str(await conn.value("SELECT @@GLOBAL.gtid_binlog_pos"))

    async def collations(self, conn: Connection) -> dict[int, tuple[str, str]]:
        if self.version < (10, 10):
            return await super().collations(conn)
        # The UCA-14.0.0 collations have one name for several character sets, and an id with each.
        rows = await conn.query(
            "SELECT ID AS i, CHARACTER_SET_NAME AS s, FULL_COLLATION_NAME AS c"
            " FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL"
        )
        return {int(r["i"]): (str(r["s"]), str(r["c"])) for r in rows}

    def column_default(self, raw: str | None, extra: str) -> tuple[str | None, bool]:  # noqa: ARG002 - MySQL tells there
        if raw is None or raw.upper() == "NULL":
            return None, False
        if len(raw) > 1 and raw[0] == raw[-1] == "'":
            return raw[1:-1].replace("''", "'").replace("\\\\", "\\"), False
        if re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|b'[01]*'|x'[0-9a-f]*'", raw, re.IGNORECASE):
            return raw, False
        return one_name_for_now(raw) or raw, True

    async def purged(self, conn: Connection, position: str) -> str | None:
        # The oldest binlog says at its head what came before it: the last of each domain and server.
        try:
            oldest = str((await conn.query("SHOW BINARY LOGS"))[0]["Log_name"])
            head = await conn.query(f"SHOW BINLOG EVENTS IN {_text(oldest)} LIMIT 5")
        except ServerError as error:
            if error.code in (_NO_SUCH_BINLOG, _NO_BINLOG):  # purged between both; the dump says what is wrong
                return None
            raise
        lists = [str(r["Info"]) for r in head if r["Event_type"] == "Gtid_list"]
        have = _last_of_domains(position)
        for domain, server, number in _GTID.findall(lists[0] if lists else ""):
            if int(number) > have.get(int(domain), -1):
                return f"up to {domain}-{server}-{number}"
        return None

    async def never_had(self, conn: Connection, position: str) -> str | None:
        state = str(await conn.value("SELECT @@GLOBAL.gtid_binlog_state"))
        have = {(d, s): int(n) for d, s, n in _GTID.findall(state)}
        unknown = [f"{d}-{s}-{n}" for d, s, n in _GTID.findall(position) if have.get((d, s), -1) < int(n)]
        return ",".join(unknown) or None

    async def fence(self, conn: Connection, timeout: float) -> None:
        # read_only first, so that no new write begins while the lock waits for running ones; the lock then
        # stops the accounts that bypass read_only. It lives as long as this connection.
        await conn.query(f"SET SESSION lock_wait_timeout = {max(1, int(timeout))}")
        await conn.query("SET GLOBAL read_only = ON", timeout=timeout + 1.0)
        await conn.query("FLUSH TABLES WITH READ LOCK", timeout=timeout + 1.0)

    async def unfence(self, conn: Connection, *, writable: bool) -> None:
        if writable:
            await conn.run("SET GLOBAL read_only = OFF; UNLOCK TABLES")
        else:
            await conn.run("SET GLOBAL read_only = ON; UNLOCK TABLES")

    async def held_by(self, conn: Connection) -> list[str]:
        return ["read_only"] if int(await conn.value("SELECT @@GLOBAL.read_only")) else []

    def exact_real(self, column: str) -> str:
        return f"CAST({column} AS DOUBLE)"

    async def visible(self, conn: Connection, position: str, limit: float) -> bool:
        # gtid_binlog_pos runs ahead of the engine's commit; a consistent snapshot knows its place in the binlog. What
        # was sent stands before the binlog's present end.
        began = time.monotonic()
        status = (await conn.query("SHOW MASTER STATUS"))[0]
        end = _place(status["File"], status["Position"])
        while True:
            await conn.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            rows = await conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'")
            await conn.query("ROLLBACK")
            at = {str(r["Variable_name"]).lower(): str(r["Value"]) for r in rows}
            file, offset = at["binlog_snapshot_file"], at["binlog_snapshot_position"]
            if _place(file, offset) >= end:
                return True
            waited = time.monotonic() - began
            if waited > min(_IDLE, limit / 2):
                # The end can be an event of no transaction. The function reads the file from its beginning, and says
                # NULL where that has an event larger than max_allowed_packet.
                seen = await conn.value(f"SELECT BINLOG_GTID_POS({quote(file)}, {int(offset)})")
                if seen is not None and MariaGtid(str(seen)).contains(MariaGtid(position)):
                    return True
            if waited > limit:
                return False
            await asyncio.sleep(0.02)

    async def settled(self, conn: Connection, limit: float) -> str:  # noqa: ARG002 - MySQL waits
        # Moves when a transaction is written to the binlog, which is before it can be seen.
        return await self.position(conn)

    async def sort_keys(self, conn: Connection, tables: int) -> None:
        pass  # innodb_sort_buffer_size can be given at the server's start only

    async def overlap(self, conn: Connection, *, on: bool) -> None:
        wanted = "IDEMPOTENT" if on else "STRICT"
        if str(await conn.value("SELECT @@GLOBAL.slave_exec_mode")).upper() != wanted:
            await conn.query(f"SET GLOBAL slave_exec_mode = '{wanted}'")

    async def overlap_globals(self, conn: Connection) -> dict[str, str]:
        return {"slave_exec_mode": str(await conn.value("SELECT @@GLOBAL.slave_exec_mode"))}

    def grant_for(self, missing: list[str], account: str) -> str:
        return f"GRANT {', '.join(missing)} ON *.* TO {account}"

    async def missing_privileges(self, conn: Connection) -> list[Privilege]:
        have = set((await self.granted(conn)).split(","))
        if "ALL PRIVILEGES" in have:
            return []
        same = {"BINLOG MONITOR": "REPLICATION CLIENT", "READ_ONLY ADMIN": "READ ONLY ADMIN"}
        return [p for p in self.needed if p.name not in have and same.get(p.name) not in have]

    async def session_variables(self, conn: Connection) -> list[str]:
        rows = await conn.query(
            "SELECT VARIABLE_NAME AS n FROM information_schema.SYSTEM_VARIABLES"
            " WHERE VARIABLE_SCOPE IN ('SESSION', 'SESSION ONLY') AND READ_ONLY = 'NO'"
        )
        return sorted({str(r["n"]).lower() for r in rows} - NOT_TRACKED)

    async def account_rows(self, conn: Connection, user: str) -> list[dict[str, Any]]:
        rows = await conn.query(
            f"SELECT User AS user, Host AS host, Priv AS saved FROM mysql.global_priv WHERE User = {quote(user)}"
        )
        texts = [{k: v.decode() if isinstance(v, bytes) else str(v) for k, v in row.items()} for row in rows]
        return [row for row in texts if not orjson.loads(row["saved"]).get("is_role")]

    async def add_password(self, conn: Connection, row: dict[str, Any], password: str) -> None:
        account = orjson.loads(str(row["saved"]))
        hashed = str(await conn.value(f"SELECT PASSWORD({quote(password)})"))
        ways = account.get("auth_or") or [{}]  # {} is the plugin that stands beside
        account["auth_or"] = [*ways, {"plugin": "mysql_native_password", "authentication_string": hashed}]
        await self._write_account(conn, row, orjson.dumps(account).decode())

    async def restore_account(self, conn: Connection, row: dict[str, Any]) -> None:
        await self._write_account(conn, row, str(row["saved"]))

    @staticmethod
    async def _write_account(conn: Connection, row: dict[str, Any], text: str) -> None:
        await conn.query("SET SESSION sql_log_bin = 0")
        try:
            await conn.query(f"UPDATE mysql.global_priv SET Priv = {quote(text)} WHERE User = {quote(row['user'])}"
                             f" AND Host = {quote(row['host'])}")  # fmt: skip
        finally:
            await conn.query("SET SESSION sql_log_bin = 1")

    async def table_locks(self, conn: Connection) -> list[Session]:
        # Only with the plugin metadata_lock_info can the holders be asked for; without it the fence's limit tells.
        try:
            rows = await conn.query(
                "SELECT DISTINCT p.ID AS id, p.USER AS user, p.HOST AS host, COALESCE(p.DB,'') AS db, p.COMMAND AS command,"
                " p.TIME AS seconds, CONCAT(m.LOCK_MODE, ' ', m.TABLE_SCHEMA, '.', m.TABLE_NAME) AS info"
                " FROM information_schema.METADATA_LOCK_INFO m JOIN information_schema.PROCESSLIST p ON p.ID = m.THREAD_ID"
                " WHERE p.ID <> CONNECTION_ID() AND p.COMMAND = 'Sleep'"
                " AND m.LOCK_MODE IN ('MDL_SHARED_NO_READ_WRITE', 'MDL_SHARED_READ_ONLY', 'MDL_BACKUP_FTWRL2')"
            )
        except ServerError as error:
            if error.code == 1109:
                return []
            raise
        return [session(r) for r in rows]

    async def replica_running(self, conn: Connection) -> str | None:
        return running_replica(await conn.query("SHOW ALL SLAVES STATUS"))

    async def replica_at_rest(self, conn: Connection) -> str | None:
        return resting_replica(await conn.query("SHOW ALL SLAVES STATUS"), await self.variables(conn, *SKIP_START))

    async def short_of_room(self, conn: Connection) -> str | None:
        waiting = int(await conn.value(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%free space%' AND ID <> CONNECTION_ID()"
        ))  # fmt: skip
        return f"{waiting} sessions wait for room on its disk" if waiting else None

    async def bypassing_accounts(self, conn: Connection, own_user: str) -> list[str]:
        rows = await conn.query(
            "SELECT DISTINCT GRANTEE AS a FROM information_schema.USER_PRIVILEGES"
            " WHERE PRIVILEGE_TYPE IN ('SUPER','READ_ONLY ADMIN','READ ONLY ADMIN')"
        )
        own = {own_user, "root", "mariadb.sys", "mysql"}
        return [a for a in (str(r["a"]) for r in rows) if a.split("@")[0].strip("'") not in own]
