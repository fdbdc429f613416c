"""What a schema holds besides rows: the schemas themselves, views, routines, triggers, events; and accounts.

Made from the source's own SHOW CREATE. What cannot be made does not end the seed: it becomes a note in its report,
with the server's reason, since views and routines may lean on things that are not replicated.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final

from segue.errors import ConnectionLost, ServerError
from segue.log import get_logger
from segue.schema.mapping import Mapping, Name
from segue.sql import Connection, name, quote

log = get_logger("seed")
_SERVER_USERS: Final = frozenset(
    {"root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "PUBLIC", ""}
)


async def create_schemas(
    source: Connection, target: Connection, names: set[tuple[str, str]], say: Callable[[str], str]
) -> None:
    """`names`: source schema, target schema. Character set and collation come along, in words as `say` turns them."""
    for here, there in sorted(names):
        text = str((await source.query(f"SHOW CREATE DATABASE {name(here)}"))[0]["Create Database"])
        options = text.partition("` ")[2]
        await target.query(f"CREATE DATABASE IF NOT EXISTS {name(there)} {say(options)}")


class Maker:
    """Makes the objects of the replicated schemas on the target, and keeps notes of what it could not make."""

    def __init__(self, source: Connection, target: Connection, mapping: Mapping) -> None:
        self._source = source
        self._target = target
        self._mapping = mapping
        self.notes: list[str] = []

    async def everything(self, schemas: set[tuple[str, str]]) -> None:
        """Routines before views, which may call them; triggers and events last. `schemas`: of source and target."""
        for here, there in sorted(schemas):
            if here != there:
                found = await self._source.query(
                    f"SELECT 1 AS x FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {quote(here)} UNION"
                    f" SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {quote(here)} UNION"
                    f" SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {quote(here)} UNION"
                    f" SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {quote(here)}")  # fmt: skip
                if found and (here, here) not in schemas:
                    self.notes.append(f"views, routines, triggers and events of {here} were not made in {there}:"
                                      " their texts name the old schema")  # fmt: skip
                continue
            await self._routines(here)
            await self._views(here)
            await self._triggers(here)
            await self._events(here)

    async def _routines(self, schema: str) -> None:
        rows = await self._source.query(
            "SELECT ROUTINE_NAME AS n, ROUTINE_TYPE AS t FROM information_schema.ROUTINES"
            f" WHERE ROUTINE_SCHEMA = {quote(schema)} AND ROUTINE_TYPE IN ('PROCEDURE','FUNCTION')"
        )
        for row in rows:
            kind, title = str(row["t"]), str(row["t"]).title()
            await self._copy(kind, (schema, str(row["n"])), f"Create {title}")

    async def _views(self, schema: str) -> None:
        rows = await self._source.query(
            f"SELECT TABLE_NAME AS n FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {quote(schema)}"
        )
        left = [str(r["n"]) for r in rows]
        while left:  # views upon views: again as long as one more can be made
            mark = len(self.notes)
            failed = [n for n in left if not await self._copy("VIEW", (schema, n), "Create View")]
            if len(failed) == len(left):
                return
            if failed:
                del self.notes[mark:]
            left = failed

    async def _triggers(self, schema: str) -> None:
        rows = await self._source.query(
            "SELECT TRIGGER_NAME AS n, EVENT_OBJECT_TABLE AS t FROM information_schema.TRIGGERS"
            f" WHERE TRIGGER_SCHEMA = {quote(schema)} ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION,"
            " ACTION_ORDER"
        )
        for row in rows:
            if self._mapping.wants(schema, str(row["t"])):
                await self._copy("TRIGGER", (schema, str(row["n"])), "SQL Original Statement")

    async def _events(self, schema: str) -> None:
        rows = await self._source.query(
            f"SELECT EVENT_NAME AS n, STATUS AS s FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {quote(schema)}"
        )
        for row in rows:
            enabled = str(row["s"]) == "ENABLED"
            made = await self._copy("EVENT", (schema, str(row["n"])), "Create Event", _disabled)
            if made and enabled:
                self.notes.append(f"event {schema}.{row['n']} is disabled on the standby: enable it there after a"
                                  f" switchover (ALTER EVENT {name(schema, str(row['n']))} ENABLE)")  # fmt: skip

    async def _copy(self, kind: str, which: Name, column: str, change: Any = None) -> bool:
        """Make one object; False, with a note, when it could not be made. One that is there already is made anew."""
        quoted = name(*which)
        try:
            row = (await self._source.query(f"SHOW CREATE {kind} {quoted}"))[0]
            text = row.get(column)
            if text is None:
                self.notes.append(f"{kind.lower()} {'.'.join(which)}: its text may not be read on the source"
                                  " (SHOW_ROUTINE, SHOW VIEW or SELECT on mysql.* is missing)")  # fmt: skip
                return False
            text = change(str(text)) if change else str(text)
            await self._target.query(f"USE {name(which[0])}")
            mode = row.get("sql_mode")
            if mode is not None:
                await self._target.query(f"SET SESSION sql_mode = {quote(_modes(str(mode)))}")
            await self._target.query(f"DROP {kind} IF EXISTS {quoted}")
            await self._target.query(text)
        except ConnectionLost:
            raise
        except ServerError as error:
            self.notes.append(f"{kind.lower()} {'.'.join(which)} could not be made: {error.text} ({error.code})")
            return False
        return True


def _modes(text: str) -> str:
    """Without modes that one of the flavours no longer or not yet knows."""
    gone = {"NO_AUTO_CREATE_USER", "POSTGRESQL", "ORACLE", "MSSQL", "DB2", "MAXDB", "MYSQL323", "MYSQL40",
            "NO_FIELD_OPTIONS", "NO_KEY_OPTIONS", "NO_TABLE_OPTIONS"}  # fmt: skip
    return ",".join(m for m in text.split(",") if m and m not in gone)


def _disabled(text: str) -> str:
    """An event's text with its state set to disabled; it stands behind ON COMPLETION in SHOW CREATE's form."""
    return re.sub(r"(ON COMPLETION (?:NOT )?PRESERVE) (?:ENABLE|DISABLE(?: ON (?:SLAVE|REPLICA))?)", r"\1 DISABLE",
                  text, count=1)  # fmt: skip


async def copy_users(source: Connection, target: Connection, own: set[str], *, mariadb: bool) -> list[str]:
    """Accounts with their passwords' hashes and grants; those that are there already are left. Returns notes.

    Texts with hashes reach no log and no error.
    """
    notes: list[str] = []
    there = {(str(r["u"]), str(r["h"])) for r in await target.query("SELECT User AS u, Host AS h FROM mysql.user")}
    if not mariadb:
        with contextlib.suppress(ServerError):  # not every version has it; the others print hashes that can be read back
            await source.query("SET SESSION print_identified_as_hex = ON")
    for row in await source.query("SELECT User AS u, Host AS h FROM mysql.user"):
        user, host = str(row["u"]), str(row["h"])
        if user in _SERVER_USERS | own or (user, host) in there:
            continue
        account = f"{_text(user)}@{_text(host)}"
        try:
            text = str(next(iter((await source.query(f"SHOW CREATE USER {account}"))[0].values())))
            await target.query(text)
            for grant in await source.query(f"SHOW GRANTS FOR {account}"):
                statement = str(next(iter(grant.values())))
                # MariaDB repeats the password's hash in the first grant; CREATE USER has set it.
                await target.query(re.sub(r" IDENTIFIED (?:BY PASSWORD|VIA).*?(?= REQUIRE| WITH|$)", "", statement))
        except ConnectionLost:
            raise
        except ServerError as error:
            notes.append(f"account {account} could not be made completely (error {error.code})")
    return notes


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
