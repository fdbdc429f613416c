"""Column types of table maps: codes, metadata, and how many bytes a value takes in a row image. Pure.

Source of formats: MySQL Source Code Documentation, "Table_map_event" and "Rows_event"; MariaDB Knowledge Base,
"TABLE_MAP_EVENT". ENUM and SET travel as STRING with their own code in the metadata; here they have their own code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from segue.binlog.events import BinlogError

DECIMAL, TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(10)
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2, TYPED_ARRAY = range(10, 21)
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141
VECTOR: Final = 242
JSON, NEWDECIMAL, ENUM, SET, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = range(245, 256)

TYPE_NAMES: Final = {
    TINY: "TINYINT", SHORT: "SMALLINT", INT24: "MEDIUMINT", LONG: "INT", LONGLONG: "BIGINT", FLOAT: "FLOAT",
    DOUBLE: "DOUBLE", NEWDECIMAL: "DECIMAL", BIT: "BIT", YEAR: "YEAR", DATE: "DATE", NEWDATE: "DATE",
    TIME: "TIME (old format)", DATETIME: "DATETIME (old format)", TIMESTAMP: "TIMESTAMP (old format)",
    TIME2: "TIME", DATETIME2: "DATETIME", TIMESTAMP2: "TIMESTAMP", VARCHAR: "VARCHAR", VAR_STRING: "VARCHAR",
    STRING: "CHAR", TINY_BLOB: "TINYBLOB", BLOB: "BLOB", MEDIUM_BLOB: "MEDIUMBLOB", LONG_BLOB: "LONGBLOB",
    ENUM: "ENUM", SET: "SET", JSON: "JSON", GEOMETRY: "GEOMETRY", VECTOR: "VECTOR",
    BLOB_COMPRESSED: "BLOB COMPRESSED", VARCHAR_COMPRESSED: "VARCHAR COMPRESSED",
}  # fmt: skip

NUMERIC: Final = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, FLOAT, DOUBLE, NEWDECIMAL, YEAR})
"""Types that the signedness bitmap of the optional metadata counts (seen on MySQL 9.7 and MariaDB 10.11)."""
CHARACTER: Final = frozenset({STRING, VAR_STRING, VARCHAR, BLOB, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB,
                              BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR})  # fmt: skip
"""Types that the character set fields of the optional metadata count; MariaDB counts GEOMETRY too."""
BLOBS: Final = frozenset({BLOB, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB_COMPRESSED, JSON, GEOMETRY, VECTOR})
TEMPORAL: Final = frozenset({TIMESTAMP2, DATETIME2, TIME2})
BINARY_CHARSET: Final = 63

_FIXED: Final = {
    TINY: 1, SHORT: 2, INT24: 3, LONG: 4, LONGLONG: 8, DATE: 3, NEWDATE: 3, TIME: 3, DATETIME: 8, TIMESTAMP: 4, YEAR: 1,
}  # fmt: skip
_META_SIZE: Final = (
    dict.fromkeys((FLOAT, DOUBLE, *TEMPORAL, *BLOBS), 1)
    | dict.fromkeys((VARCHAR, VAR_STRING, VARCHAR_COMPRESSED, STRING, ENUM, SET, BIT, NEWDECIMAL), 2)
)  # fmt: skip
_FRACTION_BASE: Final = {TIMESTAMP2: 4, DATETIME2: 5, TIME2: 3}
_DIGITS: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes that 0 to 9 decimal digits take in a DECIMAL."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table map. What only optional metadata tells is None where that is missing."""

    type: int
    meta: bytes
    """The type's metadata as it came, 0 to 2 bytes."""
    size: int
    """Bytes of every value in a row image; 0 when each value tells its own."""
    prefix: int
    """Bytes of the length in front of a value; 0 for a fixed size."""
    length: int = 0
    """CHAR, VARCHAR: most bytes; BIT: bits; DECIMAL: precision; TIME, DATETIME, TIMESTAMP: digits of the fraction."""
    scale: int = 0
    """DECIMAL: digits behind the point."""
    nullable: bool = True
    name: str | None = None
    unsigned: bool | None = None
    charset: int | None = None
    """Collation id (63 is binary) of CHAR, VARCHAR, TEXT, BLOB, ENUM, SET and their kin."""
    labels: tuple[bytes, ...] | None = None
    """Of an ENUM or SET, in the column's own character set."""
    geometry: int | None = None
    """0 GEOMETRY, 1 POINT, 2 LINESTRING, 3 POLYGON, 4-6 the MULTI forms, 7 GEOMETRYCOLLECTION."""
    dimensions: int | None = None
    """Of a VECTOR."""
    visible: bool = True
    kind: str = ""
    """What only a catalogue knows, since MariaDB's events do not tell: "uuid", "inet4" and "inet6" come as BINARY,
    "hires" is `with_fraction`'s."""

    @property
    def type_name(self) -> str:
        return TYPE_NAMES.get(self.type, f"type {self.type}")


def column(code: int, meta: bytes, *, nullable: bool = True) -> Column:
    """What `code` and its metadata say. Raises BinlogError for a type that is not known."""
    length = scale = 0
    size = _FIXED.get(code, 0)
    prefix = 0
    if code in {STRING, ENUM, SET}:
        code, length = _string(meta)
    if code in {ENUM, SET}:
        size, length = length, 0
        if not 1 <= size <= (2 if code == ENUM else 8):
            raise BinlogError(f"an {TYPE_NAMES[code]} column of {size} bytes")
    elif code in {STRING, VARCHAR, VAR_STRING, VARCHAR_COMPRESSED}:
        length = length or meta[0] | meta[1] << 8
        prefix = 2 if length > 255 else 1
    elif code in BLOBS:
        prefix = meta[0]
        if not 1 <= prefix <= 4:
            raise BinlogError(f"a {TYPE_NAMES[code]} column with a length of {prefix} bytes")
    elif code in {FLOAT, DOUBLE}:
        size = meta[0]
        if size != (4 if code == FLOAT else 8):
            raise BinlogError(f"a {TYPE_NAMES[code]} column of {size} bytes")
    elif code in _FRACTION_BASE:
        length = meta[0]
        if length > 6:
            raise BinlogError(f"a {TYPE_NAMES[code]} column with {length} digits of fraction")
        size = _FRACTION_BASE[code] + (length + 1) // 2
    elif code == BIT:
        length = meta[0] + 8 * meta[1]
        size = (length + 7) // 8
        if not 1 <= length <= 64:
            raise BinlogError(f"a BIT column of {length} bits")
    elif code == NEWDECIMAL:
        length, scale = meta[0], meta[1]
        if not 1 <= length <= 65 or scale > min(length, 38):
            raise BinlogError(f"a DECIMAL column of {length} digits, {scale} of them behind the point")
        size = decimal_size(length, scale)
    elif not size:
        raise BinlogError(f"column type {code} is not understood")
    return Column(code, meta, size, prefix, length, scale, nullable)


_HIRES: Final = {TIME: (3, 4, 4, 5, 5, 5, 6), DATETIME: (8, 6, 6, 7, 7, 7, 8), TIMESTAMP: (4, 5, 5, 6, 6, 7, 7)}


def with_fraction(column: Column, digits: int) -> Column:
    """A TIME, DATETIME or TIMESTAMP of old format with `digits` of fraction, as MariaDB tables have that were made
    with mysql56_temporal_format=OFF (the default of 5.3 to 10.0). The event does not tell it, and the size differs:
    without a catalogue's word their rows cannot be cut. Raises BinlogError for another type."""
    sizes = _HIRES.get(column.type)
    if sizes is None or not 0 <= digits <= 6:
        raise BinlogError(f"a {column.type_name} column has no {digits} digits of fraction to be told")
    return replace(column, size=sizes[digits], length=digits, kind="hires") if digits else column


def meta_size(code: int) -> int:
    """Bytes of metadata of a type. Raises BinlogError for a type that is not known."""
    if code in _FIXED:
        return 0
    size = _META_SIZE.get(code)
    if size is None:
        raise BinlogError(f"column type {code} is not understood")
    return size


def decimal_size(precision: int, scale: int) -> int:
    """Bytes of a DECIMAL value."""
    whole = precision - scale
    return whole // 9 * 4 + _DIGITS[whole % 9] + scale // 9 * 4 + _DIGITS[scale % 9]


def _string(meta: bytes) -> tuple[int, int]:
    """(real type, length) of a STRING's metadata; lengths above 255 lend two bits to the type's byte, inverted."""
    high, low = meta
    code = high | 0x30
    if code not in {STRING, ENUM, SET}:
        raise BinlogError(f"a CHAR column of type {code}")
    return code, low | ((high & 0x30) ^ 0x30) << 4
