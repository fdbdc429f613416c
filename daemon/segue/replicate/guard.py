"""Whether the target's tables still are what the plan was made for, asked inside the transaction that writes them.

Theory. Rows are made for a definition of the target that was read earlier, and anybody may alter the table meanwhile; where types
are alike the server puts values into whatever columns are there now. From its first row event on a transaction holds
the table's metadata lock, and until it ends nothing can alter the table. So between the rows and the commit the
definition is asked for, and where it is another one the transaction is not committed.

Asking the catalogue takes 1 to 9 ms a table, SHOW CREATE TABLE 0.1 to 0.2 (measured on MySQL 9.7 and MariaDB 10.11). So the
catalogue is asked once, under the lock, and the text of SHOW CREATE TABLE that belongs to its answer is kept; as long as
that stays, so does the definition. A text may change for other reasons (the session's sql_mode); then the catalogue is
asked again. Triggers are in no such text, and fire for statements only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final, Protocol

from segue.errors import SegueError
from segue.schema import Tables
from segue.schema.catalogue import Table
from segue.sql import name

Key = tuple[str, str]
"""(schema, table), the target's names."""
_COUNTER: Final = re.compile(r" AUTO_INCREMENT=\d+")


class Altered(SegueError):  # noqa: N818 - names what happens
    """A table of the target is not what its rows were made for. Nothing of the transaction may be committed."""


class Catalogue(Protocol):
    """The target's, asked on another connection: one inside the transaction may show it as it was at its begin."""

    async def tables(self, tables: Collection[Key]) -> Tables: ...

    async def triggers(self, tables: Collection[Key]) -> set[Key]:
        """Which of them have any."""
        ...


class Guard:
    """For one plan; knows the texts that belong to its definitions."""

    def __init__(self, planned: Callable[[Key], Table | None], catalogue: Catalogue, *, complete: bool) -> None:
        """Not `complete`: the target's keys are still to come."""
        self._planned = planned
        self._catalogue = catalogue
        self._complete = complete
        self._texts: dict[Key, str] = {}

    async def check(self, by_statements: dict[Key, bool], answers: list[list[dict[str, Any]]]) -> None:
        """Tables that rows were written to, and whether by statements; `answers` to `question` of each.

        Raises Altered, and what reading the catalogue raises.
        """
        if fired := [key for key, so in by_statements.items() if so]:
            have = await self._catalogue.triggers(fired)
            if have:
                raise _altered(have)
        texts = {key: _text(rows) for key, rows in zip(by_statements, answers, strict=True)}
        other = [key for key, text in texts.items() if self._texts.get(key) != text]
        if not other:
            return
        await self.look(other)
        self._texts |= {key: texts[key] for key in other}

    async def look(self, tables: Collection[Key]) -> None:
        """Ask the catalogue. Raises Altered when one of them is not what its rows were made for.

        Without the tables' locks that says only why rows were refused.
        """
        now = await self._catalogue.tables(tables) if tables else {}
        changed = [key for key in tables if not self._same(self._planned(key), now.get(key))]
        if changed:
            raise _altered(changed)

    def _same(self, planned: Table | None, now: Table | None) -> bool:
        if planned is None or now is None:
            return False
        if not self._complete:
            now = replace(now, keys=planned.keys, indexes=planned.indexes, foreign_keys=planned.foreign_keys)
        return replace(planned, triggers=()) == replace(now, triggers=())


def question(table: Key) -> bytes:
    """To be asked behind the rows."""
    return f"SHOW CREATE TABLE {name(*table)}".encode()


def _altered(tables: Collection[Key]) -> Altered:
    listed = ", ".join(".".join(key) for key in tables)
    return Altered(f"the target's definition of {listed} was changed while rows came; nothing was written by the old one",
                   mend="The definitions are read again by themselves; leave the standby's tables as they are")  # fmt: skip


def _text(rows: list[dict[str, Any]]) -> str:
    found = next((value for column, value in rows[0].items() if column.startswith("Create ")), "") if rows else ""
    return _COUNTER.sub("", found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found))
