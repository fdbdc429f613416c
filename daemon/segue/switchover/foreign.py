"""Transactions on a server that are not Segue's own, read from its binlog.

Our own marker is the row of `segue.progress`, which every commit of ours on a standby changes. A transaction behind the
point at which a server became a standby that changed rows and not that one was written by somebody else; on a side that was
given up, everything behind the position that was replicated is lost.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from segue.binlog import events as ev
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid, parse
from segue.errors import ConnectionLost
from segue.replicate.dump import DumpRequest, DumpStream
from segue.schema import Selection
from segue.switchover.server import Server

LISTED: Final = 200
_OURS: Final = "segue"
_IDLE: Final = 1.0
_TYPES: Final = frozenset({ev.GTID, ev.ANONYMOUS_GTID, ev.MARIADB_GTID, ev.TABLE_MAP, ev.XID, ev.QUERY}) | ev.ROWS


@dataclass
class Found:
    """What was read: up to `position`, and whether that is the end."""

    position: str
    complete: bool
    transactions: list[dict[str, Any]] = field(default_factory=list)
    """{"gtid", "at" (Unix seconds), "tables", "row_events"}"""


async def transactions(server: Server, behind: str, limit: float, selection: Selection | None = None) -> Found:
    """Up to 200 transactions behind `behind` that are not ours, within `limit` seconds of reading.

    With a `selection` only changes to its tables count. Raises ServerError where the binlog is purged.
    """
    flavour, conn = await server.get()
    mariadb = flavour.dump_is_mariadb
    position = parse(behind, mariadb=mariadb)
    end = parse(await flavour.position(conn), mariadb=mariadb)
    if position.contains(end):
        return Found(behind, complete=True)
    # A number and a uuid of its own: a server ends the dump of a replica that comes with the number of another.
    name = uuid.uuid4()
    request = DumpRequest(server.side.endpoint, server.side.where, mariadb, name.int & 0x3FFF_FFFF | 0x4000_0000,
                          str(name), position)  # fmt: skip
    listing = Listing(position, selection)
    stream = await DumpStream.open(request)
    heard = time.monotonic()
    at_end = False
    try:
        async with asyncio.timeout(limit):
            while len(listing.done) < LISTED and not listing.position.contains(end):
                for packet in await stream.read():
                    if packet[5] in _TYPES:
                        listing.feed(packet[1:])
                        heard = time.monotonic()
                if stream.at_head and time.monotonic() - heard > _IDLE:
                    at_end = True  # positions by file have no end that could be recognised in the events
                    break
    except (TimeoutError, ConnectionLost):
        return Found(listing.position.text(), complete=False, transactions=listing.done[:LISTED])
    finally:
        stream.close()
    # A transaction of which only the beginning was read is left to the next look: our mark comes at the end of ours.
    where = end if at_end and isinstance(end, FilePosition) else listing.position
    return Found(where.text(), len(listing.done) < LISTED, listing.done[:LISTED])


class Listing:
    """Collects transactions from events (without the zero byte in front of each)."""

    def __init__(self, position: GtidSet | MariaGtid | FilePosition, selection: Selection | None) -> None:
        self.done: list[dict[str, Any]] = []
        self.position = position.copy()
        """Up to the last transaction that is complete."""
        self._selection = selection
        self._gtid: tuple[Any, ...] | None = None
        self._at = 0
        self._tables: dict[str, None] = {}
        self._rows = 0
        self._ours = False

    def feed(self, event: bytes) -> None:
        """One event, complete with its header."""
        kind = event[4]
        if kind in (ev.GTID, ev.MARIADB_GTID, ev.ANONYMOUS_GTID):
            self.end()
            self._at = int.from_bytes(event[:4], "little")
            body = event[ev.HEADER_SIZE :]
            if kind == ev.GTID:
                self._gtid = ev.mysql_gtid(body)[:2]
            elif kind == ev.MARIADB_GTID:
                self._gtid = ev.mariadb_gtid(body, int.from_bytes(event[5:9], "little"))[:3]
            else:
                self._gtid = ()
        elif kind == ev.TABLE_MAP:
            schema, table = _names(event)
            if schema == _OURS:
                self._ours = True
            elif self._selection is None or self._selection.wants(schema, table):
                self._tables[f"{schema}.{table}"] = None
        elif kind in ev.ROWS:
            self._rows += 1
        elif kind == ev.XID or b"BEGIN" not in event[-16:]:  # a QUERY that is no BEGIN: DDL, COMMIT
            self.end()

    def end(self) -> None:
        """The transaction under way is complete."""
        if self._gtid is not None:
            if self._tables and not self._ours:
                self.done.append({"gtid": _text(self._gtid), "at": self._at, "tables": list(self._tables),
                                  "row_events": self._rows})  # fmt: skip
            if self._gtid:
                self.position.add(*self._gtid)  # type: ignore[union-attr] # a position by file has no GTIDs
        self._gtid, self._tables, self._rows, self._ours = None, {}, 0, False


def _text(gtid: tuple[Any, ...]) -> str:
    if not gtid:
        return "anonymous"
    return f"{gtid[0]}:{gtid[1]}" if len(gtid) == 2 else "-".join(map(str, gtid))


def _names(event: bytes) -> tuple[str, str]:
    """TABLE_MAP: table id 6 bytes, flags 2, then each name behind its length with a zero at its end."""
    at = ev.HEADER_SIZE + 8
    length = event[at]
    schema = event[at + 1 : at + 1 + length].decode("utf-8", "replace")
    at += length + 2
    length = event[at]
    return schema, event[at + 1 : at + 1 + length].decode("utf-8", "replace")
