"""How one table's rows are read and written: what to select, and the statement that takes it. Pure.

Columns travel in the bytes of the target's character set, as the text protocol has them; `text` makes LOAD DATA's lines
of them, or arrays of parameters where the target takes those. Measured in docs/seeding.md: the same text made by the
source itself costs it more than twice a plain read, and taking lines apart costs MariaDB more than arrays.

Sessions: the source's with `SOURCE_SESSION`, the target's with `TARGET_SESSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from segue.copy.keys import base_type
from segue.copy.text import PARAMETER
from segue.schema.catalogue import Column, Table
from segue.schema.mapping import TableMapping
from segue.sql import name, quote

MOST_WARNINGS: Final = 65_535
"""What a server keeps of one statement at most."""
SOURCE_SESSION: Final = (
    "SET SESSION time_zone = '+00:00', sql_mode = ''",
    f"SET SESSION max_error_count = {MOST_WARNINGS}",
    "SET character_set_connection = binary, character_set_results = binary",
)
TARGET_SESSION: Final = (
    f"SET SESSION time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0, max_error_count = {MOST_WARNINGS}",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'",
)
_BARE: Final = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "date", "datetime", "timestamp", "time"}
)
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
_OTHERS: Final = frozenset({"uuid", "inet4", "inet6"})
_GEOMETRY: Final = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
     "geometrycollection", "geomcollection"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """How one table's rows are read and written."""

    fields: str
    """What to select of a row of the source."""
    kinds: bytes
    """How `text` writes each of them."""
    load: str
    """The LOAD DATA statement; the file's name in it means nothing."""
    insert: str = ""
    """The statement that takes them as arrays of parameters, if the target does."""
    computed: frozenset[str] = frozenset()
    """Columns of either side, lower case, that a server computes: what it has to say about their values is no matter."""

    @property
    def wire(self) -> bytes:
        """How `text` writes each of them for the statement that is used."""
        return bytes((PARAMETER,)) * len(self.kinds) if self.insert else self.kinds


def form(mapping: TableMapping, source: Table, target: Table, *, replace: bool, arrays: bool) -> Form:
    """For two definitions under their mapping. With `replace` rows that are there already are overwritten;
    with `arrays` the target takes arrays of parameters.

    Raises ValueError naming a column whose type is not known.
    """
    fields, kinds, places, sets = [], bytearray(), [], []
    columns, values = [], []
    for number, pair in enumerate(mapping.match(source, target).pairs):
        if pair.target.generated:
            continue
        field, kind = _field(pair.source, pair.target)
        fields.append(field)
        kinds += kind
        column, value = name(pair.target.name), _value(pair.target)
        columns.append(column)
        values.append(value.format("?"))
        places.append(column if value == "{}" else f"@v{number}")
        if value != "{}":
            sets.append(f"{column} = {value.format(f'@v{number}')}")
    here = {p.target.name.lower() for p in mapping.match(source, target).pairs}
    for default, constant in mapping.defaults.items():
        if default not in here:
            sets.append(f"{name(default)} = {quote(constant)}")
            columns.append(name(default))
            values.append(quote(constant))
    tail = f" SET {', '.join(sets)}" if sets else ""
    load = (
        f"LOAD DATA LOCAL INFILE 'chunk' {'REPLACE ' if replace else ''}INTO TABLE {name(*mapping.target)}"
        " CHARACTER SET binary FIELDS TERMINATED BY ',' ENCLOSED BY '\\'' ESCAPED BY '\\\\'"
        f" LINES TERMINATED BY '\\n' ({', '.join(places)}){tail}"
    )
    insert = (
        f"{'REPLACE' if replace else 'INSERT'} INTO {name(*mapping.target)} ({', '.join(columns)}) VALUES ({', '.join(values)})"
    )
    computed = {c.name.lower() for c in (*source.columns, *target.columns) if c.generated}
    return Form(", ".join(fields), bytes(kinds), load, insert if arrays and kinds else "", frozenset(computed))


def _field(source: Column, target: Column) -> tuple[str, bytes]:
    """What to select of a column, and how it is written: b"b" bare, b"q" between quotes."""
    kind, column = base_type(source), name(source.name)
    if kind in _BARE:
        return column, b"b"
    if kind in ("float", "double"):
        # A FLOAT by itself is cut at six digits; the text of a DOUBLE expression reads back as the same value.
        return f"{column} * 1e0", b"b"
    if kind == "bit":
        return f"{column} + 0", b"b"
    if kind in _TEXTS:
        if target.charset and source.charset and target.charset != source.charset:
            column = f"CONVERT({column} USING {target.charset})"
        return column, b"q"
    if kind in _BYTES:
        return column, b"q"
    if kind == "json":
        return f"CAST({column} AS CHAR CHARACTER SET utf8mb4)", b"q"
    if kind in _OTHERS:
        return f"CAST({column} AS CHAR)", b"q"
    if kind in _GEOMETRY:
        # The servers' inner form, SRID and WKB: what they take back as it is.
        return column, b"q"
    raise ValueError(f"{source.name} is {source.type}, a type that is not known")


def _value(target: Column) -> str:
    """What a column is given of the field that is its own: {}."""
    kind = base_type(target)
    if kind == "bit":
        return "CAST({} AS UNSIGNED)"
    if kind == "json":
        # A JSON column refuses strings of character set binary.
        return "CONVERT({} USING utf8mb4)"
    return "{}"
