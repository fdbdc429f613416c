"""MySQL 5.7 to 9.7. Source of names: the MySQL Reference Manual, chapters on replication and privileges."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from secrets import token_hex
from typing import Any, ClassVar, Self

from segue.binlog.positions import GtidSet, parse
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

PARSE_ERROR = 1064
_KEY_ROOM = 32 << 20
"""Bytes in which the keys of one table are sorted, where the server gives less."""


class MySQL(Flavour):
    name: ClassVar[str] = "mysql"
    label: ClassVar[str] = "MySQL"
    oldest: ClassVar[tuple[int, ...]] = (5, 7)
    needed: ClassVar[tuple[Privilege, ...]] = (
        Privilege("REPLICATION SLAVE", "to read the binlog"),
        Privilege("REPLICATION CLIENT", "to ask for the binlog position"),
        Privilege("PROCESS", "to see open transactions and sessions"),
        Privilege("CONNECTION_ADMIN", "to write while read_only is on"),
        Privilege("SYSTEM_VARIABLES_ADMIN", "to set read_only and super_read_only"),
        Privilege("REPLICATION_APPLIER", "to apply row events with BINLOG", optional=True),
        Privilege("XA_RECOVER_ADMIN", "to see prepared XA transactions"),
        Privilege("EVENT", "to see events"),
        Privilege("SELECT", "to read table definitions and the progress"),
        Privilege("INSERT", "to apply rows"),
        Privilege("UPDATE", "to apply rows"),
        Privilege("DELETE", "to apply rows"),
        Privilege("CREATE", "to make the schema segue"),
    )

    # The description event leaves gtid_next at a value that refuses the next BEGIN (error 1782).
    apply_session: ClassVar[tuple[str, ...]] = ("SET SESSION gtid_next = 'AUTOMATIC'",)
    # Digits become text in character_set_connection: latin1 costs a fifth of a narrow row's hash less than utf8mb4.
    reading_session: ClassVar[str] = (
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00',"
        " sql_select_limit = DEFAULT, foreign_key_checks = 0, max_execution_time = 0, range_optimizer_max_mem_size = 0,"
        " transaction_isolation = 'READ-COMMITTED', character_set_connection = latin1"
    )
    dump_is_mariadb: ClassVar[bool] = False
    stop_replica: ClassVar[str] = "STOP REPLICA;"
    forget_replica: ClassVar[str] = "RESET REPLICA ALL;"
    rows_v2: ClassVar[bool] = True  # 9.7 refuses version 1
    row_flags: ClassVar[int] = 0xFFFF

    @classmethod
    async def create(cls, conn: Connection, version: tuple[int, ...], text: str) -> Self:
        mode = await conn.value("SELECT @@gtid_mode")
        flavour = cls(version, text, str(mode).upper() in ("ON", "ON_PERMISSIVE"))
        if version >= (9, 6):
            native = await flavour.variables(conn, "innodb_native_foreign_keys")
            flavour.cascades_logged = native.get("innodb_native_foreign_keys", "OFF").upper() == "OFF"
        return flavour

    async def identify(self, conn: Connection) -> Identity:
        row = (await conn.query("SELECT @@server_uuid AS u, @@server_id AS i, @@hostname AS h, @@port AS p"))[0]
        return Identity(str(row["u"]), int(row["i"]), str(row["u"]), str(row["h"]), int(row["p"]))

    async def position(self, conn: Connection) -> str:
        if self.gtid:
            return str(await conn.value("SELECT @@GLOBAL.gtid_executed")).replace("\n", "")
        statement = "SHOW BINARY LOG STATUS" if self.version >= (8, 2) else "SHOW MASTER STATUS"
        rows = await conn.query(statement)
        if not rows:
            raise ServerError(0, "the binary log is off", where=conn.where, mend="Start the server with log_bin")
        return f"{rows[0]['File']}:{rows[0]['Position']}"

    def column_default(self, raw: str | None, extra: str) -> tuple[str | None, bool]:
        if raw is None:
            return None, False
        computed = "DEFAULT_GENERATED" in extra.upper()
        if computed or self.version < (8, 0):  # 5.7 tells a computed default only by its only kind
            now = one_name_for_now(raw)
            if now is not None:
                return now, True
        return raw, computed

    async def purged(self, conn: Connection, position: str) -> str | None:
        if not self.gtid:
            file = position.rpartition(":")[0]
            logs = {str(r["Log_name"]) for r in await conn.query("SHOW BINARY LOGS")}
            return None if file in logs else f"file {file}"
        gone = await conn.value(f"SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, {quote(position)})")
        return str(gone).replace("\n", "") or None

    async def never_had(self, conn: Connection, position: str) -> str | None:
        if not self.gtid:
            here = await self.position(conn)
            return None if parse(here, mariadb=False).contains(parse(position, mariadb=False)) else position
        unknown = await conn.value(f"SELECT GTID_SUBTRACT({quote(position)}, @@GLOBAL.gtid_executed)")
        return str(unknown).replace("\n", "") or None

    async def fence(self, conn: Connection, timeout: float) -> None:
        # super_read_only waits for metadata locks (LOCK TABLES, a running ALTER): the limit makes it fail
        # instead of waiting while clients are held.
        await conn.query(f"SET SESSION lock_wait_timeout = {max(1, int(timeout))}")
        await conn.query("SET GLOBAL super_read_only = ON", timeout=timeout + 1.0)

    async def unfence(self, conn: Connection, *, writable: bool) -> None:
        # read_only = OFF lifts super_read_only too, and super_read_only = OFF leaves read_only as it is.
        if writable:
            await conn.query("SET GLOBAL read_only = OFF")
        else:
            await conn.run("SET GLOBAL read_only = ON; SET GLOBAL super_read_only = OFF")

    async def held_by(self, conn: Connection) -> list[str]:
        row = (await conn.query("SELECT @@GLOBAL.read_only AS r, @@GLOBAL.super_read_only AS s"))[0]
        return [n for n, on in (("read_only", row["r"]), ("super_read_only", row["s"])) if int(on)]

    def exact_real(self, column: str) -> str:
        # An expression's text is cut at 22 characters (seen on 9.7.4), and a FLOAT's at six digits; JSON's is not.
        return f"TRIM(TRAILING _utf8mb4'.0' FROM JSON_EXTRACT(JSON_ARRAY({column}), _utf8mb4'$[0]'))"

    async def visible(self, conn: Connection, position: str, limit: float) -> bool:
        # A GTID joins gtid_executed after the engine has committed it.
        late = await conn.value(
            f"SELECT WAIT_FOR_EXECUTED_GTID_SET({quote(position)}, {limit:.3f})", timeout=limit + 10.0
        )
        return not int(late)

    async def settled(self, conn: Connection, limit: float) -> str:
        # And it is owned from before it is written to the binlog until it has joined: what can be seen and is not
        # in gtid_executed yet is owned now.
        deadline = time.monotonic() + limit
        owned = str(await conn.value("SELECT @@GLOBAL.gtid_owned")).replace("\n", "")
        mine = GtidSet(re.sub(r"#\d+", "", owned)) if owned else None
        while mine is not None:
            left = str(await conn.value("SELECT @@GLOBAL.gtid_owned")).replace("\n", "")
            if not left or not GtidSet(re.sub(r"#\d+", "", left)).overlaps(mine):
                break
            if time.monotonic() > deadline:
                raise ServerError(0, f"transactions {owned} do not end", where=conn.where)
            await asyncio.sleep(0.01)
        return await self.position(conn)

    async def overlap(self, conn: Connection, *, on: bool) -> None:
        if on:  # a new session is strict
            await conn.query("SET SESSION rbr_exec_mode = 'IDEMPOTENT'")

    async def overlap_globals(self, conn: Connection) -> dict[str, str]:  # noqa: ARG002 - MariaDB asks
        return {}

    def grant_for(self, missing: list[str], account: str) -> str:
        return f"GRANT {', '.join(missing)} ON *.* TO {account}"

    async def missing_privileges(self, conn: Connection) -> list[Privilege]:
        have = set((await self.granted(conn)).split(","))
        if "ALL PRIVILEGES" in have or ("SUPER" in have and self.version < (8, 0)):
            return []
        implied = {"REPLICATION_APPLIER": {"BINLOG_ADMIN", "SUPER"}, "CONNECTION_ADMIN": {"SUPER"},
                   "SYSTEM_VARIABLES_ADMIN": {"SUPER"}}  # fmt: skip
        needed = [p for p in self.needed if self.version >= (8, 0) or "_" not in p.name]
        if self.version < (8, 0):
            needed.append(Privilege("SUPER", "to set read_only and to apply row events with BINLOG"))
        return [p for p in needed if p.name not in have and not implied.get(p.name, set()) & have]

    async def session_variables(self, conn: Connection) -> list[str]:
        if self.version >= (9, 0):
            rows = await conn.query(
                "SELECT VARIABLE_NAME AS n FROM performance_schema.variables_metadata WHERE VARIABLE_SCOPE LIKE '%SESSION%'"
            )
        else:  # a global name among them does no harm
            rows = [{"n": r["Variable_name"]} for r in await conn.query("SHOW SESSION VARIABLES")]
        return sorted({str(r["n"]).lower() for r in rows} - NOT_TRACKED)

    async def facts(self, conn: Connection, ids: list[int]) -> dict[int, dict[str, list[str]]]:
        listed = ", ".join(str(n) for n in ids)
        variables, locks, tables = await conn.run(
            "SELECT t.PROCESSLIST_ID AS i, v.VARIABLE_NAME AS n FROM performance_schema.threads t"
            " JOIN performance_schema.user_variables_by_thread v ON v.THREAD_ID = t.THREAD_ID"
            f" WHERE t.PROCESSLIST_ID IN ({listed});"
            "SELECT t.PROCESSLIST_ID AS i, m.OBJECT_NAME AS n FROM performance_schema.metadata_locks m"
            " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
            " WHERE m.OBJECT_TYPE = 'USER LEVEL LOCK' AND m.LOCK_STATUS = 'GRANTED';"
            "SELECT NAME AS n FROM information_schema.INNODB_TEMP_TABLE_INFO",
            count=3,
        )
        found: dict[int, dict[str, list[str]]] = {}
        for kind, rows in (("variables", variables), ("locks", locks)):
            for row in rows:
                found.setdefault(int(row["i"]), {}).setdefault(kind, []).append(_text(row["n"]))
        for row in tables:  # #sql<process>_<connection in hex>_<number>
            parts = _text(row["n"]).removeprefix("#sql").split("_")
            if len(parts) == 3:
                found.setdefault(int(parts[1], 16), {}).setdefault("temporary", []).append("its name is not known")
        return found

    async def sort_keys(self, conn: Connection, tables: int) -> None:
        # With the server's default of 1 MB a merge sort goes over the keys many times: a third of the CPU, measured.
        if self.version < (8, 0, 27):
            return
        names = ("innodb_ddl_buffer_size", "innodb_ddl_threads", "innodb_parallel_read_threads")
        with contextlib.suppress(ServerError):  # keys are made without it, too
            room, *threads = [int(await conn.value(f"SELECT @@GLOBAL.{name}") or 0) for name in names]
            values = [max(_KEY_ROOM, room), *(max(1, n // tables) for n in threads)]
            await conn.query("SET SESSION " + ", ".join(f"{n} = {v}" for n, v in zip(names, values, strict=True)))

    async def account_rows(self, conn: Connection, user: str) -> list[dict[str, Any]]:
        if self.version < (8, 0, 14):
            return []
        rows = await conn.query(
            "SELECT User AS user, Host AS host, plugin, CAST(user_attributes AS CHAR) AS saved FROM mysql.user"
            f" WHERE User = {quote(user)}"
        )
        return [{k: None if v is None else _text(v) for k, v in row.items()} for row in rows]

    async def add_password(self, conn: Connection, row: dict[str, Any], password: str) -> None:
        # The server makes the hash, for an account of a moment: how it is made is the plugin's own affair.
        template = f"'segue_{token_hex(8)}'@'localhost'"
        plugin = str(row["plugin"])
        if plugin not in ("caching_sha2_password", "mysql_native_password", "sha256_password"):
            raise ServerError(0, f"accounts of {plugin} have no second password", where=conn.where)
        await conn.query("SET SESSION sql_log_bin = 0")
        try:
            await conn.query(f"CREATE USER {template} IDENTIFIED WITH {plugin} BY '{password}' ACCOUNT LOCK")
            try:
                await conn.query("SELECT authentication_string INTO @segue_hash FROM mysql.user"
                                 f" WHERE CONCAT(QUOTE(User), '@', QUOTE(Host)) = {quote(template)}")  # fmt: skip
                await conn.query(
                    "UPDATE mysql.user SET user_attributes = JSON_SET(COALESCE(user_attributes, '{}'),"
                    " '$.additional_password', CONVERT(@segue_hash USING utf8mb4))"
                    f" WHERE User = {quote(row['user'])} AND Host = {quote(row['host'])}"
                )
            finally:
                await conn.query(f"DROP USER {template}")
                await conn.query("SET @segue_hash = NULL")
        finally:
            await conn.query("SET SESSION sql_log_bin = 1")

    async def restore_account(self, conn: Connection, row: dict[str, Any]) -> None:
        saved = row["saved"]
        value = "NULL" if saved is None else f"CAST({quote(saved)} AS JSON)"
        await conn.query("SET SESSION sql_log_bin = 0")
        try:
            await conn.query(f"UPDATE mysql.user SET user_attributes = {value} WHERE User = {quote(row['user'])}"
                             f" AND Host = {quote(row['host'])}")  # fmt: skip
        finally:
            await conn.query("SET SESSION sql_log_bin = 1")

    async def table_locks(self, conn: Connection) -> list[Session]:
        try:
            rows = await conn.query(
                "SELECT DISTINCT p.ID AS id, p.USER AS user, p.HOST AS host, COALESCE(p.DB,'') AS db, p.COMMAND AS command,"
                " p.TIME AS seconds, CONCAT(m.LOCK_TYPE, ' on ', COALESCE(CONCAT(m.OBJECT_SCHEMA, '.', m.OBJECT_NAME),"
                " 'everything')) AS info FROM performance_schema.metadata_locks m"
                " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
                " JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID"
                " WHERE m.LOCK_STATUS = 'GRANTED' AND p.ID <> CONNECTION_ID() AND m.LOCK_DURATION = 'EXPLICIT'"
                " AND m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND m.LOCK_TYPE = 'SHARED'"
                " UNION SELECT DISTINCT p.ID, p.USER, p.HOST, COALESCE(p.DB,''), p.COMMAND, p.TIME,"
                " CONCAT(m.LOCK_TYPE, ' on ', m.OBJECT_SCHEMA, '.', m.OBJECT_NAME) FROM performance_schema.metadata_locks m"
                " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
                " JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID"
                " WHERE m.LOCK_STATUS = 'GRANTED' AND p.ID <> CONNECTION_ID() AND m.OBJECT_TYPE = 'TABLE'"
                " AND m.LOCK_TYPE IN ('SHARED_NO_READ_WRITE', 'SHARED_READ_ONLY') AND p.COMMAND = 'Sleep'"
            )
        except ServerError as error:
            if error.code == 1142:  # an account without SELECT on performance_schema
                return []
            raise
        return [session(r) for r in rows]

    async def replica_running(self, conn: Connection) -> str | None:
        return running_replica(await conn.query(self._replica_status))

    async def replica_at_rest(self, conn: Connection) -> str | None:
        return resting_replica(await conn.query(self._replica_status), await self.variables(conn, *SKIP_START))

    @property
    def _replica_status(self) -> str:
        return "SHOW REPLICA STATUS" if self.version >= (8, 0, 22) else "SHOW SLAVE STATUS"

    async def short_of_room(self, conn: Connection) -> str | None:
        # A COMMIT that waits for room has the state of any COMMIT. The process list would need room for itself.
        rows = await conn.query(
            "SELECT COUNT(*) AS n, MAX(PROCESSLIST_TIME) AS t FROM performance_schema.threads"
            " WHERE PROCESSLIST_STATE = 'waiting for handler commit' AND PROCESSLIST_TIME >= 3"
            " AND PROCESSLIST_COMMAND IN ('Query', 'Execute')"  # one that is idle keeps its last state
        )
        if not int(rows[0]["n"]):
            return None
        found = f"{rows[0]['n']} sessions have waited for their COMMIT for up to {rows[0]['t']} s"
        # The server writes it again only ten minutes later.
        said = await conn.value(
            "SELECT DATE_FORMAT(LOGGED, '%H:%i:%s') FROM performance_schema.error_log WHERE LOGGED > NOW() - INTERVAL 660 SECOND"
            " AND (DATA LIKE '%errno 28 %' OR DATA LIKE '%error number 28.%') ORDER BY LOGGED DESC LIMIT 1"
        )
        return found + (f", and its error log says at {said} that its disk is full" if said else "; look at its disk")

    async def bypassing_accounts(self, conn: Connection, own_user: str) -> list[str]:
        rows = await conn.query(
            "SELECT DISTINCT GRANTEE AS a FROM information_schema.USER_PRIVILEGES"
            " WHERE PRIVILEGE_TYPE IN ('SUPER','CONNECTION_ADMIN')"
        )
        return [a for a in (str(r["a"]) for r in rows) if _user(a) not in (own_user, "root") and "mysql." not in a]


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _user(grantee: str) -> str:
    return grantee.split("@", maxsplit=1)[0].strip("'")
