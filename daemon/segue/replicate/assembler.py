"""From packets of a dump stream to batches of whole transactions. Pure; the hot loop of the replicator.

Theory. The source sends events; transactions begin with a GTID event and end with XID, COMMIT or a statement that
commits by itself. Rows go straight into the current batch; `position` moves only at a transaction's end, so that a
batch cut there stands for "everything up to this position". A transaction larger than a batch is cut inside: its
parts carry no position and the target commits only after the last one.

What cannot be applied faithfully raises Stop; `discard_partial` then leaves exactly what came before the
transaction concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import zstandard

from segue.binlog import events as ev
from segue.binlog.batch import Batch, Mark
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.binlog.rows import TableMap
from segue.errors import SegueError

MAX_INFLATED: Final = 1 << 31
_STANDALONE = 0x01
_PREPARED_XA = 0x40
_COMPLETED_XA = 0x80
_NEW_CONTENT = (1, 5, 13, 14)  # START_V3, INTVAR, RAND, USER_VAR: only prepare a statement that follows


class Stop(SegueError):  # noqa: N818 - names what happens
    """The stream cannot be applied faithfully beyond this point."""


class Route:
    """Where the rows of one table map go, and the lengths of its row events' heads.

    This one passes them on as they are; others re-write them (`replicate/routes.py`).
    """

    __slots__ = ("as_is", "head", "map", "update_head")

    def __init__(self, table: TableMap, *, as_is: bool = True) -> None:
        self.map = table
        self.as_is = as_is
        width = 1 if table.columns < 0xFB else 3
        bitmap = (table.columns + 7) // 8
        self.head = width + bitmap
        self.update_head = width + 2 * bitmap

    def add(self, batch: Batch, kind: int, timestamp: int, flags: int, body: bytes) -> None:
        """One row event whose `body` begins behind the post-header. Raises Stop for what the target cannot hold."""
        raise NotImplementedError


Plan = Callable[[TableMap], Route | None]
"""The route of a table map's rows; None when the table is not replicated. Raises Stop when there is none."""


class Ddl:
    """A statement in the stream that changes the definition of something replicated."""

    def __init__(self, query: ev.Query, schemas: set[str]) -> None:
        self.query = query
        self.schemas = schemas


class Assembler:
    """Feed it packets, take its `batch`."""

    def __init__(
        self, position: GtidSet | MariaGtid | FilePosition, plan: Plan, wants_schema: Callable[[str], bool], limit: int
    ) -> None:
        self.position = position
        self.batch = Batch()
        self.in_transaction = False
        self.cut_inside = False
        """Part of the present transaction is in an earlier batch."""
        self.commit_time = 0.0
        """When the last complete transaction was committed on the source, seconds on its clock."""
        self.clock = 0.0
        """The source's time at the last read; MariaDB tells commit times in whole seconds only."""
        self.limit = limit
        self._plan = plan
        self._wants_schema = wants_schema
        self._crc: bool | None = None
        self._known: dict[bytes, Route | None] = {}
        self._tables: dict[bytes, Route | None] = {}
        self._gtid: tuple[str, int] | tuple[int, int, int] | None = None
        self._standalone = False
        self._began = 0.0
        self._mark: Mark = self.batch.mark()
        self._next_offset = 0

    def take(self) -> Batch:
        """The batch so far; a new one begins. Only between transactions or when the batch is full."""
        batch, self.batch = self.batch, Batch()
        self._mark = self.batch.mark()
        self.cut_inside = self.in_transaction and (self.cut_inside or batch.events > 0)
        return batch

    def forget_tables(self) -> None:
        """Ask the plan again about every table: definitions have changed."""
        self._known.clear()
        self._tables.clear()

    def feed(self, payloads: Iterator[bytes]) -> Ddl | bool:
        """Take packets until there are no more (False), the batch is full (True), or a DDL needs a decision (Ddl).

        After a Ddl call `passed`. Raises Stop, and BinlogError for bytes that are no event.
        """
        try:
            return self._feed(payloads)
        except (IndexError, UnicodeDecodeError, zstandard.ZstdError) as error:
            raise ev.BinlogError(f"an event is malformed: {error}") from None

    def _feed(self, payloads: Iterator[bytes]) -> Ddl | bool:
        batch = self.batch
        tables = self._tables
        known = self._known
        for payload in payloads:
            kind = payload[5]
            if self._crc:
                if not ev.crc_is_right(payload):
                    raise ev.BinlogError(f"an event of type {kind} fails its checksum")
                end = -4
            else:
                end = len(payload)
            if kind in ev.ROWS:
                number = payload[20:26]
                entry = tables.get(number, self)
                if entry is None:
                    continue
                if not isinstance(entry, Route):
                    raise ev.BinlogError("a row event came without its table map")
                flags = (payload[26] | payload[27] << 8) & ~1
                if not entry.as_is:
                    entry.add(batch, kind, int.from_bytes(payload[1:5], "little"), flags, payload[28:end])
                    if batch.size >= self.limit:
                        return True
                    continue
                start = 28
                if kind >= ev.WRITE_V2:
                    start += payload[28] | payload[29] << 8
                start += entry.update_head if kind in (ev.UPDATE_V2, ev.UPDATE_V1) else entry.head
                batch.add(kind, int.from_bytes(payload[1:5], "little"), flags, payload[28:start],
                          payload[start:end], entry.map)  # fmt: skip
                if batch.size >= self.limit:
                    return True
            elif kind == ev.TABLE_MAP:
                key = payload[28:end]
                try:
                    tables[payload[20:26]] = known[key]
                except KeyError:
                    table = TableMap.parse(payload[20:end])
                    tables[payload[20:26]] = known[key] = self._plan(table)
            elif kind in ev.NO_CONTENT:
                continue
            else:
                found = self._control(kind, payload, end)
                if found is not None:
                    return found
                if not self.in_transaction and batch.size >= self.limit:
                    return True
        return False

    # -- everything that is not rows -----------------------------------------------------------------------

    def _control(self, kind: int, payload: bytes, end: int) -> Ddl | None:
        self._next_offset = int.from_bytes(payload[14:18], "little")
        if kind == ev.XID:
            self._complete()
        elif kind == ev.GTID:
            self._begin(ev.mysql_gtid(payload[20:end])[:2], ev.commit_time(payload[20:end]))
        elif kind == ev.MARIADB_GTID:
            domain, server, sequence, flags = ev.mariadb_gtid(payload[20:end], int.from_bytes(payload[6:10], "little"))
            if flags & (_PREPARED_XA | _COMPLETED_XA):
                raise Stop("an XA transaction was prepared or completed on the source, which is not replicated yet")
            stamp = float(int.from_bytes(payload[1:5], "little"))
            self._begin((domain, server, sequence), self.clock if self.clock - stamp < 1.5 else stamp)
            self._standalone = bool(flags & _STANDALONE)
            self.in_transaction = not self._standalone
        elif kind == ev.QUERY:
            return self._query(payload, end)
        elif kind == ev.ANONYMOUS_GTID:
            if not isinstance(self.position, FilePosition):
                raise Stop("a transaction without GTID came from a source that had GTIDs",
                           mend="Switch gtid_mode back to ON on the source, or begin anew")  # fmt: skip
            self._begin(None, ev.commit_time(payload[20:end]))
        elif kind == ev.FORMAT_DESCRIPTION:
            self._description(payload)
        elif kind == ev.ROTATE:
            self._rotate(payload)
        elif kind == ev.PREVIOUS_GTIDS:
            self._skip_to_offset()
        elif kind == ev.TRANSACTION_PAYLOAD:
            return self._payload_event(payload[20:end])
        elif kind == ev.XA_PREPARE:
            raise Stop("an XA transaction was prepared on the source, which is not replicated yet")
        elif kind == ev.INCIDENT:
            raise Stop("the source reports an incident: its binlog lacks changes", mend="Fill the target anew")
        elif kind not in _NEW_CONTENT:
            raise Stop(f"event type {kind} ({ev.NAMES.get(kind, 'unknown')}) is not understood")
        return None

    def _begin(self, gtid: tuple[str, int] | tuple[int, int, int] | None, began: float) -> None:
        if self.in_transaction:
            raise ev.BinlogError("a transaction began before the last one ended")
        self._gtid = gtid
        self._began = began
        self._mark = self.batch.mark()
        if self.batch.transactions == 0:
            self.batch.began = began

    def _complete(self) -> None:
        position, gtid = self.position, self._gtid
        if isinstance(position, FilePosition):
            position.offset = self._next_offset
        elif gtid is None:
            raise ev.BinlogError("a transaction ended that has no GTID")
        elif isinstance(position, GtidSet):
            position.add(gtid[0], gtid[1])  # type: ignore[arg-type]
        else:
            position.add(gtid[0], gtid[1], gtid[2])  # type: ignore[arg-type,misc]
        self._gtid = None
        self._standalone = self.in_transaction = self.cut_inside = False
        self.commit_time = self._began
        self.batch.transactions += 1
        self._mark = self.batch.mark()

    def _query(self, payload: bytes, end: int) -> Ddl | None:
        start = 33 + payload[28] + 1 + (payload[31] | payload[32] << 8)
        text = payload[start:end]
        if text == b"BEGIN":
            self.in_transaction = True
            if self._gtid is None and isinstance(self.position, FilePosition):
                self._mark = self.batch.mark()
            return None
        if text == b"COMMIT":
            self._complete()
            return None
        head = text[:12].upper()
        if head.startswith(b"SAVEPOINT"):
            return None
        if head.startswith(b"ROLLBACK"):
            if self.batch.mark() != self._mark or self.cut_inside or text.upper().startswith(b"ROLLBACK TO"):
                raise Stop("a transaction with changes to a non-transactional table was rolled back on the source",
                           mend="Use transactional engines only")  # fmt: skip
            self._complete()
            return None
        if head.startswith(b"XA "):
            if text.upper().startswith((b"XA START", b"XA END")):
                raise Stop("an XA transaction came from the source, which is not replicated yet")
            raise Stop("an XA transaction was ended on the source, which is not replicated yet")
        query = ev.Query.parse(payload[20:end])
        touched = {s for s in ev.schemas_touched(query) if self._wants_schema(s)}
        if not touched:
            if not self.in_transaction:
                self._complete()
            return None
        if head.startswith((b"INSERT", b"UPDATE", b"DELETE", b"REPLACE", b"LOAD", b"CALL")):
            raise Stop(f"a statement came instead of its rows: {_short(query.text)}",
                       mend="Set binlog_format=ROW on the source, for running sessions too, and fill the target anew")  # fmt: skip
        if self.batch.mark() != self._mark or self.cut_inside:
            raise Stop(f"a DDL statement came inside a transaction that has changed rows: {_short(query.text)}")
        return Ddl(query, touched)

    def passed(self) -> None:
        """The DDL that `feed` returned was dealt with: go on behind it."""
        if not self.in_transaction:
            self._complete()

    def discard_partial(self) -> None:
        """Leave only complete transactions in the batch."""
        self.batch.cut(self._mark)

    def _description(self, payload: bytes) -> None:
        self._crc = ev.has_checksums(payload[1:])
        if self._crc and not ev.crc_is_right(payload):
            raise ev.BinlogError("the format description fails its checksum")
        self._tables.clear()
        if self.in_transaction:
            # The source crashed inside this transaction, which therefore never was.
            if self.cut_inside:
                raise Stop("the source crashed inside a transaction of which a part was applied already")
            self.discard_partial()
            self.in_transaction = False
            self._gtid = None
        self._skip_to_offset()

    def _skip_to_offset(self) -> None:
        if isinstance(self.position, FilePosition) and not self.in_transaction:
            self.position.offset = max(self.position.offset, self._next_offset)

    def _rotate(self, payload: bytes) -> None:
        # The first one comes before the description that says whether there are checksums.
        end = -4 if self._crc or (self._crc is None and ev.crc_is_right(payload)) else len(payload)
        rotate = ev.Rotate.parse(payload[20:end])
        if isinstance(self.position, FilePosition) and rotate.file != self.position.file:
            self.position.file, self.position.offset = rotate.file, rotate.position

    def _payload_event(self, body: bytes) -> Ddl | None:
        """A compressed transaction: its events, one after another, none with a checksum of its own."""
        crc, self._crc = self._crc, False
        outer = self._next_offset
        try:
            inner = _inflate(body)
            at = 0
            while at < len(inner):
                size = int.from_bytes(inner[at + 9 : at + 13], "little")
                if size < ev.HEADER_SIZE or at + size > len(inner):
                    raise ev.BinlogError("a compressed transaction is malformed")
                event = b"\0" + inner[at : at + 13] + outer.to_bytes(4, "little") + inner[at + 17 : at + size]
                found = self.feed(iter((event,)))
                if isinstance(found, Ddl):
                    raise Stop(f"a DDL inside a compressed transaction: {_short(found.query.text)}")
                at += size
        finally:
            self._crc = crc
        return None


def _inflate(body: bytes) -> bytes:
    """The events inside a TRANSACTION_PAYLOAD: fields of (type, length, value), then the data."""
    at, kind, size = 0, 0, 0
    while True:
        field, at = _lenenc(body, at)
        if field == 0:
            break
        length, at = _lenenc(body, at)
        value, _ = _lenenc(body, at)
        if field == 1:
            size = value
        elif field == 2:
            kind = value
        at += length
    data = body[at : at + size] if size else body[at:]
    if kind == 255:
        return data
    if kind != 0:
        raise Stop(f"a transaction is compressed in an unknown way ({kind})")
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _lenenc(data: bytes, at: int) -> tuple[int, int]:
    first = data[at] if at < len(data) else 0xFF
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        raise ev.BinlogError("a compressed transaction is malformed")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."
