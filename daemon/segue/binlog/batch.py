"""Many row events of many transactions as the content of one BINLOG statement.

Rules (measured, docs/row-path.md): the table maps of a group stand once at its head; adjacent events of one table
with the same type and head are one event; only the last event of a group has STMT_END, and a group is always
closed inside one statement, since MySQL crashes and MariaDB loses rows otherwise. A new group begins where the
flags change, because MariaDB honours only the first event's foreign-key flag, and where a table's map changes.
"""

from __future__ import annotations

import binascii
from typing import Final

from segue.binlog.events import HEADER, HEADER_SIZE, TABLE_MAP
from segue.binlog.rows import STMT_END, TableMap

MAX_EVENT: Final = 512 * 1024
"""Bytes up to which adjacent events are joined."""


class RowEvent:
    """One row event on its way to the target."""

    __slots__ = ("flags", "head", "kind", "map", "rows", "timestamp")

    def __init__(self, kind: int, timestamp: int, flags: int, head: bytes, rows: bytes, table: TableMap) -> None:
        self.kind = kind
        self.timestamp = timestamp
        self.flags = flags & ~STMT_END
        self.head = head
        self.rows = rows
        self.map = table


class BatchWriter:
    """Builds statements; keeps table ids of its own, since the source's are reused for other tables."""

    def __init__(self, server_id: int) -> None:
        self._server_id = server_id
        self._ids: dict[bytes, int] = {}

    def statement(self, events: list[RowEvent]) -> bytes:
        """`BINLOG '...'` for these events, in order. `events` must not be empty."""
        return b"BINLOG '" + binascii.b2a_base64(b"".join(self._groups(events)), newline=False) + b"'"

    def _groups(self, events: list[RowEvent]) -> list[bytes]:
        out: list[bytes] = []
        group: list[RowEvent] = []
        maps: dict[tuple[str, str], TableMap] = {}
        flags = -1
        for event in events:
            table = event.map
            key = (table.schema, table.table)
            known = maps.get(key)
            if event.flags != flags or (known is not None and known is not table and known.tail != table.tail):
                if group:
                    self._close(out, group, maps)
                group, maps, flags = [], {}, event.flags
            maps.setdefault(key, table)
            group.append(event)
        self._close(out, group, maps)
        return out

    def _close(self, out: list[bytes], group: list[RowEvent], maps: dict[tuple[str, str], TableMap]) -> None:
        stamp = group[0].timestamp
        for table in maps.values():
            body = self._id(table).to_bytes(6, "little") + b"\x01\x00" + table.tail
            out.append(self._header(stamp, TABLE_MAP, len(body)) + body)
        at, last = 0, len(group)
        while at < last:
            first = group[at]
            parts, size = [first.rows], len(first.rows)
            at += 1
            while at < last:
                event = group[at]
                same = event.kind == first.kind and event.head == first.head and event.map.tail == first.map.tail
                if not same or size + len(event.rows) > MAX_EVENT:
                    break
                parts.append(event.rows)
                size += len(event.rows)
                at += 1
            flags = first.flags | (STMT_END if at == last else 0)
            prefix = self._id(first.map).to_bytes(6, "little") + flags.to_bytes(2, "little") + first.head
            out.append(self._header(first.timestamp, first.kind, len(prefix) + size) + prefix)
            out += parts

    def _id(self, table: TableMap) -> int:
        number = self._ids.get(table.tail)
        if number is None:
            number = self._ids[table.tail] = len(self._ids) + 1
        return number

    def _header(self, timestamp: int, kind: int, size: int) -> bytes:
        return HEADER.pack(timestamp, kind, self._server_id, HEADER_SIZE + size, 0, 0)
