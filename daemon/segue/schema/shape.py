"""Between a definition in a catalogue and a column in a table map. Pure.

`wire` says how a server sends a column's values in its row events, `from_event` what definition a table map tells.
Types go by the servers' own `Field` classes: a VARCHAR's metadata is its length in bytes, ENUM and SET travel as
STRING, every TEXT and BLOB as BLOB with the size of its length.
"""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import replace
from typing import Final

from segue.binlog import columns as ct
from segue.binlog.recode import PYTHON_NAMES
from segue.binlog.rows import TableMap
from segue.errors import SegueError
from segue.schema.catalogue import Column, ForeignKey, Key, Table

Collations = ReadOnly[int, tuple[str, str]]
"""Collation id -> (character set, collation), as a server names them."""

INTEGERS: Final = {"tinyint": ct.TINY, "smallint": ct.SHORT, "mediumint": ct.INT24, "int": ct.LONG, "bigint": ct.LONGLONG}
BYTES_OF: Final = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8}
TEXTS: Final = {"tinytext": 1, "text": 2, "mediumtext": 3, "longtext": 4}
BLOBS: Final = {"tinyblob": 1, "blob": 2, "mediumblob": 3, "longblob": 4}
GEOMETRIES: Final = ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
                     "geometrycollection")  # fmt: skip
FIXED_BYTES: Final = {"uuid": 16, "inet6": 16, "inet4": 4}
"""MariaDB's types that travel as BINARY."""
_TEMPORAL: Final = {"time": ct.TIME2, "datetime": ct.DATETIME2, "timestamp": ct.TIMESTAMP2}
_WIDEST: Final = {
    "utf8mb4": 4, "utf8mb3": 3, "utf8": 3, "ucs2": 2, "utf16": 4, "utf16le": 4, "utf32": 4, "big5": 2, "cp932": 2,
    "eucjpms": 3, "euckr": 2, "gb18030": 4, "gb2312": 2, "gbk": 2, "sjis": 2, "ujis": 3,
}  # fmt: skip
_SAME_GEOMETRY: Final = {"geomcollection": "geometrycollection"}


def widest(charset: str | None) -> int:
    """Most bytes of one character."""
    return _WIDEST.get(charset or "binary", 1)


def base_of(column: Column) -> str:
    """The data type's word, one for each type."""
    base = column.parsed.base
    if base == "integer":
        return "int"
    return _SAME_GEOMETRY.get(base, base)


def wire(column: Column) -> ct.Column:
    """How a server with this column sends and expects its values. Raises SegueError for a type that is not known."""
    code, meta = _code_and_meta(column)
    made = ct.column(code, meta, nullable=column.nullable)
    base = base_of(column)
    labels = tuple(label.encode() for label in column.parsed.labels) or None
    binary = base in BLOBS or base in {"binary", "varbinary"}
    return replace(made, name=column.name, unsigned=column.parsed.unsigned, labels=labels,
                   charset=ct.BINARY_CHARSET if binary else None,
                   kind=base if base in FIXED_BYTES else "", visible=not column.invisible)  # fmt: skip


def _code_and_meta(column: Column) -> tuple[int, bytes]:
    kind, base = column.parsed, base_of(column)
    compressed = "compressed" in column.type
    if base in INTEGERS:
        return INTEGERS[base], b""
    if base in _TEMPORAL:
        return _TEMPORAL[base], bytes((kind.number(0, 0),))
    if base in TEXTS or base in BLOBS:
        return ct.BLOB_COMPRESSED if compressed else ct.BLOB, bytes(((TEXTS | BLOBS)[base],))
    if base in {"varchar", "varbinary"}:
        size = kind.number(0, 0) * (widest(column.charset) if base == "varchar" else 1)
        # A compressed value has a byte in front that says how, and the server counts it in (seen on MariaDB 10.11).
        return ct.VARCHAR_COMPRESSED if compressed else ct.VARCHAR, (size + compressed).to_bytes(2, "little")
    if base in {"char", "binary"} or base in FIXED_BYTES:
        size = FIXED_BYTES.get(base) or kind.number(0, 1) * (widest(column.charset) if base == "char" else 1)
        return ct.STRING, bytes((ct.STRING ^ ((size & 0x300) >> 4), size & 0xFF))
    if base == "enum":
        return ct.STRING, bytes((ct.ENUM, 1 if len(kind.labels) < 256 else 2))
    if base == "set":
        size = (len(kind.labels) + 7) // 8
        return ct.STRING, bytes((ct.SET, size if size <= 4 else 8))
    if base == "bit":
        bits = kind.number(0, 1)
        return ct.BIT, bytes((bits & 7, bits >> 3))
    if base == "decimal":
        return ct.NEWDECIMAL, bytes((kind.number(0, 10), kind.number(1, 0)))
    if base in GEOMETRIES:
        return ct.GEOMETRY, b"\4"
    simple = {"float": (ct.FLOAT, b"\4"), "double": (ct.DOUBLE, b"\10"), "date": (ct.DATE, b""), "year": (ct.YEAR, b""),
              "json": (ct.JSON, b"\4"), "vector": (ct.VECTOR, b"\4")}  # fmt: skip
    if base in simple:
        return simple[base]
    raise SegueError(f"column {column.name} has type {column.type}, which is not known",
                     mend="Exclude the table, or give the column another type")  # fmt: skip


def from_event(event: TableMap, collations: Collations, today: Table | None) -> Table:
    """The table as it was when the event was written, as far as its table map tells.

    What no table map tells (generated columns, other unique keys, foreign keys, MariaDB's uuid) is taken from today's definition
    where the column is the same. Raises SegueError when the table map has no column names and does not look like
    today's definition either.
    """
    names = event.names
    if len(names) != event.columns:
        if today is None or len(today.columns) != event.columns:
            raise SegueError(f"an event of {event.schema}.{event.table} carries no column names",
                             mend="SET GLOBAL binlog_row_metadata = FULL; on the source, and fill the target anew")  # fmt: skip
        names = tuple(c.name for c in today.columns)
    columns = tuple(
        _column(column, name, collations, today.column(name) if today else None)
        for column, name in zip(event.described, names, strict=True)
    )
    primary = tuple(names[p.column] + (f"({p.prefix})" if p.prefix else "") for p in event.primary)
    keys = [Key("PRIMARY", primary)] if primary else []
    foreign: tuple[ForeignKey, ...] = ()
    if today is not None:
        here = {n.lower() for n in names}
        foreign = tuple(f for f in today.foreign_keys if {c.lower() for c in f.columns} <= here)
        keys += [k for k in today.keys if (k.name != "PRIMARY" or not event.names) and set(k.names) <= here]
    engine = today.engine if today else "InnoDB"
    return Table(event.schema, event.table, engine, columns, tuple(keys), foreign_keys=foreign)


def _column(seen: ct.Column, name: str, collations: Collations, today: Column | None) -> Column:
    known = seen.name is not None
    charset, collation = collations.get(seen.charset or 0, (None, None))
    if today is not None and _alike(seen, today, charset, known=known):
        return replace(today, name=name, charset=charset if charset not in {None, "binary"} else today.charset,
                       collation=collation if charset not in {None, "binary"} else today.collation)  # fmt: skip
    if not known:
        raise SegueError(f"an event carries no column names, and its column {name} is not what it is today",
                         mend="SET GLOBAL binlog_row_metadata = FULL; on the source, and fill the target anew")  # fmt: skip
    binary = seen.charset in {None, ct.BINARY_CHARSET}
    text = None if binary else charset
    return Column(name, _type(seen, charset, binary=binary), text, None if binary else collation, seen.nullable, None,
                  "" if seen.visible else "invisible", "")  # fmt: skip


def _alike(seen: ct.Column, today: Column, charset: str | None, *, known: bool) -> bool:
    """Whether today's definition is that of the event."""
    try:
        now = wire(today)
    except SegueError:
        return False
    if (now.type, now.size, now.length, now.scale, now.prefix) != (seen.type, seen.size, seen.length, seen.scale, seen.prefix):
        return False
    if not known:
        return True
    if seen.unsigned is not None and seen.type in ct.NUMERIC and bool(seen.unsigned) != today.parsed.unsigned:
        return False
    if charset is not None and (charset == "binary") != (today.charset in {None, "binary"}) and seen.type in ct.CHARACTER:
        return False
    if seen.labels is None or charset not in PYTHON_NAMES:  # labels that cannot be read here are only counted
        return seen.labels is None or len(seen.labels) == len(today.parsed.labels)
    return _labels(seen, charset) == today.parsed.labels


def _labels(seen: ct.Column, charset: str | None) -> tuple[str, ...]:
    python = PYTHON_NAMES.get(charset or "utf8mb4", "utf-8")
    return tuple(label.decode(python, "replace") for label in seen.labels or ())


def _type(seen: ct.Column, charset: str | None, *, binary: bool) -> str:
    """As a catalogue would write it."""
    code = seen.type
    unsigned = " unsigned" if seen.unsigned else ""
    integer = next((n for n, c in INTEGERS.items() if c == code), None)
    if integer is not None:
        return integer + unsigned
    if code in {ct.VARCHAR, ct.VAR_STRING, ct.VARCHAR_COMPRESSED}:
        tail = " compressed" if code == ct.VARCHAR_COMPRESSED else ""
        return (f"varbinary({seen.length})" if binary else f"varchar({seen.length // widest(charset)})") + tail
    if code == ct.STRING:
        return f"binary({seen.length})" if binary else f"char({seen.length // widest(charset)})"
    if code in {ct.BLOB, ct.BLOB_COMPRESSED}:
        kinds = BLOBS if binary else TEXTS
        return next(n for n, p in kinds.items() if p == seen.prefix) + (" compressed" if code != ct.BLOB else "")
    if code in {ct.ENUM, ct.SET}:
        labels = ",".join("'" + x.replace("'", "''") + "'" for x in _labels(seen, charset))
        return f"{'enum' if code == ct.ENUM else 'set'}({labels})"
    if code == ct.NEWDECIMAL:
        return f"decimal({seen.length},{seen.scale}){unsigned}"
    if code == ct.BIT:
        return f"bit({seen.length})"
    if code == ct.GEOMETRY:
        return GEOMETRIES[seen.geometry or 0]
    if code == ct.VECTOR:
        return f"vector({seen.dimensions or 0})"
    for word, number in _TEMPORAL.items():
        if code == number:
            return f"{word}({seen.length})" if seen.length else word
    plain = {ct.FLOAT: "float", ct.DOUBLE: "double", ct.DATE: "date", ct.NEWDATE: "date", ct.YEAR: "year", ct.JSON: "json",
             ct.TIME: "time", ct.DATETIME: "datetime", ct.TIMESTAMP: "timestamp"}  # fmt: skip
    return plain[code] + (unsigned if code in {ct.FLOAT, ct.DOUBLE} else "")
