"""What there is to copy: every replicated table of the source, how it is copied, and an empty bare table for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segue.copy import record
from segue.copy.definition import Definition
from segue.copy.keys import walk_key
from segue.copy.record import TableRecord
from segue.errors import Refused
from segue.flavour import Flavour
from segue.flavour.definitions import translated
from segue.schema import Mapping, Sides, Table, compare, read_tables
from segue.schema.catalogue import Tables
from segue.schema.mapping import Name, TableMapping
from segue.sql import Connection, name, quote


class Planner:
    """Looks at both servers; `tables` changes the target."""

    def __init__(
        self, source: Connection, flavour: Flavour, target: Connection, there: Flavour, mapping: Mapping
    ) -> None:
        self.source = source
        self.flavour = flavour
        self.target = target
        self.there = there
        self.mapping = mapping

    async def tables(self, options: dict[str, Any], begun: dict[Name, TableRecord]) -> list[TableRecord]:
        """A record for each table, nothing made yet. Raises Refused when the target holds rows of its own.

        `begun` are records that an interrupted planning left: their bare tables are ours, and say nothing of what the
        target's tables are to be.
        """
        source = await read_tables(self.source, self.mapping)
        target = await read_tables(self.target, self.mapping.inverse())
        if gone := [t.full_name for n, t in begun.items() if n not in source]:
            raise Refused(f"{', '.join(gone[:5])} has gone from the source while the seed was planned",
                          mend="segue seed --cancel, then segue seed again")  # fmt: skip
        await self._refuse_strange()
        bad = [t.full_name for t in source.values() if not t.transactional]
        if bad:
            raise Refused(f"tables with an engine that is not transactional: {', '.join(bad[:5])}",
                          mend="ALTER TABLE ... ENGINE=InnoDB on the source, or exclude them")  # fmt: skip
        own = {tuple(n) for n in options.get("own", [])} | {self.mapping.table(*n).target for n in begun}
        full = []
        for table in target.values():
            key = (table.schema, table.name)
            if key in own or options.get("overwrite"):
                continue
            if await self.target.query(f"SELECT 1 AS x FROM {name(*key)} LIMIT 1"):
                full.append(table.full_name)
        if full:
            raise Refused(f"the standby holds rows already, in {', '.join(sorted(full)[:5])}",
                          mend="Drop those tables there, or: segue seed --overwrite")  # fmt: skip
        families = await self._families(set(source))
        sizes = await self._sizes()
        records = []
        for key, table in source.items():
            walk = None if key in families else walk_key(table)
            rows, size = sizes.get(key, (0, 0))
            there = self.mapping.table(*key).target
            keep = there in target and there not in own and not options.get("overwrite")
            definition, origin = await self.definition(key, there if keep else None)
            if key in begun:
                if begun[key].origin != origin:
                    raise Refused(f"{table.full_name} has changed on the source while the seed was planned",
                                  mend="segue seed --cancel, then segue seed again")  # fmt: skip
                definition = begun[key].definition  # perhaps of a table that somebody had made on the target
            records.append(TableRecord(key, walk is None, "waiting", definition, origin, walk.name if walk else "",
                                       rows, size))  # fmt: skip
        return records

    async def definition(self, key: Name, there: Name | None) -> tuple[str, str]:
        """The target table's definition (its own when it is `there`), and the source's fingerprint."""
        mapping = self.mapping.table(*key)
        parsed = Definition.parse(await _show(self.source, key))
        origin = parsed.fingerprint()
        if there is not None:
            parsed = Definition.parse(await _show(self.target, there))
        else:
            try:
                parsed = parsed.renamed(mapping.renamed, mapping.ignored, lambda s, t: self._parent(key, s, t))
            except ValueError as error:
                raise Refused(f"table {mapping.target_name} cannot be made by the mapping: {error}",
                              mend="Create it on the standby by hand, empty; then segue seed again") from None  # fmt: skip
            parsed = parsed.said(lambda text: translated(text, self.flavour, self.there))
        return parsed.create(name(*mapping.target)), origin

    def _parent(self, child: Name, schema: str | None, table: str) -> tuple[str | None, dict[str, str]]:
        parent = self.mapping.table(schema or child[0], table)
        stays = parent.target == (parent.source if schema else (self.mapping.table(*child).target[0], table))
        return None if stays else name(*parent.target), parent.renamed

    async def make(self, table: TableRecord) -> None:
        """An empty table in place of whatever is there, with what the copy needs and no more."""
        target = self.mapping.table(*table.name).target
        parsed = Definition.parse_create(table.definition)
        await self.target.query("SET SESSION foreign_key_checks = 0")
        await self.target.query(f"DROP TABLE IF EXISTS {name(*target)}")
        await self.target.query(parsed.bare(table.walk or None).create(name(*target)))

    async def by_statements(self) -> set[Name]:
        """Tables whose changes go by statements, which cannot be made idempotent. The bare tables must be there.

        Raises Refused naming what keeps a table from being replicated at all.
        """
        here = await read_tables(self.source, self.mapping)
        target = as_it_will_be(here, await read_tables(self.target, self.mapping.inverse()), self.mapping)
        sides = Sides(self.flavour.name, self.there.name, self.flavour.cascades_logged)
        found, blocked = set(), []
        for key, table in here.items():
            mapping = self.mapping.table(*key)
            made = compare(table, target.get(mapping.target), mapping, sides)
            blocked += [f.sentence for f in made.blocked]
            if made.path == "sql":
                found.add(key)
        if blocked:
            raise Refused("; ".join(blocked[:5]), mend="segue check shows each; map them in [[replicate.table]]"
                          " or make the table on the standby by hand, empty")  # fmt: skip
        return found

    async def _refuse_strange(self) -> None:
        rows = await self.source.query(
            "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, TABLE_TYPE AS k FROM information_schema.TABLES"
            " WHERE TABLE_TYPE NOT IN ('BASE TABLE', 'VIEW', 'SYSTEM VIEW', 'TEMPORARY')"
        )
        strange = [f"{r['s']}.{r['t']} ({r['k']})" for r in rows if self.mapping.wants(str(r["s"]), str(r["t"]))]
        if strange:
            raise Refused(f"neither tables nor views: {', '.join(strange[:5])}",
                          mend="They cannot be seeded: put them into replicate.exclude")  # fmt: skip

    async def _sizes(self) -> dict[Name, tuple[int, int]]:
        rows = await self.source.query(
            "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COALESCE(TABLE_ROWS, 0) AS n, COALESCE(DATA_LENGTH, 0) AS b"
            " FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
        )
        return {(str(r["s"]), str(r["t"])): (int(r["n"]), int(r["b"])) for r in rows}

    async def _families(self, tables: set[Name]) -> set[Name]:
        """Tables that are bound to others by foreign keys whose actions the storage engine does by itself.

        Such changes are not in the binlog: to repeat them the target needs foreign keys and the exact rows, so
        these tables are copied whole.
        """
        if self.flavour.cascades_logged:
            return set()
        rows = await self.source.query(
            "SELECT CONSTRAINT_SCHEMA AS s, TABLE_NAME AS t, UNIQUE_CONSTRAINT_SCHEMA AS rs,"
            " REFERENCED_TABLE_NAME AS rt FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE"
            " DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION')"
        )
        found: set[Name] = set()
        for r in rows:
            found |= {(str(r["s"]), str(r["t"])), (str(r["rs"]), str(r["rt"]))}
        return found & tables


async def _show(conn: Connection, key: Name) -> str:
    rows = await conn.query(f"SHOW CREATE TABLE {name(*key)}")
    return str(rows[0]["Create Table"])


def as_it_will_be(source: Tables, target: Tables, mapping: Mapping) -> Tables:
    """The target's tables with the keys and foreign keys that they will have when the seed is done."""
    out = dict(target)
    for key, table in source.items():
        one = mapping.table(*key)
        bare = target.get(one.target)
        if bare is None:
            continue

        def names(columns: tuple[str, ...], one: TableMapping = one) -> tuple[str, ...]:
            parts = (c.partition("(") for c in columns)
            return tuple((one.column(name) or name) + mark + rest for name, mark, rest in parts)

        foreign = tuple(
            replace(f, columns=names(f.columns), parent=".".join(mapping.table(*f.parent.split(".", 1)).target))
            for f in table.foreign_keys
        )
        out[one.target] = replace(
            bare, keys=tuple(replace(k, columns=names(k.columns)) for k in table.keys),
            indexes=tuple(replace(k, columns=names(k.columns)) for k in table.indexes), foreign_keys=foreign,
        )  # fmt: skip
    return out


async def unsettled(source: Connection, target: Connection, mapping: Mapping) -> bool:
    """Whether the target lacks what the source holds: none of its tables there, or all of them empty.

    Of a pair that somebody filled before, this is false, and both count as equal.
    """
    here = await read_tables(source, mapping)
    there = await read_tables(target, mapping.inverse())
    filled = False
    for table in here.values():
        if await source.query(f"SELECT 1 AS x FROM {name(table.schema, table.name)} LIMIT 1"):
            filled = True
            break
    if not here or (there and not filled):
        return False
    return not await _any_rows(target, there)


async def _any_rows(conn: Connection, tables: dict[Name, Table]) -> bool:
    for key in tables:
        if await conn.query(f"SELECT 1 AS x FROM {name(*key)} LIMIT 1"):
            return True
    return False


async def own_tables(conn: Connection, deployment: str, mapping: Mapping) -> list[Name]:
    """Tables on the target that an earlier seed made."""
    if not await record.there(conn):
        return []
    rows = await conn.query(
        f"SELECT schema_name AS s, table_name AS t FROM {record.TABLES} WHERE deployment = {quote(deployment)}"
    )
    return [mapping.table(str(r["s"]), str(r["t"])).target for r in rows]
