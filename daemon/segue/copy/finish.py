"""The end of a seed, with the stream standing still: foreign keys, views, routines, triggers, events, accounts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segue.copy import record
from segue.copy.definition import Definition, key_name
from segue.copy.objects import Maker, copy_users
from segue.errors import ConnectionLost, ServerError
from segue.flavour import Flavour
from segue.log import get_logger
from segue.sql import Connection, name, quote

if TYPE_CHECKING:
    from segue.copy.seeder import Terms

log = get_logger("seed")
_ALTER_LIMIT = 3600.0


class Finish:
    """Each step may be done again."""

    def __init__(self, terms: Terms, source: Connection, target: Connection, flavour: Flavour, there: Flavour) -> None:
        self._terms = terms
        self._source = source
        self._target = target
        self._flavour = flavour
        self._there = there

    async def run(self) -> None:
        """After this the stream may run strictly."""
        terms, target = self._terms, self._target
        found = await record.read(target, terms.deployment)
        assert found is not None
        tables = await record.read_tables(target, terms.deployment)
        notes = await foreign_keys(terms, target, tables)
        maker = Maker(self._source, target, terms.mapping)
        await maker.everything({(t.name[0], terms.mapping.table(*t.name).target[0]) for t in tables})
        notes += maker.notes
        if found.options.get("users"):
            own = {terms.source.user, terms.target.user}
            notes += await copy_users(self._source, target, own, mariadb=self._flavour.dump_is_mariadb)
        for note in notes:
            log.warning("seeding left something undone", note=note)
        await restore(target, found.restore)
        await record.update(target, terms.deployment, notes=notes, restore_values={}, state="done", paused=0)
        log.info("seeding is done: the stream runs alone", tables=len(tables), rows=sum(t.rows for t in tables))


async def foreign_keys(
    terms: Terms, target: Connection, tables: list[record.TableRecord], *, acting: bool = False
) -> list[str]:
    """Add those that the bare tables lack, unchecked: the rows are the source's. Returns notes.

    With `acting` only those with actions that change rows.
    """
    notes = []
    await target.query("SET SESSION foreign_key_checks = 0")
    for table in tables:
        there = terms.mapping.table(*table.name).target
        wanted = Definition.parse_create(table.definition).foreign()
        if acting:
            wanted = [f for f in wanted if re.search(r" ON (DELETE|UPDATE) (CASCADE|SET )", f)]
        if not wanted:
            continue
        text = str((await target.query(f"SHOW CREATE TABLE {name(*there)}"))[0]["Create Table"])
        have = {key_name(f) for f in Definition.parse_create(text).foreign()}
        missing = [f for f in wanted if key_name(f) not in have]
        if not missing:
            continue
        try:
            clause = ", ".join(f"ADD {f}" for f in missing)
            await target.query(f"ALTER TABLE {name(*there)} {clause}", timeout=_ALTER_LIMIT)
        except ConnectionLost:
            raise
        except ServerError as error:
            notes.append(f"foreign keys of {'.'.join(there)} could not be made: {error.text} ({error.code})")
    return notes


async def restore(target: Connection, values: dict[str, str]) -> None:
    """Global variables as they were before the seed; those that are so already need no privilege."""
    for variable, value in values.items():
        if str(await target.value(f"SELECT @@GLOBAL.{variable}")) == value:
            continue
        literal = value if value.isdigit() else quote(value)
        await target.query(f"SET GLOBAL {variable} = {literal}")
