"""What a lab server wrote into its binlog, read from its file."""

from __future__ import annotations

from dataclasses import dataclass

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
                    maps[event.body[:6]] = TableMap.parse(event.body)
                elif event.kind in ev.ROWS or event.kind == ev.PARTIAL_UPDATE_ROWS:
                    seen = maps[event.body[:6]]
                    head, at = Layout(seen).head(event.kind, event.body[8:])
                    self._rows.setdefault(seen.table, []).append((seen, event.kind, head, event.body[8 + at :]))
        return self._rows.get(table, [])
