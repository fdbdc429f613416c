"""Where a server's reply ends and what state it leaves, for every command, from chunks cut anywhere.

The tracker walks packet headers; it looks into a payload only where the packet ends something. Rows are
skipped without being copied. What each command is answered with: MySQL documentation, "Command Phase".
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from segue.wire.constants import (
    ANY_TRANSACTION,
    COM_BINLOG_DUMP,
    COM_BINLOG_DUMP_GTID,
    COM_FIELD_LIST,
    COM_PROCESS_INFO,
    COM_QUERY,
    COM_QUIT,
    COM_STATISTICS,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_SEND_LONG_DATA,
    CURSOR_EXISTS,
    MAX_PAYLOAD,
    MORE_RESULTS,
    PS_OUT_PARAMS,
    STATE_CHANGED,
    ProtocolError,
)
from segue.wire.framing import lenenc, packet
from segue.wire.ok import split_state

# What the next packet is.
IDLE: Final = 0
FIRST: Final = 1  # the first of a result: OK, ERR, LOCAL INFILE or a column count
COLUMNS: Final = 2  # column definitions, and the EOF behind them where there is one
ROWS: Final = 3  # rows until EOF, OK or ERR
GENERIC: Final = 4  # one OK, ERR or EOF
PREPARE: Final = 5
COUNTED: Final = 6  # parameter and column definitions of a prepared statement
TEXT: Final = 7  # one packet without any header (COM_STATISTICS)
INFILE: Final = 8  # the client sends a file
ENDLESS: Final = 9  # a binlog dump

_NO_REPLY = frozenset({COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE})
_START: dict[int, int] = dict.fromkeys(range(256), GENERIC) | {
    COM_QUERY: FIRST, COM_STMT_EXECUTE: FIRST, COM_PROCESS_INFO: FIRST, COM_STMT_BULK_EXECUTE: FIRST,
    COM_STMT_PREPARE: PREPARE, COM_STMT_FETCH: ROWS, COM_FIELD_LIST: ROWS, COM_STATISTICS: TEXT,
    COM_BINLOG_DUMP: ENDLESS, COM_BINLOG_DUMP_GTID: ENDLESS,
}  # fmt: skip
_MAX_CONTROL = 1 << 20
_MAX_HEAD = 2048


Snapshot = tuple[int, int, bool, int, int, bool]
"""(state, status, uncertain, definitions left, bytes to skip, continued) of a tracker."""


class Listener(Protocol):
    """Who is told what replies say beside their end."""

    def state_changed(self, block: bytes) -> None:
        """The session state block of an OK packet (`ok.changes` reads it)."""

    def prepared(self, statement: bytes, parameters: int) -> None:
        """The answer to one COM_STMT_PREPARE: the four bytes of its id, empty after an error."""


class ReplyTracker:
    """One per session. `state` is IDLE between reply and next command; `status` the last flags seen."""

    __slots__ = ("_changed", "_continued", "_head", "_head_status", "_left", "_out_params", "_rest", "_skip",
                 "deprecate_eof", "failed", "last", "listener", "pending", "results", "state", "status", "strip",
                 "uncertain")  # fmt: skip

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener
        self.strip = False
        """The client did not ask for session tracking: it gets OK packets without the state block."""
        self._changed = False
        self.deprecate_eof = False
        self.state = IDLE
        self.status = 0
        self.uncertain = False
        """After an ERR: it carries no flags, a transaction may be open or gone. A COM_PING tells."""
        self.results = 0
        """Results of this reply that others have followed: with an error at its end, the statements before that one."""
        self.failed = False
        """An error among the replies since the session was idle."""
        self.last = b""
        """The packet that ended the last reply, as far as this tracker saw it: ROW_COUNT and warnings are in it."""
        self.pending: deque[int] = deque()
        """Starts of the replies to pipelined commands behind the present one."""
        self._rest = b""
        self._head = b"\xff"
        """Column count and definitions of the last result that came in one chunk: the next is often the same."""
        self._head_status = 0
        self._skip = 0
        self._left = 0
        self._continued = False
        self._out_params = False

    @property
    def in_transaction(self) -> bool:
        return bool(self.status & ANY_TRANSACTION)

    @property
    def between_packets(self) -> bool:
        """No packet is half here whose meaning matters, nor do OUT parameters go on whose end does not say so."""
        return not self._rest and not self._out_params

    def snapshot(self) -> Snapshot:
        """What somebody else needs to go on, where `between_packets`."""
        return self.state, self.status, self.uncertain, self._left, self._skip, self._continued

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot that somebody else has carried on."""
        self.state, self.status, self.uncertain, self._left, self._skip, self._continued = snapshot
        self.last = b""

    def expect(self, command: int) -> None:
        """A command was sent to the server."""
        if command in _NO_REPLY:
            return
        start = _START[command]
        if self.state == IDLE:
            self.state, self.results, self.failed = start, 0, False
        else:
            self.pending.append(start)

    def file_sent(self) -> None:
        """The client has ended its LOCAL INFILE data: OK or ERR comes."""
        self.state = FIRST

    def feed(self, data: bytes) -> bytes:
        """Take in a chunk of the server's bytes; what of it the client may have now, nearly always the chunk itself.

        The beginning of a packet that ends a reply is kept until the rest is there, since it may have to be
        written anew. Raises ProtocolError for bytes nobody asked for.
        """
        pos = 0
        if self._skip:
            if len(data) <= self._skip:
                self._skip -= len(data)
                return data
            pos, self._skip = self._skip, 0
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        elif self.state == FIRST and data.startswith(self._head):
            self.state = ROWS
            pos = len(self._head)
            if not self.deprecate_eof:  # the head ends in an EOF with flags
                self.status, self.uncertain = self._head_status, False
        end = len(data)
        first = self.state == FIRST and pos == 0
        anew: list[tuple[int, int, bytes]] = []
        while pos < end:
            if end - pos < 5 and (end - pos < 4 or data[pos : pos + 3] != b"\0\0\0"):
                return self._keep(data, pos, anew)
            length = data[pos] | data[pos + 1] << 8 | data[pos + 2] << 16
            after = pos + 4 + length
            state = self.state
            if self._continued:
                self._continued = length == MAX_PAYLOAD
            elif (state == ROWS and (length == 0 or data[pos + 4] < 0xFE)) or state == ENDLESS:
                self._continued = length == MAX_PAYLOAD
                if after < end and state == ROWS and length < MAX_PAYLOAD:
                    pos = self._same_length_rows(data, pos, length, end)
                    continue
            elif state in (COLUMNS, COUNTED) and self._left > 1:
                self._left -= 1
            elif state == ROWS and length == MAX_PAYLOAD:
                self._continued = True  # a row whose first value is over 16 MB begins with 0xfe
            else:
                if after > end:
                    if length > _MAX_CONTROL and state != TEXT:
                        raise ProtocolError("an oversized packet where OK or ERR was due")
                    return self._keep(data, pos, anew)
                self._control(state, data[pos + 4 : after])
                if self._changed:
                    self._note_change(data, pos, after, anew)
                pos = after
                if first and self.state != COLUMNS:
                    if self.state == ROWS and pos < _MAX_HEAD and not self._out_params:
                        self._head = data[:pos]  # the same bytes in the same state lead to the same state
                        self._head_status = self.status
                    first = False
                continue
            if after > end:
                self._skip = after - end
                break
            pos = after
        return _patched(data, end, anew) if anew else data

    def _keep(self, data: bytes, pos: int, anew: list[tuple[int, int, bytes]]) -> bytes:
        self._rest = data[pos:]
        return _patched(data, pos, anew)

    def _note_change(self, data: bytes, pos: int, after: int, anew: list[tuple[int, int, bytes]]) -> None:
        """An OK packet with session state: tell the listener, and take it out for a client that did not ask."""
        self._changed = False
        plain, block = split_state(data[pos + 4 : after])
        if self.listener is not None:
            self.listener.state_changed(block)
        if self.strip:
            anew.append((pos, after, packet(plain, data[pos + 3])))

    @staticmethod
    def _same_length_rows(data: bytes, pos: int, length: int, end: int) -> int:
        """Skip this row and those behind it that have the same length: many rows at the cost of a few slices."""
        stride = length + 4
        if end - pos < stride * 8:
            return pos + stride
        count = (end - pos) // stride
        stop = pos + count * stride
        low, middle, high = data[pos], data[pos + 1], data[pos + 2]
        same = min(
            _prefix(data[pos:stop:stride], low),
            _prefix(data[pos + 1 : stop : stride], middle),
            _prefix(data[pos + 2 : stop : stride], high),
        )
        kinds = data[pos + 4 : pos + same * stride : stride]
        if kinds and max(kinds) >= 0xFE:
            same = next(i for i, k in enumerate(kinds) if k >= 0xFE)
        return pos + max(same, 1) * stride

    def _control(self, state: int, payload: bytes) -> None:
        first = payload[0] if payload else -1
        if state == FIRST:
            self._first(first, payload)
        elif state == ROWS:
            self._rows_end(first, payload)
        elif state == COLUMNS:
            self._columns_end(first, payload)
        elif state == GENERIC:
            if first == 0xFF:
                self._error()
            elif first == 0xFE and len(payload) < 9 and not self.deprecate_eof:
                self._eof_status(payload)
                self._done()
            else:
                self._ok_status(payload)
                self._done()
        elif state == PREPARE:
            self._prepared(first, payload)
        elif state in (COUNTED, TEXT):
            self._done()
        else:
            raise ProtocolError("the server sent what nobody asked for")

    def _first(self, first: int, payload: bytes) -> None:
        if first == 0x00:
            self._ok_status(payload)
            if self.status & MORE_RESULTS:
                self.results += 1
            else:
                self._done()
        elif first == 0xFF:
            self._error()
        elif first == 0xFB:
            self.state = INFILE
        else:
            count, _ = lenenc(payload, 0)
            self._left = count + (0 if self.deprecate_eof else 1)
            self.state = COLUMNS if self._left else ROWS

    def _columns_end(self, first: int, payload: bytes) -> None:
        """The last packet of the column definitions: with DEPRECATE_EOF a definition, else the EOF."""
        if not self.deprecate_eof:
            if first != 0xFE or len(payload) < 5:
                raise ProtocolError("column definitions do not end with EOF")
            self._eof_status(payload)
            if self.status & CURSOR_EXISTS:  # rows come only with COM_STMT_FETCH
                self._done()
                return
            self._out_params = bool(self.status & PS_OUT_PARAMS)
        self.state = ROWS

    def _rows_end(self, first: int, payload: bytes) -> None:
        if first == 0xFF:
            self._error()
            return
        if self.deprecate_eof:
            self._ok_status(payload)
        else:
            self._eof_status(payload)
        # MySQL without DEPRECATE_EOF: the OUT parameters' EOF lacks MORE_RESULTS although an OK follows.
        if self.status & MORE_RESULTS or self._out_params:
            self._out_params = False
            self.state = FIRST
            self.results += 1
        else:
            self._done()

    def _prepared(self, first: int, payload: bytes) -> None:
        if first == 0xFF:
            if self.listener is not None:
                self.listener.prepared(b"", 0)
            self._error()
            return
        if first != 0x00 or len(payload) < 9:
            raise ProtocolError("the answer to COM_STMT_PREPARE is malformed")
        columns = int.from_bytes(payload[5:7], "little")
        parameters = int.from_bytes(payload[7:9], "little")
        if self.listener is not None:
            self.listener.prepared(payload[1:5], parameters)
        eof = 0 if self.deprecate_eof else 1
        self._left = (columns + eof if columns else 0) + (parameters + eof if parameters else 0)
        if self._left:
            self.state = COUNTED
        else:
            self._done()

    def _ok_status(self, payload: bytes) -> None:
        self.last = payload
        if len(payload) >= 7 and payload[1] < 0xFB and payload[2] < 0xFB:  # the usual small counts
            self.status = payload[3] | payload[4] << 8
        else:
            _, pos = lenenc(payload, 1)
            _, pos = lenenc(payload, pos)
            if pos + 2 > len(payload):
                raise ProtocolError("an OK packet is cut short")
            self.status = payload[pos] | payload[pos + 1] << 8
        if self.status & STATE_CHANGED:
            self._changed = True
            self.status &= ~STATE_CHANGED
        self.uncertain = False

    def _eof_status(self, payload: bytes) -> None:
        if len(payload) < 5:
            raise ProtocolError("an EOF packet is cut short")
        self.last = payload
        self.status = payload[3] | payload[4] << 8
        self.uncertain = False

    def _error(self) -> None:
        self.uncertain = self.failed = True
        self.last = b"\xff"
        self._out_params = False
        self._done()

    def _done(self) -> None:
        self.state = self.pending.popleft() if self.pending else IDLE


def _prefix(values: bytes, value: int) -> int:
    """How many bytes at the start equal `value`."""
    return len(values) - len(values.lstrip(bytes((value,))))


def _patched(data: bytes, end: int, anew: list[tuple[int, int, bytes]]) -> bytes:
    """`data` up to `end` with some packets replaced."""
    parts, pos = [], 0
    for start, stop, new in anew:
        parts += [data[pos:start], new]
        pos = stop
    parts.append(data[pos:end])
    return b"".join(parts)
