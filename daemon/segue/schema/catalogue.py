"""Table definitions from information_schema, in a few questions for any number of tables.

Source of names: MySQL Reference Manual, "INFORMATION_SCHEMA Tables"; MariaDB Knowledge Base, same title.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

from segue.flavour import Flavour, detect
from segue.schema.types import TypeText, type_text
from segue.sql import Connection, quote


class Wanted(Protocol):
    """A Selection, or a Mapping."""

    def wants_schema(self, schema: str) -> bool: ...
    def wants(self, schema: str, table: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is the full type in lower case, display widths of integers removed."""

    name: str
    type: str
    charset: str | None
    collation: str | None
    nullable: bool
    default: str | None
    """A literal as plain text, or an expression; None when there is none or it is NULL."""
    extra: str
    """auto_increment, generated kind, invisible; without what only concerns defaults."""
    generated: str
    """The expression of a generated column, else empty."""
    computed_default: bool = False
    """The default is an expression (CURRENT_TIMESTAMP among them)."""
    on_update: bool = False
    """ON UPDATE CURRENT_TIMESTAMP."""

    @property
    def parsed(self) -> TypeText:
        return type_text(self.type)

    @property
    def stored(self) -> bool:
        return bool(self.generated) and ("stored" in self.extra or "persistent" in self.extra)

    @property
    def virtual(self) -> bool:
        return bool(self.generated) and not self.stored

    @property
    def invisible(self) -> bool:
        return "invisible" in self.extra

    @property
    def auto_increment(self) -> bool:
        return "auto_increment" in self.extra

    @property
    def definition(self) -> str:
        """As one would write it, as far as it matters to values."""
        words = [self.type]
        if self.collation and self.parsed.base != "json":
            words.append(f"COLLATE {self.collation}")
        if self.generated:
            words.append(f"GENERATED ALWAYS AS ({self.generated}) {'STORED' if self.stored else 'VIRTUAL'}")
        if not self.nullable:
            words.append("NOT NULL")
        if self.default is not None:
            words.append(f"DEFAULT {self.default if self.computed_default else repr(self.default)}")
        if self.invisible:
            words.append("INVISIBLE")
        if self.auto_increment:
            words.append("AUTO_INCREMENT")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Key:
    """An index: columns in order, with prefix lengths as 'name(10)'; '?' stands for an expression."""

    name: str
    columns: tuple[str, ...]
    unique: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in lower case, without prefix lengths."""
        return tuple(c.partition("(")[0].lower() for c in self.columns)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    parent: str
    """schema.table."""
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str

    @property
    def definition(self) -> str:
        return (f"({', '.join(self.columns)}) REFERENCES {self.parent} ({', '.join(self.parent_columns)})"
                f" ON DELETE {self.on_delete} ON UPDATE {self.on_update}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trigger:
    name: str
    when: str
    """BEFORE INSERT and so on."""


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str
    engine: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    """The primary key and unique keys."""
    indexes: tuple[Key, ...] = ()
    """All others."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    partitioning: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def primary(self) -> Key | None:
        return next((k for k in self.keys if k.name == "PRIMARY"), None)

    @property
    def transactional(self) -> bool:
        return self.engine.lower() in ("innodb", "rocksdb", "ndbcluster", "tokudb")

    def column(self, name: str) -> Column | None:
        lower = name.lower()
        return next((c for c in self.columns if c.name.lower() == lower), None)


Tables = dict[tuple[str, str], Table]
_TABLES: Final = (
    "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COALESCE(ENGINE,'') AS engine, CREATE_OPTIONS AS options"
    " FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND {}"
)
_COLUMNS: Final = (
    "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COLUMN_NAME AS name, COLUMN_TYPE AS type,"
    " CHARACTER_SET_NAME AS cs, COLLATION_NAME AS coll, IS_NULLABLE AS nullable,"
    " COLUMN_DEFAULT AS dflt, EXTRA AS extra, COALESCE(GENERATION_EXPRESSION,'') AS gen"
    " FROM information_schema.COLUMNS WHERE {} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
)
_KEYS: Final = (
    "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, INDEX_NAME AS k, COLUMN_NAME AS c, SUB_PART AS part, NON_UNIQUE AS n"
    " FROM information_schema.STATISTICS WHERE {} ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
)
_FOREIGN: Final = (
    "SELECT CONSTRAINT_SCHEMA AS s, TABLE_NAME AS t, CONSTRAINT_NAME AS k, UPDATE_RULE AS u, DELETE_RULE AS d"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {}"
)
_FOREIGN_COLUMNS: Final = (
    "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, CONSTRAINT_NAME AS k, COLUMN_NAME AS c,"
    " REFERENCED_TABLE_SCHEMA AS ps, REFERENCED_TABLE_NAME AS pt, REFERENCED_COLUMN_NAME AS pc"
    " FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND {}"
    " ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
)
_TRIGGERS: Final = (
    "SELECT EVENT_OBJECT_SCHEMA AS s, EVENT_OBJECT_TABLE AS t, TRIGGER_NAME AS name,"
    " CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION) AS w FROM information_schema.TRIGGERS WHERE {}"
)
_PARTITIONS: Final = (
    "SELECT DISTINCT TABLE_SCHEMA AS s, TABLE_NAME AS t, PARTITION_METHOD AS m, PARTITION_EXPRESSION AS e"
    " FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL AND {}"
)


async def read_tables(
    conn: Connection, selection: Wanted, schemas: set[str] | None = None, tables: Collection[tuple[str, str]] = (),
) -> Tables:  # fmt: skip
    """All base tables that `selection` wants, by (schema, table); only within `schemas`, or only `tables`, when given."""
    if tables:
        schemas = {schema for schema, _ in tables}
    names = [str(r["s"]) for r in await conn.query("SELECT SCHEMA_NAME AS s FROM information_schema.SCHEMATA")]
    wanted = [n for n in names if selection.wants_schema(n) and (schemas is None or n in schemas)]
    if not wanted:
        return {}
    flavour = await detect(conn)
    listed = ",".join(quote(n) for n in wanted)
    few = ",".join(quote(n) for n in {table for _, table in tables})

    async def ask(statement: str, column: str = "TABLE_SCHEMA", table: str = "TABLE_NAME") -> list[dict[str, Any]]:
        return await conn.query(statement.format(f"{column} IN ({listed})" + (f" AND {table} IN ({few})" if few else "")))

    found = await ask(_TABLES)
    columns: dict[tuple[str, str], list[Column]] = defaultdict(list)
    for row in await ask(_COLUMNS):
        columns[row["s"], row["t"]].append(_column(row, flavour))
    keys = _keys(await ask(_KEYS))
    foreign = _foreign(await ask(_FOREIGN, "CONSTRAINT_SCHEMA"), await ask(_FOREIGN_COLUMNS))
    triggers: dict[tuple[str, str], list[Trigger]] = defaultdict(list)
    for row in await ask(_TRIGGERS, "EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE"):
        triggers[row["s"], row["t"]].append(Trigger(_text(row["name"]), _text(row["w"])))
    # On MariaDB this question opens every table, so it is asked only where the first one saw a partitioned table.
    partitioned = any("partitioned" in _text(r["options"] or "") for r in found)
    partitions = {
        (r["s"], r["t"]): f"{_text(r['m'])}({_text(r['e'] or '')})" for r in (await ask(_PARTITIONS) if partitioned else ())
    }
    out: Tables = {}
    for r in found:
        key = (str(r["s"]), str(r["t"]))
        if selection.wants(*key) and (not tables or key in tables):
            mine = keys.get(key, [])
            out[key] = Table(
                *key, r["engine"], tuple(columns[key]), tuple(k for k in mine if k.unique),
                tuple(k for k in mine if not k.unique), tuple(foreign.get(key, ())), tuple(triggers[key]),
                partitions.get(key, ""),
            )  # fmt: skip
    return out


def _keys(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[Key]]:
    found: dict[tuple[str, str], dict[tuple[str, bool], list[str]]] = defaultdict(dict)
    for row in rows:
        part = f"({row['part']})" if row["part"] is not None else ""
        columns = found[row["s"], row["t"]].setdefault((str(row["k"]), not int(row["n"])), [])
        columns.append(f"{row['c'] or '?'}{part}")
    return {
        table: [Key(name, tuple(columns), unique) for (name, unique), columns in sorted(keys.items())]
        for table, keys in found.items()
    }


def _foreign(rules: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[ForeignKey]]:
    columns: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        columns[row["s"], row["t"], row["k"]].append(row)
    out: dict[tuple[str, str], list[ForeignKey]] = defaultdict(list)
    for rule in sorted(rules, key=lambda r: str(r["k"])):
        mine = columns.get((rule["s"], rule["t"], rule["k"]))
        if mine:
            out[rule["s"], rule["t"]].append(
                ForeignKey(str(rule["k"]), tuple(str(r["c"]) for r in mine), f"{mine[0]['ps']}.{mine[0]['pt']}",
                           tuple(str(r["pc"]) for r in mine), str(rule["d"]), str(rule["u"]))
            )  # fmt: skip
    return out


_WIDTH = re.compile(r"^((?:tiny|small|medium|big)?int|year)\(\d+\)")
_DEFAULTS_ONLY = re.compile(r"default_generated|on update [a-z_]+(?:\(\d*\))?", re.IGNORECASE)


_COMPRESSED: Final = re.compile(r" /\*M!\d+ COMPRESSED\*/$")
"""How MariaDB writes it behind a column's type."""


def _column(row: dict[str, Any], flavour: Flavour) -> Column:
    kind = _COMPRESSED.sub(" compressed", _text(row["type"]))
    if "zerofill" not in kind:
        kind = _WIDTH.sub(r"\1", kind)
    raw = str(row["extra"])
    extra = " ".join(_DEFAULTS_ONLY.sub("", raw).lower().split())
    default, computed = flavour.column_default(None if row["dflt"] is None else _text(row["dflt"]), raw)
    return Column(
        str(row["name"]), kind, row["cs"], row["coll"], row["nullable"] == "YES", default, extra, _text(row["gen"]),
        computed, "on update" in raw.lower(),
    )  # fmt: skip


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
