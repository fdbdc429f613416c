"""The target's side of a DDL: what is there, has it been done, doing it once.

Theory of exactly-once. A DDL commits by itself, so it cannot share a commit with the progress row. Instead a row in
`segue.ddl` on the target says, before it runs, which statement of the stream it is and what the tables concerned
looked like; afterwards that it is done. A restart that meets the same statement reads the row: *done* is passed;
*running* is judged by comparing the tables with what they were. Both flavours make a single statement wholly or not
at all, so there are only these two cases, save for DROP of several tables, where the rest is dropped, and for RENAME
of several before MariaDB 10.6, where the steps that are left are run. A statement
that the server still runs for a connection which is gone is waited for: each holds a named lock while it runs.

deployment  primary key
at          the statement's GTID on the source, or file:offset behind it
state       running, done
statement   for people
before_it   JSON object: table -> fingerprint, null where there was none
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Final

from segue.config import Endpoint
from segue.errors import ServerError
from segue.flavour import Flavour, detect
from segue.replicate.ddl.event import Ddl
from segue.sql import Connection, connect, name, quote

TABLE: Final = "`segue`.`ddl`"
Key = tuple[str, str]
Prints = dict[str, str | None]
_NO_SUCH_TABLE: Final = frozenset({1146, 1049, 1051, 1932})
_COUNTER: Final = re.compile(r" AUTO_INCREMENT=\d+")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_]")
"""What file names of tables have as @ and four hexadecimal digits (MySQL Reference Manual, "Mapping of Identifiers to
File Names"); letters outside ASCII have codes of their own there."""
_NUMBERS: Final = ("INNODB_TABLES", "INNODB_SYS_TABLES")
"""Views of the engine's tables: MySQL from 8.0; MariaDB and MySQL 5.7."""
_NO_SUCH_VIEW: Final = 1109
LOCK_WAIT: Final = 30
"""Seconds that the statement waits for the tables on the target before it is given up and tried again."""


class Target:
    """A connection of its own: settings of the statement must not reach the rows behind it."""

    def __init__(self, conn: Connection, flavour: Flavour, deployment: str) -> None:
        self.conn = conn
        self.flavour = flavour
        self._deployment = deployment

    @classmethod
    async def open(cls, endpoint: Endpoint, where: str, deployment: str) -> Target:
        """Raises ConnectionLost and ServerError."""
        conn = await connect(endpoint, where=where, program="segue-ddl")
        try:
            return cls(conn, await detect(conn), deployment)
        except BaseException:
            conn.abandon()
            raise

    async def close(self) -> None:
        await self.conn.close()

    # -- what is there -------------------------------------------------------------------------------------

    async def fingerprint(self, table: Key) -> str | None:
        """`number:digest`: the engine's number of the table, empty where it is not known, and its definition's SHA-256.
        None when there is no such table."""
        try:
            row = (await self.conn.query(f"SHOW CREATE TABLE {name(*table)}"))[0]
        except ServerError as error:
            if error.code in _NO_SUCH_TABLE:
                return None
            raise
        text = row.get("Create Table") or row.get("Create View") or ""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        body = _COUNTER.sub("", text.partition("(")[2])
        return f"{await self._number(table)}:{hashlib.sha256(body.encode()).hexdigest()}"

    async def fingerprints(self, tables: Iterable[Key]) -> Prints:
        return {".".join(t): await self.fingerprint(t) for t in dict.fromkeys(tables)}

    async def _number(self, table: Key) -> str:
        """What InnoDB knows the table by; of a partitioned one the numbers of all partitions. Empty for other
        engines, views, and names of which the engine's spelling is not known here."""
        if not all(part.isascii() for part in table):
            return ""
        wanted = "/".join(_UNSAFE.sub(lambda m: f"@{ord(m.group()):04x}", part) for part in table)
        for view in _NUMBERS:
            try:
                rows = await self.conn.query(
                    f"SELECT NAME AS n, TABLE_ID AS i FROM information_schema.{view} WHERE NAME = {quote(wanted)}"
                    f" OR LEFT(NAME, {len(wanted) + 3}) = {quote(wanted + '#P#')}"
                )
            except ServerError as error:
                if error.code == _NO_SUCH_VIEW:
                    continue
                return ""  # it asks for the PROCESS privilege
            # The view may compare without regard to case, in which two tables can differ.
            mine = [r for r in rows if str(r["n"]) == wanted or str(r["n"]).startswith((wanted + "#P#", wanted + "#p#"))]
            return "+".join(sorted(str(r["i"]) for r in mine))
        return ""

    async def exists(self, table: Key) -> bool:
        found = await self.conn.query(
            "SELECT 1 AS x FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = {quote(table[0])} AND TABLE_NAME = {quote(table[1])}"
        )
        return bool(found)

    async def is_empty(self, table: Key) -> bool:
        return not await self.conn.query(f"SELECT 1 AS x FROM {name(*table)} LIMIT 1")

    async def partitions(self, table: Key) -> set[str]:
        rows = await self.conn.query(
            "SELECT PARTITION_NAME AS p FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL"
            f" AND TABLE_SCHEMA = {quote(table[0])} AND TABLE_NAME = {quote(table[1])}"
        )
        return {str(r["p"]).lower() for r in rows}

    async def tables_of(self, schema: str) -> list[str] | None:
        """Base tables; None when there is no such schema."""
        there = await self.conn.query(
            f"SELECT 1 AS x FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {quote(schema)}"
        )
        if not there:
            return None
        rows = await self.conn.query(
            "SELECT TABLE_NAME AS t FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
            f" AND TABLE_SCHEMA = {quote(schema)}"
        )
        return [str(r["t"]) for r in rows]

    # -- the journal ---------------------------------------------------------------------------------------

    async def take_lock(self) -> bool:
        """False while a statement of an earlier connection still runs there."""
        digest = hashlib.sha256(self._deployment.encode()).hexdigest()[:40]
        return bool(int(await self.conn.value(f"SELECT GET_LOCK({quote('segue.ddl.' + digest)}, 1)") or 0))

    async def entry(self, at: str) -> tuple[str, Prints] | None:
        """(state, fingerprints before) of the statement at `at`, if it was begun here."""
        there = await self.conn.query(
            "SELECT 1 AS x FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'segue' AND TABLE_NAME = 'ddl'"
        )
        if not there:
            await self.conn.query(
                f"CREATE TABLE IF NOT EXISTS {TABLE} (deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin"
                " NOT NULL PRIMARY KEY, at VARCHAR(200) NOT NULL, state VARCHAR(16) NOT NULL, statement LONGTEXT NOT NULL,"
                " before_it LONGTEXT NOT NULL, changed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))"
                " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
            )
            return None
        rows = await self.conn.query(
            f"SELECT state, before_it FROM {TABLE} WHERE deployment = {quote(self._deployment)} AND at = {quote(at)}"
        )
        return (str(rows[0]["state"]), json.loads(rows[0]["before_it"])) if rows else None

    async def write(self, ddl: Ddl, state: str, before: Prints) -> None:
        await self.conn.query(
            f"REPLACE INTO {TABLE} (deployment, at, state, statement, before_it, changed) VALUES"
            f" ({quote(self._deployment)}, {quote(ddl.at)}, '{state}', {quote(ddl.shown)}, {quote(json.dumps(before))},"
            " NOW(6))"
        )

    async def execute(self, ddl: Ddl, text: str, schema: str, *, same_flavour: bool) -> None:
        """Run it under the session of the source. Raises ServerError with the server's reason, ConnectionLost."""
        if schema and await self.tables_of(schema) is not None:
            await self.conn.query(f"USE {name(schema)}")
        settings = [f"lock_wait_timeout = {LOCK_WAIT}", *ddl.session.settings(same_flavour=same_flavour)]
        for one in settings:
            await self.conn.query(f"SET SESSION {one}")
        try:
            await self.conn.query(text, timeout=None)
        finally:
            if not self.conn.closed:
                await self.conn.run("SET SESSION timestamp = DEFAULT, foreign_key_checks = 1, sql_mode = DEFAULT")
