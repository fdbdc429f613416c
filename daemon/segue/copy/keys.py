"""The key that a table is walked by, and ranges of it as SQL. Pure.

A bound is a tuple of SQL literals, one for each column of the key, that mean the same in any session: strings are
written as bytes with their character set and collation, so that they compare as the index is ordered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from segue.schema.catalogue import Column, Table
from segue.sql import name

Bound = tuple[str, ...]

_NUMBERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"})
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_QUOTED: Final = frozenset({"date", "datetime", "timestamp", "time", "uuid", "inet4", "inet6"})


def base_type(column: Column) -> str:
    """The type's name alone: 'varchar(20)' gives 'varchar'."""
    found = re.match(r"[a-z0-9_]+", column.type)
    return found[0] if found else column.type


@dataclass(frozen=True, slots=True)
class WalkKey:
    """A unique key over NOT NULL columns whose values can be written as literals that compare as the index does.

    ENUM and SET are ordered by number but compared as text, FLOAT and DOUBLE have no exact text that every version
    agrees on: keys with those are not walked.
    """

    name: str
    columns: tuple[Column, ...]

    @property
    def order(self) -> str:
        return ", ".join(name(c.name) for c in self.columns)

    def fields(self) -> str:
        """SELECT list that gives one text per key column, for `bound`."""
        return ", ".join(f"{_field(c)} AS k{n}" for n, c in enumerate(self.columns))

    def bound(self, row: dict[str, Any]) -> Bound:
        """The literals of a row selected by `fields`."""
        return tuple(_literal(c, row[f"k{n}"]) for n, c in enumerate(self.columns))

    def where(self, low: Bound | None, high: Bound | None) -> str:
        """The condition for low < key <= high; None is open."""
        parts = []
        if low is not None:
            parts.append(self._beyond(low, ">", ">"))
        if high is not None:
            parts.append(self._beyond(high, "<", "<="))
        return " AND ".join(parts) or "TRUE"

    def _beyond(self, bound: Bound, sign: str, last: str) -> str:
        """(a, b) > (x, y) written out, since the servers do not use an index for the short form."""
        names = [name(c.name) for c in self.columns]
        if len(names) == 1:
            return f"{names[0]} {last} {bound[0]}"
        cases = []
        for n in range(len(names)):
            equal = [f"{names[i]} = {bound[i]}" for i in range(n)]
            here = last if n == len(names) - 1 else sign
            cases.append("(" + " AND ".join([*equal, f"{names[n]} {here} {bound[n]}"]) + ")")
        return f"({names[0]} {sign}= {bound[0]} AND ({' OR '.join(cases)}))"


def walk_key(table: Table) -> WalkKey | None:
    """The key to walk the table by: the primary key, else a fitting unique key, else None."""
    columns = {c.name.lower(): c for c in table.columns}
    for key in sorted(table.keys, key=lambda k: (k.name != "PRIMARY", len(k.columns), k.name)):
        found = [columns.get(c.lower()) for c in key.columns]
        fit = [c for c in found if c is not None and not c.nullable and _walkable(c)]
        if len(fit) == len(found):
            return WalkKey(key.name, tuple(fit))
    return None


def _walkable(column: Column) -> bool:
    return base_type(column) in _NUMBERS | _TEXTS | _BYTES | _QUOTED or column.type.startswith("bit")


def _field(column: Column) -> str:
    kind, quoted = base_type(column), name(column.name)
    if kind in _TEXTS | _BYTES:
        return f"HEX({quoted})"
    if kind == "bit":
        return f"{quoted} + 0"
    return f"CAST({quoted} AS CHAR)"


def _literal(column: Column, value: Any) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    kind = base_type(column)
    if kind in _TEXTS:
        return f"_{column.charset} x'{text}' COLLATE {column.collation}"
    if kind in _BYTES:
        return f"x'{text}'"
    if kind in _QUOTED:
        if not re.fullmatch(r"[-0-9a-fA-F:. ]+", text):
            raise ValueError(f"{column.name}: '{text}' is no {kind}")
        return f"_ascii'{text}'"
    if not re.fullmatch(r"-?[0-9.]+", text):
        raise ValueError(f"{column.name}: '{text}' is no number")
    return text
