"""OK packets and the session state that servers put behind them when CLIENT_SESSION_TRACK is on.

Source: MySQL documentation, "OK_Packet" and "session state information". On the wire `info` carries its length in
either form, whatever the documentation says of clients without tracking (seen on MySQL 9.7 and MariaDB 10.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from segue.wire.constants import STATE_CHANGED, ProtocolError
from segue.wire.framing import lenenc

VARIABLE: Final = 0
SCHEMA: Final = 1


def split_state(payload: bytes) -> tuple[bytes, bytes]:
    """(the OK packet as a client without tracking wants it, the state block). Raises ProtocolError."""
    _, pos = lenenc(payload, 1)
    _, at = lenenc(payload, pos)
    if at + 4 > len(payload):
        raise ProtocolError("an OK packet is cut short")
    status = int.from_bytes(payload[at : at + 2], "little")
    head = payload[:at] + (status & ~STATE_CHANGED).to_bytes(2, "little") + payload[at + 2 : at + 4]
    if not status & STATE_CHANGED or at + 4 == len(payload):
        return head + payload[at + 4 :], b""
    size, info = lenenc(payload, at + 4)
    behind = info + size
    if behind > len(payload):
        raise ProtocolError("an OK packet is cut short")
    if size:
        head += payload[at + 4 : behind]
    if behind == len(payload):
        return head, b""
    size, pos = lenenc(payload, behind)
    if pos + size != len(payload):
        raise ProtocolError("the session state of an OK packet is malformed")
    return head, payload[pos:]


def changes(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(VARIABLE, name, value) and (SCHEMA, b"", name); other kinds are passed over. Raises ProtocolError."""
    pos = 0
    while pos < len(block):
        kind = block[pos]
        size, pos = lenenc(block, pos + 1)
        end = pos + size
        if end > len(block):
            raise ProtocolError("the session state of an OK packet is malformed")
        if kind == SCHEMA:
            value, _ = _text(block, pos, end)
            yield SCHEMA, b"", value
        elif kind == VARIABLE:
            at = pos
            while at < end:  # MariaDB may put several into one
                name, at = _text(block, at, end)
                value, at = _text(block, at, end)
                yield VARIABLE, name, value
        pos = end


def _text(block: bytes, pos: int, end: int) -> tuple[bytes, int]:
    size, pos = lenenc(block, pos)
    if pos + size > end:
        raise ProtocolError("the session state of an OK packet is malformed")
    return block[pos : pos + size], pos + size


def row_count(payload: bytes) -> int:
    """ROW_COUNT() after the packet that ended a reply: rows of an OK, -1 after a result set or an error."""
    return lenenc(payload, 1)[0] if payload[:1] == b"\0" else -1


def warnings(payload: bytes) -> int:
    """How many conditions SHOW WARNINGS has after that packet; 1 for an error."""
    if payload[:1] == b"\xff":
        return 1
    if payload[:1] == b"\xfe" and len(payload) < 7:
        return int.from_bytes(payload[1:3], "little")
    if not payload:
        return 0
    _, pos = lenenc(payload, 1)
    _, pos = lenenc(payload, pos)
    return int.from_bytes(payload[pos + 2 : pos + 4], "little")
