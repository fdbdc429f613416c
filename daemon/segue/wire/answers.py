"""Whole answers to commands of our own, from chunks cut anywhere: few rows, all kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from segue.wire.constants import COM_STMT_PREPARE, MORE_RESULTS, STATE_CHANGED, ProtocolError
from segue.wire.framing import PacketCutter, lenenc
from segue.wire.ok import split_state

_LIMIT = 64 << 20


@dataclass(slots=True)
class Done:
    """An OK packet."""

    status: int
    state: bytes = b""
    """Its session state block."""


@dataclass(slots=True)
class Failed:
    """An ERR packet."""

    code: int
    text: str


@dataclass(slots=True)
class Rows:
    """A result set: (type, character set, flags) of each column, values as the text protocol has them."""

    columns: list[tuple[int, int, int]] = field(default_factory=list)
    rows: list[list[bytes | None]] = field(default_factory=list)
    status: int = 0


@dataclass(slots=True)
class Prepared:
    statement: bytes
    parameters: int


Answer = Done | Failed | Rows | Prepared


class Answers:
    """Collects the answers to commands that were sent together. `done` when all are there."""

    def __init__(self, commands: Sequence[int], *, deprecate_eof: bool) -> None:
        self._commands = commands
        self._eof = 0 if deprecate_eof else 1
        self._cutter = PacketCutter(_LIMIT)
        self._left = 0
        self._rows: Rows | None = None
        self.answers: list[Answer] = []

    @property
    def done(self) -> bool:
        return len(self.answers) == len(self._commands) and not self._left

    def feed(self, data: bytes) -> None:
        """Raises ProtocolError for what is no answer."""
        for payload in self._cutter.feed(data):
            if self.done or not payload:
                raise ProtocolError("the server sent what nobody asked for")
            self._packet(payload)

    def _packet(self, payload: bytes) -> None:
        rows = self._rows
        if self._left:  # definitions
            self._left -= 1
            if rows is not None and len(rows.columns) < rows.status:
                rows.columns.append(_column(payload))
            return
        first = payload[0]
        if first == 0xFF:
            self._rows = None
            self.answers.append(_error(payload))
        elif rows is not None:
            if first == 0xFE and len(payload) < 0xFFFFFF and (not self._eof or len(payload) < 9):
                self._end_rows(rows, payload)
            else:
                rows.rows.append(_row(payload, len(rows.columns)))
        elif first == 0x00 and self._commands[len(self.answers)] == COM_STMT_PREPARE:
            if len(payload) < 9:
                raise ProtocolError("the answer to COM_STMT_PREPARE is malformed")
            columns, parameters = (int.from_bytes(payload[n : n + 2], "little") for n in (5, 7))
            self._left = sum(n + self._eof for n in (columns, parameters) if n)
            self.answers.append(Prepared(payload[1:5], parameters))
        elif first == 0x00 or (first == 0xFE and len(payload) < 9):
            self.answers.append(_ok(payload))
        else:
            count, _ = lenenc(payload, 0)
            self._rows = Rows(status=count)
            self._left = count + self._eof

    def _end_rows(self, rows: Rows, payload: bytes) -> None:
        at = 3 if self._eof else _status_at(payload)
        rows.status = int.from_bytes(payload[at : at + 2], "little")
        if rows.status & MORE_RESULTS:
            raise ProtocolError("several results where one was due")
        self._rows = None
        self.answers.append(rows)


def _status_at(payload: bytes) -> int:
    _, pos = lenenc(payload, 1)
    return lenenc(payload, pos)[1]


def _ok(payload: bytes) -> Done:
    if payload[0] == 0xFE and len(payload) < 7:
        return Done(int.from_bytes(payload[3:5], "little"))
    at = _status_at(payload)
    status = int.from_bytes(payload[at : at + 2], "little")
    block = split_state(payload)[1] if status & STATE_CHANGED else b""
    return Done(status & ~STATE_CHANGED, block)


def _error(payload: bytes) -> Failed:
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    return Failed(int.from_bytes(payload[1:3], "little"), text.decode("utf-8", "replace"))


def _column(payload: bytes) -> tuple[int, int, int]:
    pos = 0
    for _ in range(6):
        size, pos = lenenc(payload, pos)
        pos += size
    size, at = lenenc(payload, pos)
    if size != 12:  # MariaDB's extended metadata stands in front
        pos = at + size
        size, at = lenenc(payload, pos)
    if at + 9 > len(payload):
        raise ProtocolError("a column definition is cut short")
    charset, kind = int.from_bytes(payload[at : at + 2], "little"), payload[at + 6]
    return kind, charset, int.from_bytes(payload[at + 7 : at + 9], "little")


def _row(payload: bytes, columns: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    pos = 0
    for _ in range(columns):
        if payload[pos : pos + 1] == b"\xfb":
            values.append(None)
            pos += 1
            continue
        size, pos = lenenc(payload, pos)
        values.append(payload[pos : pos + size])
        pos += size
    if pos != len(payload):
        raise ProtocolError("a row is malformed")
    return values
