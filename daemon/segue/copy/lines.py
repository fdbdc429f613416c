"""How one table's rows are read and written: what to select, and the statement that takes it. Pure.

Where the target takes arrays of parameters, the source is asked for binary rows, whose values are such parameters as they
are. Else it is asked for text, of which `text` makes LOAD DATA's lines. Strings are in the bytes of the target's character
set. Measured in docs/seeding.md: lines made by the source itself cost it more than twice a plain read, and taking lines
apart costs MariaDB more than arrays.

Sessions: the source's with `SOURCE_SESSION`, the target's with `TARGET_SESSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from segue.copy.keys import base_type
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


_BLOB: Final = 252
_UNSIGNED: Final = 0x80
_FIXED: Final = {
    "tinyint": (b"1", 1), "smallint": (b"2", 2), "year": (b"2", 2), "mediumint": (b"4", 3), "int": (b"4", 3), "bigint": (b"8", 8),
    "float": (b"4", 4), "double": (b"8", 5),
}  # fmt: skip
"""Kind, and type code, of what a binary row has so many bytes of. A MEDIUMINT and a YEAR are told as an INT and a SMALLINT."""
_TIMES: Final = {"date": 10, "time": 11, "datetime": 12, "timestamp": 7}
_INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_CODES: Final = frozenset(_FIXED[i][1] for i in _INTEGERS)
"""Type codes whose sign is told by a flag."""
_TOLD_AS: Final = {9: 3, 13: 2}
"""MEDIUMINT and YEAR: by these types their values are declared, since they have as many bytes."""
_STRINGS: Final = frozenset({0, 15, 242, *range(245, 256)})
"""Type codes of what a binary row has with its length before it: DECIMAL, JSON and geometry among them."""
_IS_UNSIGNED: Final = 0x20


@dataclass(frozen=True, slots=True)
class Form:
    """How one table's rows are read and written."""

    fields: str
    """What to select of a row of the source."""
    kinds: bytes
    """What each of them is to `text`."""
    statement: str
    """LOAD DATA, whose file's name means nothing; with `types`, what takes arrays of parameters."""
    types: bytes = b""
    """A type code and a flag for each parameter; empty for lines."""
    computed: frozenset[str] = frozenset()
    """Columns of either side, lower case, that a server computes: what it has to say about their values is no matter."""
    plain: Self | None = None
    """Of arrays: the same by lines, for rows that are larger than the target's packets."""

    def fits(self, number: int, code: int, flags: int) -> bool:
        """Whether a column of the result is what its parameter is declared as."""
        declared, flag = self.types[2 * number : 2 * number + 2]
        if declared == _BLOB:
            return code in _STRINGS
        known = _TOLD_AS.get(code, code)
        return known == declared and (known not in _CODES or bool(flag) == bool(flags & _IS_UNSIGNED))


def form(mapping: TableMapping, source: Table, target: Table, *, replace: bool, arrays: bool) -> Form:
    """For two definitions under their mapping. With `replace` rows that are there already are overwritten;
    with `arrays` the target takes arrays of parameters.

    Raises ValueError naming a column whose type is not known.
    """
    fields, kinds, places, sets = [], bytearray(), [], []
    binary, columns, values = [], [], []
    for number, pair in enumerate(mapping.match(source, target).pairs):
        if pair.target.generated:
            continue
        field, kind = _field(pair.source, pair.target)
        fields.append(field)
        kinds += kind
        binary.append(_parameter(pair.source, pair.target, field))
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
    computed = frozenset(c.name.lower() for c in (*source.columns, *target.columns) if c.generated)
    plain = Form(", ".join(fields), bytes(kinds), load, computed=computed)
    parameters = [b for b in binary if b is not None]
    if not arrays or not kinds or len(parameters) < len(binary):
        return plain
    insert = (
        f"{'REPLACE' if replace else 'INSERT'} INTO {name(*mapping.target)} ({', '.join(columns)}) VALUES ({', '.join(values)})"
    )
    return Form(
        ", ".join(f for f, _, _ in parameters), b"".join(k for _, k, _ in parameters), insert,
        b"".join(t for _, _, t in parameters), computed, plain,
    )  # fmt: skip


def _parameter(source: Column, target: Column, field: str) -> tuple[str, bytes, bytes] | None:
    """What to select of a column as a parameter, its kind, and its type code and flag; `field` is what it is as text.

    Where the target's column is of another sort, it is given the text, as LOAD DATA gives it. None: it cannot be given that.
    """
    here, there = base_type(source), base_type(target)
    if here in _TIMES and source.type == target.type:
        return name(source.name), b"t", bytes((_TIMES[here], 0))
    alike = here == there or {here, there} <= _INTEGERS or {here, there} <= {"float", "double"}
    if here in _FIXED and alike:
        kind, code = _FIXED[here]
        unsigned = here == "year" or (source.parsed.unsigned and here in _INTEGERS)
        # Not `field`: the text of a FLOAT needs help that its bytes do not.
        return name(source.name), kind, bytes((code, _UNSIGNED if unsigned else 0))
    if here in ("float", "double"):
        return None  # a CAST to text is cut at 22 characters (seen on MySQL 9.7.4)
    # A binary row has a DECIMAL as its text.
    as_it_is = here == "decimal" or here in _TEXTS | _BYTES | _GEOMETRY
    return field if as_it_is else f"CAST({field} AS CHAR)", b"s", bytes((_BLOB, 0))


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
        # Where a session's character set is binary, as ours, a CAST to CHAR alone gives the value's inner bytes.
        return f"CAST({column} AS CHAR CHARACTER SET ascii)", b"q"
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
    if kind in _OTHERS:
        # Bytes would be taken for the value itself, where they are as many as it has.
        return "CONVERT({} USING ascii)"
    return "{}"
