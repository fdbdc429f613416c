"""Table definitions from information_schema, in three questions for any number of tables.

Source of names: MySQL Reference Manual, "INFORMATION_SCHEMA Tables"; MariaDB Knowledge Base, same title.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

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
    extra: str
    """auto_increment, generated kind, invisible; without what only concerns defaults."""
    generated: str
    """The expression of a generated column, else empty."""


@dataclass(frozen=True, slots=True)
class Key:
    """A unique key or the primary key: columns in order, with prefix lengths as 'name(10)'."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str
    engine: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def primary(self) -> Key | None:
        return next((k for k in self.keys if k.name == "PRIMARY"), None)

    @property
    def transactional(self) -> bool:
        return self.engine.lower() in ("innodb", "rocksdb", "ndbcluster", "tokudb")


async def read_tables(
    conn: Connection, selection: Wanted, schemas: set[str] | None = None
) -> dict[tuple[str, str], Table]:
    """All base tables that `selection` wants, by (schema, table); only within `schemas` when given."""
    names = [str(r["s"]) for r in await conn.query("SELECT SCHEMA_NAME AS s FROM information_schema.SCHEMATA")]
    wanted = [n for n in names if selection.wants_schema(n) and (schemas is None or n in schemas)]
    if not wanted:
        return {}
    within = f"TABLE_SCHEMA IN ({','.join(quote(n) for n in wanted)})"
    tables = await conn.query(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COALESCE(ENGINE,'') AS engine FROM information_schema.TABLES"
        f" WHERE TABLE_TYPE = 'BASE TABLE' AND {within}"
    )
    columns = await conn.query(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COLUMN_NAME AS name, COLUMN_TYPE AS type,"
        " CHARACTER_SET_NAME AS cs, COLLATION_NAME AS coll, IS_NULLABLE AS nullable,"
        " COLUMN_DEFAULT AS dflt, EXTRA AS extra, COALESCE(GENERATION_EXPRESSION,'') AS gen"
        f" FROM information_schema.COLUMNS WHERE {within} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    )
    keys = await conn.query(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, INDEX_NAME AS k, COLUMN_NAME AS c, SUB_PART AS part"
        f" FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {within}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    )
    by_table: dict[tuple[str, str], list[Column]] = {}
    for row in columns:
        by_table.setdefault((row["s"], row["t"]), []).append(_column(row))
    key_columns: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in keys:
        part = f"({row['part']})" if row["part"] is not None else ""
        key_columns.setdefault((row["s"], row["t"]), {}).setdefault(row["k"], []).append(f"{row['c'] or '?'}{part}")
    return {
        (r["s"], r["t"]): Table(
            r["s"], r["t"], r["engine"], tuple(by_table.get((r["s"], r["t"]), ())),
            tuple(Key(n, tuple(c)) for n, c in sorted(key_columns.get((r["s"], r["t"]), {}).items())),
        )
        for r in tables
        if selection.wants(r["s"], r["t"])
    }  # fmt: skip


_WIDTH = re.compile(r"^((?:tiny|small|medium|big)?int|year)\(\d+\)")
_DEFAULTS_ONLY = re.compile(r"default_generated|on update [a-z_]+(?:\(\d*\))?", re.IGNORECASE)


def _column(row: dict[str, Any]) -> Column:
    kind = _text(row["type"])
    if "zerofill" not in kind:
        kind = _WIDTH.sub(r"\1", kind)
    extra = " ".join(_DEFAULTS_ONLY.sub("", str(row["extra"])).lower().split())
    return Column(
        str(row["name"]), kind, row["cs"], row["coll"], row["nullable"] == "YES",
        None if row["dflt"] is None else _text(row["dflt"]), extra, _text(row["gen"]),
    )  # fmt: skip


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
