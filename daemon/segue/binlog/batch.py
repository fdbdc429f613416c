"""Many row events of many transactions as the content of one BINLOG statement.

Rules (why: docs/row-path.md): the table maps of a group stand once at its head; adjacent events of one table
with the same type and head are one event; only the last event of a group has STMT_END, and a group is always
closed inside one statement, since MySQL crashes and MariaDB loses rows otherwise. A new group begins where the
flags change, because MariaDB honours only the first event's foreign-key flag, and where a table's map changes.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Final, Protocol

from segue.binlog.events import HEADER, HEADER_SIZE, TABLE_MAP
from segue.binlog.rows import STMT_END

MAX_EVENT: Final = 512 * 1024
"""Bytes up to which adjacent events are joined."""

LARGE: Final = 4 << 20
"""Bytes from which on a copy counts more than the time of avoiding it."""
_CUT: Final = 3 << 18
"""A multiple of three: pieces of base64 without padding between them."""


class Destination(Protocol):
    """A table map for BINLOG; or, with an empty `tail`, a table that is written in another way."""

    @property
    def schema(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def tail(self) -> bytes: ...


Mark = tuple[int, int, int, int, int]


class Run:
    """Adjacent row events of one table, type, flags and head: one event on the target."""

    __slots__ = ("flags", "head", "kind", "map", "rows", "size", "timestamp")

    def __init__(  # noqa: PLR0917 - once per row event, by position for speed
        self, kind: int, timestamp: int, flags: int, head: bytes, rows: bytes, table: Destination
    ) -> None:
        self.kind = kind
        self.timestamp = timestamp
        self.flags = flags
        self.head = head
        self.rows = [rows]
        self.size = len(rows)
        self.map = table


class Batch:
    """Row events as they come, until they are made into a statement. Empty of rows when all were filtered out."""

    __slots__ = ("began", "events", "held", "last", "runs", "size", "transactions")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.last: Run | None = None
        self.size = 0
        self.events = 0
        self.transactions = 0
        self.held: dict[str, bytes | None] = {}
        """By xid, what its transactions leave prepared (events) or end (None)."""
        self.began = 0.0
        """When the oldest of its transactions was committed, seconds on the source's clock."""

    def add(  # noqa: PLR0917 - as above
        self, kind: int, timestamp: int, flags: int, head: bytes, rows: bytes, table: Destination
    ) -> None:
        """One row event; `flags` without STMT_END."""
        size = len(rows)
        self.size += size
        self.events += 1
        last = self.last
        if (
            last is not None
            and last.map is table
            and last.kind == kind
            and last.flags == flags
            and last.head == head
            and last.size + size <= MAX_EVENT
        ):
            last.rows.append(rows)
            last.size += size
            return
        self.last = run = Run(kind, timestamp, flags, head, rows, table)
        self.runs.append(run)
        self.size += len(head) + HEADER_SIZE + 8

    def mark(self) -> Mark:
        """The present end, to `cut` back to."""
        last = self.last
        return (len(self.runs), len(last.rows) if last else 0, last.size if last else 0, self.size, self.events)

    def forget_rows(self) -> None:
        """They have been made into a statement; what else is known of them stays."""
        for run in self.runs:
            run.rows = []

    def cut(self, mark: Mark) -> None:
        """Forget all that came after `mark`."""
        runs, rows, run_size, self.size, self.events = mark
        del self.runs[runs:]
        self.last = self.runs[-1] if self.runs else None
        if self.last is not None:
            del self.last.rows[rows:]
            self.last.size = run_size


class BatchWriter:
    """Builds statements; keeps table ids of its own, since the source's are reused for other tables."""

    def __init__(self, server_id: int) -> None:
        self._server_id = server_id
        self._ids: dict[bytes, int] = {}

    def statement(self, runs: Sequence[Run]) -> bytes:
        """`BINLOG '...'` for these events, in order; at least one."""
        data = b"".join(self._groups(runs))
        if len(data) < LARGE:
            return b"BINLOG '" + binascii.b2a_base64(data, newline=False) + b"'"
        view = memoryview(data)
        pieces = [binascii.b2a_base64(view[at : at + _CUT], newline=False) for at in range(0, len(data), _CUT)]
        del view, data  # a value of 64 MB is not kept once more than it must be
        return b"".join((b"BINLOG '", *pieces, b"'"))

    def _groups(self, runs: Sequence[Run]) -> list[bytes]:
        out: list[bytes] = []
        group: list[Run] = []
        maps: dict[tuple[str, str], Destination] = {}
        for run in runs:
            table = run.map
            key = (table.schema, table.table)
            known = maps.get(key, table)
            if group and (run.flags != group[0].flags or known.tail != table.tail):
                self._close(out, group, maps)
                group, maps = [], {}
            maps[key] = table
            group.append(run)
        self._close(out, group, maps)
        return out

    def _close(self, out: list[bytes], group: list[Run], maps: dict[tuple[str, str], Destination]) -> None:
        stamp = group[0].timestamp
        for table in maps.values():
            body = self._id(table) + b"\x01\x00" + table.tail
            out.append(self._header(stamp, TABLE_MAP, len(body)) + body)
        last = group[-1]
        for run in group:
            flags = run.flags | (STMT_END if run is last else 0)
            prefix = self._id(run.map) + flags.to_bytes(2, "little") + run.head
            out.append(self._header(run.timestamp, run.kind, len(prefix) + run.size) + prefix)
            out += run.rows

    def _id(self, table: Destination) -> bytes:
        number = self._ids.get(table.tail)
        if number is None:
            number = self._ids[table.tail] = len(self._ids) + 1
        return number.to_bytes(6, "little")

    def _header(self, timestamp: int, kind: int, size: int) -> bytes:
        return HEADER.pack(timestamp, kind, self._server_id, HEADER_SIZE + size, 0, 0)
