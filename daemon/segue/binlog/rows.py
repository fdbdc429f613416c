"""Table maps, cut open only as far as passing rows on needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from segue.binlog.events import BinlogError

STMT_END: Final = 0x0001
_COLUMN_NAMES = 4


@dataclass(frozen=True, slots=True)
class TableMap:
    """A TABLE_MAP event's body without its table id: the schema of one table at the time of the event."""

    schema: str
    table: str
    columns: int
    types: bytes
    names: tuple[str, ...]
    """Empty unless binlog_row_metadata is FULL."""
    tail: bytes
    """Everything behind the table id and flags, as it came."""

    @classmethod
    def parse(cls, body: bytes) -> TableMap:
        """Raises BinlogError when it is cut short."""
        try:
            pos = 8
            size = body[pos]
            schema = body[pos + 1 : pos + 1 + size].decode()
            pos += size + 2
            size = body[pos]
            table = body[pos + 1 : pos + 1 + size].decode()
            pos += size + 2
            columns, pos = _lenenc(body, pos)
            types = body[pos : pos + columns]
            pos += columns
            meta, pos = _lenenc(body, pos)
            pos += meta + (columns + 7) // 8
            return cls(schema, table, columns, types, _names(body, pos), body[8:])
        except (IndexError, UnicodeDecodeError):
            raise BinlogError("a TABLE_MAP event is malformed") from None


def _lenenc(data: bytes, pos: int) -> tuple[int, int]:
    first = data[pos]
    if first < 0xFB:
        return first, pos + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        raise BinlogError("a length in an event is malformed")
    return int.from_bytes(data[pos + 1 : pos + 1 + size], "little"), pos + 1 + size


def _names(body: bytes, pos: int) -> tuple[str, ...]:
    """Column names of the optional metadata: fields of (type, length, value)."""
    while pos < len(body):
        kind = body[pos]
        size, pos = _lenenc(body, pos + 1)
        if kind == _COLUMN_NAMES:
            names, end = [], pos + size
            while pos < end:
                length, pos = _lenenc(body, pos)
                names.append(body[pos : pos + length].decode())
                pos += length
            return tuple(names)
        pos += size
    return ()
