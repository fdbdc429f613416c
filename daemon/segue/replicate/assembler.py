"""From packets of a dump stream to batches of whole transactions. Pure; the hot loop of the replicator.

Theory. The source sends events; transactions begin with a GTID event and end with XID, COMMIT or a statement that
commits by itself. Compressed events and XA transactions are streams inside the stream: they are put in front of it
and read first. Rows go straight into the current batch; `position` moves only at a transaction's end, so that a
batch cut there stands for "everything up to this position". A transaction larger than a batch is cut inside: its
parts carry no position and the target commits only after the last one.

What cannot be applied faithfully raises Stop; `discard_partial` then leaves exactly what came before the
transaction concerned.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator

from segue.binlog import events as ev
from segue.binlog import packed
from segue.binlog.batch import Batch, Mark
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.binlog.rows import TableMap
from segue.binlog.tagged import tagged_gtid
from segue.errors import SegueError
from segue.replicate import xa
from segue.replicate.ddl.event import Ddl
from segue.replicate.ddl.statement import Selected

_STANDALONE = 0x01
_PREPARED_XA = 0x40
_COMPLETED_XA = 0x80
_XID_EVENT = b"\0" + bytes(4) + bytes((ev.XID,)) + bytes(8)
_NEW_CONTENT = (1, 5, 13, 14)  # START_V3, INTVAR, RAND, USER_VAR: only prepare a statement that follows


class _Turn(enum.Enum):
    """What to read has changed: begin the loop anew."""

    AGAIN = 1


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


class Assembler:
    """Feed it packets, take its `batch`."""

    def __init__(
        self, position: GtidSet | MariaGtid | FilePosition, plan: Plan, selected: Selected, limit: int,
        held: xa.Held | None = None,
    ) -> None:  # fmt: skip
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
        self.at_commit: Callable[[], None] | None = None
        """Called at each transaction's end, when `position` has moved."""
        self._plan = plan
        self._selected = selected
        self._paused = False
        self._crc: bool | None = None
        self._mariadb = False
        self._known: dict[bytes, Route | None] = {}
        self._tables: dict[bytes, Route | None] = {}
        self._gtid: tuple[str, int] | tuple[int, int, int] | None = None
        self._standalone = False
        self._passing = ev.Query("", "")
        self._began = 0.0
        self._mark: Mark = self.batch.mark()
        self._next_offset = 0
        self._inner: list[Iterator[bytes]] = []
        """Streams inside the stream, the innermost last; their events have no checksums."""
        self._held = xa.Held() if held is None else held
        self._collected: xa.Collected | None = None
        """Events of the XA transaction under way until its prepare; None outside of one."""
        self._ended: xa.Xid | None = None

    def take(self) -> Batch:
        """The batch so far; a new one begins. Only between transactions or when the batch is full."""
        batch, self.batch = self.batch, Batch()
        self._mark = self.batch.mark()
        self.cut_inside = self.in_transaction and (self.cut_inside or batch.events > 0)
        return batch

    def forget_tables(self) -> None:
        """Ask the plan again about every table: definitions have changed."""
        # Not what the present statement's rows refer to: each statement brings its own table maps.
        self._known.clear()

    def feed(self, payloads: Iterator[bytes]) -> Ddl | bool:
        """Take packets until there are no more (False), the batch is full (True), or a DDL needs a decision (Ddl).

        After a Ddl call `passed`. Raises Stop, and BinlogError for bytes that are no event.
        """
        try:
            while True:
                source = self._inner[-1] if self._inner else payloads
                found = self._feed(source) if self._collected is None else self._collect(source)
                if isinstance(found, _Turn):
                    continue
                if found is not False or not self._inner:
                    return found
                self._inner.pop()
        except (IndexError, UnicodeDecodeError) as error:
            raise ev.BinlogError(f"an event is malformed: {error}") from None

    def _feed(self, payloads: Iterator[bytes]) -> Ddl | bool | _Turn:
        batch = self.batch
        tables = self._tables
        known = self._known
        checked = self._crc and not self._inner
        for payload in payloads:
            kind = payload[5]
            if checked:
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
                start += entry.update_head if kind in ev.TWO_IMAGES else entry.head
                batch.add(kind, int.from_bytes(payload[1:5], "little"), flags, payload[28:start],
                          payload[start:end], entry.map)  # fmt: skip
                if batch.size >= self.limit:
                    return True
            elif kind == ev.TABLE_MAP:
                key = payload[28:end]
                try:
                    tables[payload[20:26]] = known[key]
                except KeyError:
                    tables[payload[20:26]] = self._learn(key, payload[20:end])
            elif kind in ev.NO_CONTENT:
                continue
            else:
                found = self._control(kind, payload, end)
                if found is not None:
                    return found
                if not self.in_transaction and batch.size >= self.limit:
                    return True
        return False

    def _learn(self, key: bytes, body: bytes) -> Route | None:
        """Ask the plan about a table map seen for the first time."""
        route = self._known[key] = self._plan(TableMap.parse(body, mariadb=self._mariadb))
        return route

    # -- everything that is not rows -----------------------------------------------------------------------

    def _control(self, kind: int, payload: bytes, end: int) -> Ddl | _Turn | None:
        self._next_offset = int.from_bytes(payload[14:18], "little")
        if kind == ev.XID:
            self._complete()
        elif kind == ev.GTID:
            self._begin(ev.mysql_gtid(payload[20:end])[:2], ev.commit_time(payload[20:end]))
        elif kind == ev.MARIADB_GTID:
            domain, server, sequence, flags = ev.mariadb_gtid(payload[20:end], int.from_bytes(payload[6:10], "little"))
            stamp = float(int.from_bytes(payload[1:5], "little"))
            self._begin((domain, server, sequence), self.clock if self.clock - stamp < 1.5 else stamp)
            self._standalone = bool(flags & _STANDALONE)
            self.in_transaction = not self._standalone
            if flags & _PREPARED_XA:
                return self._xa_begins()
        elif kind == ev.QUERY:
            return self._query(payload, end)
        elif kind == ev.GTID_TAGGED:
            source, number, stamp = tagged_gtid(payload[20:end])
            self._begin((source, number), stamp)
        elif kind == ev.ANONYMOUS_GTID:
            if not isinstance(self.position, FilePosition):
                raise Stop("a transaction without GTID came from a source that had GTIDs",
                           mend="Switch gtid_mode back to ON on the source, or begin anew")  # fmt: skip
            self._begin(None, ev.commit_time(payload[20:end]))
        elif kind == ev.FORMAT_DESCRIPTION:
            self._description(payload)
            return _Turn.AGAIN
        elif kind == ev.ROTATE:
            self._rotate(payload)
        elif kind == ev.PREVIOUS_GTIDS:
            self._skip_to_offset()
        elif kind == ev.TRANSACTION_PAYLOAD:
            return self._first(packed.payload_events(payload[20:end], payload[14:18]))
        elif kind in ev.MARIADB_ROWS_COMPRESSED:
            return self._first(iter((packed.plain_rows(payload[:end]),)))
        elif kind == ev.MARIADB_QUERY_COMPRESSED:
            return self._first(iter((packed.plain_query(payload[:end]),)))
        elif kind == ev.XA_PREPARE:
            raise ev.BinlogError("an XA transaction was prepared that had not begun")
        elif kind == ev.INCIDENT:
            raise Stop(f"the source reports an incident (event type {kind}, INCIDENT): its binlog lacks changes",
                       mend="Fill the target anew")  # fmt: skip
        elif kind not in _NEW_CONTENT:
            raise Stop(f"event type {kind} ({ev.NAMES.get(kind, 'unknown')}) is not understood")
        return None

    def _first(self, events: Iterator[bytes]) -> _Turn:
        """Read these before anything that follows."""
        self._inner.append(events)
        return _Turn.AGAIN

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
        if self._ended is not None:
            self._held.drop(self._ended)
            self.batch.held[self._ended] = None
            self._ended = None
        self.commit_time = self._began
        self.batch.transactions += 1
        self._mark = self.batch.mark()
        if self.at_commit is not None:
            self.at_commit()

    def _query(self, payload: bytes, end: int) -> Ddl | _Turn | None:
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
            return self._xa_statement(text)
        query = ev.Query.parse(payload[20:end])
        if ev.changes_rows(query.text):
            if any(self._selected.wants_schema(s) for s in ev.schemas_touched(query)):
                raise Stop(f"a statement came instead of its rows: {_short(query.text)}",
                           mend="Set binlog_format=ROW on the source, for running sessions too, and fill the target anew")  # fmt: skip
            self._pass_over(query)
            return None
        ddl = Ddl.read(query, int.from_bytes(payload[1:5], "little"), self._here())
        if not ddl.statement.concerns(self._selected):
            self._pass_over(query)
            return None
        if self.batch.mark() != self._mark or self.cut_inside:
            raise Stop(f"a DDL statement came inside a transaction that has changed rows: {ddl.shown}")
        self._passing = query
        # What came before is applied first, and that ends at a transaction's end: nothing of this one is in yet.
        self._paused, self.in_transaction = self.in_transaction, False
        return ddl

    def _here(self) -> str:
        """The transaction under way, as a restart will know it."""
        gtid = self._gtid
        if gtid is None:
            file = self.position.file if isinstance(self.position, FilePosition) else ""
            return f"{file}:{self._next_offset}"
        return f"{gtid[0]}:{gtid[1]}" if len(gtid) == 2 else "-".join(map(str, gtid))

    def behind_present(self) -> GtidSet | MariaGtid | FilePosition:
        """The position as it will be behind the transaction under way."""
        position, gtid = self.position.copy(), self._gtid
        if isinstance(position, FilePosition):
            position.offset = self._next_offset
        elif gtid is not None:
            position.add(*gtid)
        return position


    def _pass_over(self, query: ev.Query) -> None:
        if query.text.endswith("START TRANSACTION"):
            self.in_transaction = True  # MySQL's CREATE TABLE ... SELECT: its rows and an XID follow
        elif not self.in_transaction:
            self._complete()

    def passed(self) -> None:
        """The DDL that `feed` returned was dealt with: go on behind it."""
        self.in_transaction, self._paused = self._paused, False
        self._pass_over(self._passing)

    # -- XA ------------------------------------------------------------------------------------------------

    def _xa_begins(self) -> _Turn:
        self.in_transaction = True
        self._collected = xa.Collected(self._held.size)
        return _Turn.AGAIN

    def _xa_statement(self, text: bytes) -> _Turn | None:
        verb, xid = xa.statement(text)
        if verb == "START":
            return self._xa_begins()
        if verb == "COMMIT":
            events = self._held.get(xid)
            if events is None:
                raise Stop(f"XA COMMIT of {xid}, which was prepared before the position where replication began",
                           mend="Begin anew while XA RECOVER on the source shows nothing")  # fmt: skip
            return self._xa_commits(xid, events)
        if verb == "ROLLBACK":
            self._ended = xid
            self._complete()
            return None
        raise ev.BinlogError("an XA transaction ended that had not begun")

    def _xa_commits(self, xid: xa.Xid, events: list[bytes]) -> _Turn:
        self.in_transaction = True
        self._ended = xid
        return self._first(itertools.chain(events, (_XID_EVENT + self._next_offset.to_bytes(4, "little") + b"\0\0",)))

    def _collect(self, payloads: Iterator[bytes]) -> bool | _Turn:
        """Keep the row events of an XA transaction until it is prepared."""
        collected, tables = self._collected, self._tables
        assert collected is not None
        checked = self._crc and not self._inner
        for payload in payloads:
            kind = payload[5]
            if checked and not ev.crc_is_right(payload):
                raise ev.BinlogError(f"an event of type {kind} fails its checksum")
            end = -4 if checked else len(payload)
            if kind == ev.TABLE_MAP:
                key = payload[28:end]
                entry = self._known[key] if key in self._known else self._learn(key, payload[20:end])
                tables[payload[20:26]] = entry
                if entry is not None:
                    collected.add(payload[:end])
            elif kind in ev.ROWS or kind in ev.MARIADB_ROWS_COMPRESSED:
                if payload[20:26] not in tables:
                    raise ev.BinlogError("a row event came without its table map")
                if tables[payload[20:26]] is not None:
                    collected.add(payload[:end])
                if collected.size > xa.MAX_HELD:
                    raise Stop(f"prepared XA transactions of more than {xa.MAX_HELD >> 20} MB",
                               mend="Write so much without XA, or end the prepared ones that XA RECOVER shows")  # fmt: skip
            elif kind == ev.XA_PREPARE:
                return self._xa_prepared(payload, end)
            elif kind in {ev.TRANSACTION_PAYLOAD, ev.MARIADB_QUERY_COMPRESSED, ev.FORMAT_DESCRIPTION}:
                return self._control(kind, payload, end)  # type: ignore[return-value]
            elif kind == ev.QUERY:
                self._inside_xa(payload, end)
            elif kind not in ev.NO_CONTENT:
                raise Stop(f"event type {kind} ({ev.NAMES.get(kind, 'unknown')}) inside an XA transaction is not understood")
        return False

    def _inside_xa(self, payload: bytes, end: int) -> None:
        text = payload[33 + payload[28] + 1 + (payload[31] | payload[32] << 8) : end]
        if not text.upper().startswith((b"XA START", b"XA END", b"SAVEPOINT")):
            raise Stop(f"a statement inside an XA transaction is not understood: {_short(text.decode('utf-8', 'replace'))}")

    def _xa_prepared(self, payload: bytes, end: int) -> _Turn:
        self._next_offset = int.from_bytes(payload[14:18], "little")
        one_phase, xid = xa.prepare_event(payload[20:end])
        assert self._collected is not None
        events, self._collected = self._collected.events, None
        if one_phase:
            return self._xa_commits(xid, events)
        self.batch.held[xid] = self._held.add(xid, events)
        self._complete()
        return _Turn.AGAIN

    def discard_partial(self) -> None:
        """Leave only complete transactions in the batch. Nothing is fed after it."""
        self.batch.cut(self._mark)
        if not self.cut_inside:
            self.in_transaction = False

    def _description(self, payload: bytes) -> None:
        self._crc = ev.has_checksums(payload[1:])
        self._mariadb = b"MariaDB" in payload[22:72]  # the server's version
        if self._crc and not ev.crc_is_right(payload):
            raise ev.BinlogError("the format description fails its checksum")
        self._tables.clear()
        if self.in_transaction:
            # The source crashed inside this transaction, which therefore never was.
            if self.cut_inside:
                raise Stop("the source crashed inside a transaction of which a part was applied already")
            self.discard_partial()
            self.in_transaction = False
            self._gtid = self._collected = self._ended = None
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


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."
