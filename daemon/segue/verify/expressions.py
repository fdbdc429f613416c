"""One column of two tables as SQL such that both texts are equal exactly when the stored values are. Pure.

Theory. A row becomes one byte string: a head of fields joined by '#', then the bytes of its strings. The head has one
field for each column: the value's text where that cannot hold a '#', the length in bytes for a string, 'N' for NULL.
Field count and lengths being known, two different rows never give the same string: NULL is not '', ('a#b', 'c') not
('a', 'b#c'), 'a' not 'a '. Long values stand in the head by their SHA-256, which also bounds the row's length.

Strings of one character set are compared by their bytes, of two by what they are in utf8mb4. Source of types: MySQL
Reference Manual, "Data Types"; MariaDB Knowledge Base, same title.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from segue.flavour import Flavour
from segue.schema import Column
from segue.sql import name

Carrier = Literal["number", "real", "time", "bytes", "text", "json"]
"""How a value travels to Segue and back: as digits, digits with an exponent, quoted text, or bytes."""

INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit", "boolean"})
REALS: Final = frozenset({"float", "double", "real"})
TIMES: Final = frozenset({"date", "datetime", "timestamp", "time"})
SHORT_TEXTS: Final = frozenset({"char", "varchar", "tinytext"})
LONG_TEXTS: Final = frozenset({"text", "mediumtext", "longtext"})
SHORT_BINARIES: Final = frozenset({"binary", "varbinary", "tinyblob"})
LONG_BINARIES: Final = frozenset({"blob", "mediumblob", "longblob", "vector"})
TEXTS: Final = SHORT_TEXTS | LONG_TEXTS
BINARIES: Final = SHORT_BINARIES | LONG_BINARIES
NUMBERS: Final = INTEGERS | {"decimal"}
GEOMETRIES: Final = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
     "geometrycollection", "geomcollection"}
)  # fmt: skip
LABELS: Final = frozenset({"enum", "set"})
ADDRESSES: Final = frozenset({"uuid", "inet4", "inet6"})
_UTF8: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii"})
"""Character sets whose bytes are those of utf8mb4."""


class Incomparable(Exception):  # noqa: N818 - names what is
    """Two columns whose values cannot be compared; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column on one side."""

    column: str
    """Its name, lower case."""
    head: str
    """SQL of its field in the head."""
    body: str | None
    """SQL of its bytes behind the head; NULL for NULL."""
    read: str
    """SQL that brings the whole value to Segue; NULL for NULL."""
    size: str | None
    """SQL of the length of `read` in bytes, for what may be too long to show; None for what is short."""
    ident: str
    """SQL that names the value the same on both sides, as a key is named."""
    carrier: Carrier
    charset: str = ""
    """Of what `read` brings, for a text."""
    ident_charset: str = ""
    document: bool = False
    """JSON whose text means nothing on its own: Segue compares what the text says, on both sides."""


def base(column: Column) -> str:
    """The type's name without size and attributes."""
    return column.type.split("(", 1)[0].split(" ", 1)[0]


def fields(source: Column, target: Column, ends: tuple[Flavour, Flavour]) -> tuple[Field, Field]:
    """The same column on both sides, as the target stores it. Raises Incomparable."""
    one, two = base(source), base(target)
    columns, both = (source, target), {one, two}
    if both <= NUMBERS:
        return _both(columns, ends, _decimal if "decimal" in both and source.type != target.type else _number)
    for group, make in ((TIMES, _time), (GEOMETRIES, _geometry), (ADDRESSES, _address)):
        if both <= group and (both != {"datetime", "timestamp"}):
            return _both(columns, ends, make, "" if source.type == target.type else "(6)")
    if both <= NUMBERS | REALS:
        return _both(columns, ends, _real)
    if both <= LABELS and source.type == target.type and source.charset == target.charset:
        return _both(columns, ends, _number)
    if "json" in both and both <= TEXTS | {"json"}:
        return _both(columns, ends, _document if one != "json" else _json)
    long = "long" if both & (LONG_TEXTS | LONG_BINARIES) else ""
    if both <= TEXTS | BINARIES and both & BINARIES:
        return _both(columns, ends, _binary, long)
    if both <= TEXTS | LABELS:
        same = not both & LABELS and (source.charset == target.charset or {source.charset, target.charset} <= _UTF8)
        return _both(columns, ends, _text, long, "" if same else "utf8mb4")
    if both & TEXTS and both <= TEXTS | NUMBERS | TIMES | ADDRESSES:
        return _both(columns, ends, _shown, long)
    raise Incomparable(f"{source.type} cannot be compared with {target.type}")


def _both(
    columns: tuple[Column, Column], ends: tuple[Flavour, Flavour], make: Callable[..., Field], *how: str
) -> tuple[Field, Field]:
    one, two = (make(c, name(c.name), f, *how) for c, f in zip(columns, ends, strict=True))
    return one, two


def _or_null(column: Column, value: str) -> str:
    """`value`, or 'N' where the column is NULL; what cannot be NULL is spared the question."""
    return f"IFNULL({value}, 'N')" if column.nullable else value


def _number(column: Column, sql: str, _flavour: Flavour) -> Field:
    plain = base(column) not in LABELS | {"bit", "year"} and "zerofill" not in column.type
    value = sql if plain else f"{sql} + 0"
    if base(column) == "set":
        value = f"CAST({sql} AS UNSIGNED)"  # the sum is a DOUBLE, which has no room for 64 members
    read = f"CONCAT({value})"
    return Field(column.name.lower(), _or_null(column, value), None, read, None, read, "number")


def _decimal(column: Column, sql: str, _flavour: Flavour) -> Field:
    value = f"CAST({sql} + 0 AS DECIMAL(65,30))"
    read = f"CONCAT({sql} + 0)"
    return Field(column.name.lower(), f"IFNULL({value}, 'N')", None, read, None, f"CONCAT({value})", "number")


def _real(column: Column, sql: str, flavour: Flavour) -> Field:
    if base(column) not in REALS:
        sql = f"({sql} + 0e0)"
    value = flavour.exact_real(sql)
    # Bytes, since the text's collation may not be mixed with others.
    head = f"CAST(IF({sql} IS NULL, 'N', {value}) AS BINARY)"
    read = f"IF({sql} IS NULL, NULL, CONCAT({value}))"
    return Field(column.name.lower(), head, None, read, None, read, "real")


def _time(column: Column, sql: str, _flavour: Flavour, digits: str) -> Field:
    value, head = sql, _or_null(column, sql)
    if digits:
        kind = "TIME" if base(column) == "time" else "DATETIME"
        value = f"CAST({sql} AS {kind}{digits})"
        head = f"IFNULL({value}, 'N')"
    return Field(column.name.lower(), head, None, f"CONCAT({sql})", None, f"CONCAT({value})", "time")


def _geometry(column: Column, sql: str, _flavour: Flavour, _how: str) -> Field:
    value = f"CAST({sql} AS BINARY)"  # SRID and WKB, as both flavours store it
    head = f"IFNULL(SHA2({value}, 256), 'N')"
    return Field(column.name.lower(), head, None, value, f"LENGTH({value})", value, "bytes")


def _address(column: Column, sql: str, _flavour: Flavour, _how: str) -> Field:
    value = f"CAST({sql} AS CHAR)"
    return Field(column.name.lower(), f"CAST(IFNULL({value}, 'N') AS BINARY)", None, value, None, value, "time")


def _json(column: Column, sql: str, _flavour: Flavour) -> Field:
    """Also of a text beside it, which holds what the source shows of its JSON."""
    value = f"CAST({sql} AS CHAR CHARACTER SET utf8mb4)" if base(column) == "json" else f"CONVERT({sql} USING utf8mb4)"
    read = f"CAST({value} AS BINARY)"
    head = f"IFNULL(SHA2({value}, 256), 'N')"
    return Field(column.name.lower(), head, None, read, f"LENGTH({read})", read, "json", "utf8mb4", "utf8mb4")


def _document(column: Column, sql: str, _flavour: Flavour) -> Field:
    read = f"CAST(CONVERT({sql} USING utf8mb4) AS BINARY)"
    return Field(
        column.name.lower(), "''", None, read, f"LENGTH({read})", read, "json", "utf8mb4", "utf8mb4", document=True
    )  # fmt: skip


def _shown(column: Column, sql: str, flavour: Flavour, long: str) -> Field:
    """What the server shows of a number or time, to be compared with text."""
    if base(column) in TEXTS:
        return _text(column, sql, flavour, long, "utf8mb4")
    plain = "zerofill" in column.type or base(column) == "bit"
    value = f"CONCAT({sql} + 0)" if plain else f"CAST({sql} AS CHAR)" if base(column) in ADDRESSES else f"CONCAT({sql})"
    head, body = (f"IFNULL(SHA2({value}, 256), 'N')", None) if long else (
        f"IFNULL(LENGTH({value}), 'N')", f"CAST({value} AS BINARY)")  # fmt: skip
    return Field(column.name.lower(), head, body, value, None, f"CAST({value} AS BINARY)", "time", "", "utf8mb4")


def _binary(column: Column, sql: str, _flavour: Flavour, long: str) -> Field:
    if base(column) in TEXTS:
        sql = f"CAST({sql} AS BINARY)"
    size = f"LENGTH({sql})"
    head, body = (_or_null(column, f"SHA2({sql}, 256)"), None) if long else (_or_null(column, size), sql)
    return Field(column.name.lower(), head, body, sql, size, sql, "bytes")


def _text(column: Column, sql: str, _flavour: Flavour, long: str, charset: str) -> Field:
    value = f"CONVERT({sql} USING {charset})" if charset else sql
    own = column.charset or "binary"
    if long:
        # SHA2 looks at the bytes of a string in its own character set.
        head, body = _or_null(column, f"SHA2({value}, 256)"), None
    else:
        head, body = _or_null(column, f"LENGTH({value})"), f"CAST({value} AS BINARY)"
    return Field(
        column.name.lower(), head, body, f"CAST({sql} AS BINARY)", f"LENGTH({sql})", f"CAST({value} AS BINARY)",
        "text", own, charset or own,
    )  # fmt: skip


def literal(carrier: Carrier, charset: str, value: str | bytes | None) -> str:
    """A value that `read` or `ident` brought, as SQL that is compared with or stored into its column without loss."""
    if value is None:
        return "NULL"
    if carrier in ("number", "real", "time"):
        text = value.decode("ascii") if isinstance(value, bytes) else value
        if carrier == "number":
            return text
        if carrier == "real":
            return text if "e" in text else f"{text}e0"
        return f"'{text}'"
    data = value.encode() if isinstance(value, str) else value
    if carrier == "bytes" or charset == "binary":
        return f"0x{data.hex()}" if data else "''"
    # An introducer, not CONVERT: a literal gives way to the column's collation.
    return f"_{charset} 0x{data.hex()}" if data else f"_{charset} ''"
