"""Table maps: the schema of one table at the time of its row events.

Source of formats: MySQL Source Code Documentation, "Table_map_event", whose optional metadata MariaDB shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from segue.binlog import columns as ct
from segue.binlog.columns import Column
from segue.binlog.events import BinlogError

STMT_END: Final = 0x0001

(_SIGNEDNESS, _DEFAULT_CHARSET, _COLUMN_CHARSET, _COLUMN_NAME, _SET_LABELS, _ENUM_LABELS, _GEOMETRY, _PRIMARY_KEY,
 _PRIMARY_KEY_PREFIX, _LABELS_DEFAULT_CHARSET, _LABELS_CHARSET, _VISIBILITY, _DIMENSIONS) = range(1, 14)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One column of the primary key."""

    column: int
    prefix: int
    """Characters (bytes for binary columns) of a prefix key; 0 for the whole column."""


@dataclass(frozen=True, slots=True)
class TableMap:
    """A TABLE_MAP event's body without its table id."""

    schema: str
    table: str
    columns: int
    types: bytes
    names: tuple[str, ...]
    """Empty unless binlog_row_metadata is FULL."""
    tail: bytes
    """Everything behind the table id and flags, as it came."""
    meta: bytes
    """Metadata of all columns, as it came."""
    nulls: bytes
    """One bit a column, the lowest of the first byte first: it may be NULL."""
    described: tuple[Column, ...]
    """Every column with all that the event says of it."""
    primary: tuple[KeyPart, ...]
    """Empty when there is none, or unless binlog_row_metadata is FULL."""

    @classmethod
    def parse(cls, body: bytes, *, mariadb: bool = False) -> TableMap:
        """`mariadb`: a MariaDB wrote it. Raises BinlogError when it is malformed or has a column type that is not known."""
        try:
            return cls._parse(body, mariadb=mariadb)
        except (IndexError, UnicodeDecodeError):
            raise BinlogError("a TABLE_MAP event is malformed") from None

    @classmethod
    def _parse(cls, body: bytes, *, mariadb: bool) -> TableMap:
        pos = 8
        size = body[pos]
        schema = body[pos + 1 : pos + 1 + size].decode()
        pos += size + 2
        size = body[pos]
        table = body[pos + 1 : pos + 1 + size].decode()
        pos += size + 2
        count, pos = lenenc(body, pos)
        if count > len(body):
            raise BinlogError("a TABLE_MAP event is malformed")
        types = body[pos : pos + count]
        size, pos = lenenc(body, pos + count)
        meta, pos = body[pos : pos + size], pos + size
        bitmap = (count + 7) // 8
        nulls, pos = body[pos : pos + bitmap], pos + bitmap
        if pos > len(body):
            raise BinlogError("a TABLE_MAP event is malformed")
        optional = _optional(body, pos)
        described = _describe(_columns(types, meta, nulls), optional, mariadb=mariadb)
        names = tuple(c.name for c in described if c.name is not None)
        return cls(schema, table, count, types, names, body[8:], meta, nulls, described, _primary(optional, count))

    def partial_columns(self) -> tuple[int, ...]:
        """Numbers of the JSON columns, which a PARTIAL_UPDATE_ROWS event may give as differences."""
        return tuple(n for n, code in enumerate(self.types) if code == ct.JSON)


def lenenc(data: bytes, pos: int) -> tuple[int, int]:
    """(number, position behind it) of a length-encoded integer. Raises BinlogError, IndexError beyond the end."""
    first = data[pos]
    if first < 0xFB:
        return first, pos + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None or pos + 1 + size > len(data):
        raise BinlogError("a length in an event is malformed")
    return int.from_bytes(data[pos + 1 : pos + 1 + size], "little"), pos + 1 + size


def lenenc_bytes(number: int) -> bytes:
    """A length-encoded integer."""
    if number < 0xFB:
        return bytes((number,))
    for first, size in ((0xFC, 2), (0xFD, 3)):
        if number < 1 << 8 * size:
            return bytes((first,)) + number.to_bytes(size, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def _columns(types: bytes, meta: bytes, nulls: bytes) -> list[Column]:
    out, at = [], 0
    for number, code in enumerate(types):
        size = ct.meta_size(code)
        if at + size > len(meta):
            raise BinlogError("the metadata of a TABLE_MAP event is cut short")
        out.append(ct.column(code, meta[at : at + size], nullable=bool(nulls[number >> 3] >> (number & 7) & 1)))
        at += size
    if at != len(meta):
        raise BinlogError("a TABLE_MAP event has more metadata than its columns")
    return out


def _optional(body: bytes, pos: int) -> dict[int, bytes]:
    """The optional metadata's fields of (type, length, value) by type. Unknown ones are nobody's concern here."""
    fields: dict[int, bytes] = {}
    while pos < len(body):
        kind = body[pos]
        size, pos = lenenc(body, pos + 1)
        if pos + size > len(body):
            raise BinlogError("the optional metadata of a TABLE_MAP event is cut short")
        fields[kind] = body[pos : pos + size]
        pos += size
    return fields


def _describe(described: list[Column], fields: dict[int, bytes], *, mariadb: bool) -> tuple[Column, ...]:
    """The columns with what the optional metadata adds."""
    found: list[dict[str, Any]] = [{} for _ in described]

    def spread(attribute: str, numbers: Iterable[int], values: Iterable[Any]) -> None:
        for number, value in zip(numbers, values, strict=False):
            found[number][attribute] = value

    def of(wanted: Callable[[Column], bool]) -> list[int]:
        return [n for n, c in enumerate(described) if wanted(c)]

    everyone = range(len(described))
    characters = of(lambda c: c.type in ct.CHARACTER or (mariadb and c.type == ct.GEOMETRY))
    labelled = of(lambda c: c.type in {ct.ENUM, ct.SET})
    for kind, data in fields.items():
        if kind == _SIGNEDNESS:
            spread("unsigned", of(lambda c: c.type in ct.NUMERIC), _bits(data))
        elif kind in {_DEFAULT_CHARSET, _LABELS_DEFAULT_CHARSET}:
            numbers = characters if kind == _DEFAULT_CHARSET else labelled
            spread("charset", numbers, _default_and_pairs(data, len(numbers)))
        elif kind in {_COLUMN_CHARSET, _LABELS_CHARSET}:
            spread("charset", characters if kind == _COLUMN_CHARSET else labelled, _numbers(data))
        elif kind == _COLUMN_NAME:
            spread("name", everyone, (n.decode() for n in _strings(data)))
        elif kind in {_SET_LABELS, _ENUM_LABELS}:
            code = ct.SET if kind == _SET_LABELS else ct.ENUM
            spread("labels", [n for n in labelled if described[n].type == code], _label_lists(data))
        elif kind == _GEOMETRY:
            spread("geometry", of(lambda c: c.type == ct.GEOMETRY), _numbers(data))
        elif kind == _VISIBILITY:
            spread("visible", everyone, _bits(data))
        elif kind == _DIMENSIONS:
            spread("dimensions", of(lambda c: c.type == ct.VECTOR), _numbers(data))
    return tuple(dataclasses.replace(c, **f) if f else c for c, f in zip(described, found, strict=True))


def _primary(fields: dict[int, bytes], count: int) -> tuple[KeyPart, ...]:
    if _PRIMARY_KEY in fields:
        parts = tuple(KeyPart(n, 0) for n in _numbers(fields[_PRIMARY_KEY]))
    else:
        flat = _numbers(fields.get(_PRIMARY_KEY_PREFIX, b""))
        parts = tuple(KeyPart(n, p) for n, p in zip(flat[::2], flat[1::2], strict=False))
    if any(p.column >= count for p in parts):
        raise BinlogError("the primary key in a TABLE_MAP event names a column that is not there")
    return parts


def _bits(data: bytes) -> list[bool]:
    """The highest bit of each byte first."""
    return [bool(byte >> bit & 1) for byte in data for bit in range(7, -1, -1)]


def _numbers(data: bytes) -> list[int]:
    out, pos = [], 0
    while pos < len(data):
        number, pos = lenenc(data, pos)
        out.append(number)
    return out


def _strings(data: bytes) -> list[bytes]:
    out, pos = [], 0
    while pos < len(data):
        one, pos = _string(data, pos)
        out.append(one)
    return out


def _string(data: bytes, pos: int) -> tuple[bytes, int]:
    size, pos = lenenc(data, pos)
    if pos + size > len(data):
        raise BinlogError("a text in a TABLE_MAP event is cut short")
    return data[pos : pos + size], pos + size


def _label_lists(data: bytes) -> list[tuple[bytes, ...]]:
    out, pos = [], 0
    while pos < len(data):
        count, pos = lenenc(data, pos)
        if count > len(data):
            raise BinlogError("the labels in a TABLE_MAP event are cut short")
        labels = []
        for _ in range(count):
            one, pos = _string(data, pos)
            labels.append(one)
        out.append(tuple(labels))
    return out


def _default_and_pairs(data: bytes, count: int) -> list[int]:
    """One for all, then pairs of (which of the columns concerned, its own)."""
    first, *rest = _numbers(data) or [0]
    out = [first] * count
    for which, charset in zip(rest[::2], rest[1::2], strict=False):
        if which >= count:
            raise BinlogError("a character set in a TABLE_MAP event is of a column that is not there")
        out[which] = charset
    return out
