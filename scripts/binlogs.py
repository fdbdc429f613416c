"""What a lab server wrote into its binlog, read from its file; and mysql-replication's opinion of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pymysql.protocol import MysqlPacket
from pymysqlreplication import row_event
from pymysqlreplication.packet import BinLogPacketWrapper

from lab import Server
from segue.binlog import events as ev
from segue.binlog.images import Head, Layout
from segue.binlog.rows import TableMap


@dataclass(frozen=True, slots=True)
class Event:
    kind: int
    body: bytes
    """Without header and CRC32."""
    raw: bytes
    """Complete, as a dump stream sends it behind its zero byte."""


RowEvent = tuple[TableMap, int, Head, bytes]
"""Map, kind, head, rows."""


class Recorder:
    """Events that come after its construction."""

    def __init__(self, server: Server) -> None:
        self._server = server
        server.sql("FLUSH BINARY LOGS")
        self._file = server.sql("SHOW BINARY LOGS")[-1][0]
        self._rows: dict[str, list[RowEvent]] = {}

    def events(self) -> list[Event]:
        data = (self._server.folder / "data" / self._file).read_bytes()
        out, at = [], 4
        while at < len(data):
            size = int.from_bytes(data[at + 9 : at + 13], "little")
            out.append(Event(data[at + 4], data[at + 19 : at + size - 4], data[at : at + size]))
            at += size
        return out

    def rows(self, table: str) -> list[RowEvent]:
        """The row events of one table until the first call."""
        if not self._rows:
            maps: dict[bytes, TableMap] = {}
            for event in self.events():
                if event.kind == ev.TABLE_MAP:
                    maps[event.body[:6]] = TableMap.parse(event.body, mariadb=self._server.flavour == "mariadb")
                elif event.kind in ev.ROWS or event.kind == ev.PARTIAL_UPDATE_ROWS:
                    seen = maps[event.body[:6]]
                    head, at = Layout(seen).head(event.kind, event.body[8:])
                    self._rows.setdefault(seen.table, []).append((seen, event.kind, head, event.body[8 + at :]))
        return self._rows.get(table, [])


_ROW_EVENTS = (row_event.WriteRowsEvent, row_event.UpdateRowsEvent, row_event.DeleteRowsEvent, row_event.TableMapEvent)


class SecondOpinion:
    """mysql-replication's decoder, fed with events instead of a connection."""

    def __init__(self, flavour: str) -> None:
        self._tables: dict[int, Any] = {}
        # All that it asks of a connection as long as the metadata is FULL.
        self._connection = SimpleNamespace(charset="utf8mb4", _get_dbms=lambda: flavour)

    def rows(self, raw: bytes) -> list[dict[str, Any]] | None:
        """Rows of a row event (with header and CRC32) by column name; None for other events. Its own errors."""
        wrapped = BinLogPacketWrapper(
            MysqlPacket(b"\0" + raw, "utf8"), self._tables, self._connection, (9, 7, 0), True, _ROW_EVENTS,
            None, None, None, None, False, False, False, True, False,
        )  # fmt: skip
        event = wrapped.event
        if event is None:
            return None
        if isinstance(event, row_event.TableMapEvent):
            self._tables[event.table_id] = event.get_table()
            return None
        return list(event.rows)
