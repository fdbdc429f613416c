"""XA transactions of the source: their row events wait here between XA PREPARE and XA COMMIT or XA ROLLBACK. Pure.

Theory. A prepared transaction is in the binlog long before its outcome, with other transactions in between. Its
rows are no rows yet, so they are not applied; but progress has to go on, for with many XA clients one is always
prepared. So at the prepare the events are kept, as they came, in memory and (replicate/held.py) on the target, in
the same commit that moves the progress past the prepare. XA COMMIT feeds them through as if they came now, with
the plan of now, and removes them in the commit that applies them. Prepared and ended within one batch, nothing of
it is stored. Preparing on the target as XA too would need the progress row in that transaction, locked until the
outcome.
"""

from __future__ import annotations

import re
from typing import Final

from segue.binlog.events import BinlogError

MAX_HELD: Final = 256 << 20
"""Bytes of all transactions that are prepared at one time."""
_STATEMENT: Final = re.compile(rb"XA (START|END|COMMIT|ROLLBACK) (X'[0-9A-Fa-f]*',X'[0-9A-Fa-f]*',\d+)")

Xid = str
"""As the servers write it: X'gtrid',X'bqual',format, with capital hexadecimal digits."""


def statement(text: bytes) -> tuple[str, Xid]:
    """("START", xid) and so on. Raises BinlogError for a form that no server writes."""
    match = _STATEMENT.fullmatch(text)
    if match is None:
        raise BinlogError(f"'{text[:200].decode('utf-8', 'replace')}' is no XA statement that is understood")
    return match[1].decode(), match[2].decode().upper()


def prepare_event(body: bytes) -> tuple[bool, Xid]:
    """(one phase, xid) of an XA_PREPARE event's body. One phase: it is committed, and nothing follows."""
    form, bqual_at = int.from_bytes(body[1:5], "little"), 13 + int.from_bytes(body[5:9], "little")
    end = bqual_at + int.from_bytes(body[9:13], "little")
    if len(body) < 13 or end != len(body):
        raise BinlogError("an XA_PREPARE event is malformed")
    return bool(body[0]), f"X'{body[13:bqual_at].hex().upper()}',X'{body[bqual_at:end].hex().upper()}',{form}"


class Collected:
    """The events of one XA transaction until its prepare."""

    __slots__ = ("events", "size")

    def __init__(self, size: int) -> None:
        self.events: list[bytes] = []
        self.size = size
        """Bytes, with those of the transactions that are held already."""

    def add(self, event: bytes) -> None:
        self.events.append(event)
        self.size += len(event)


class Held:
    """Events by xid. Each is without checksum, behind a zero byte, as a dump stream gives them."""

    def __init__(self, stored: dict[Xid, bytes] | None = None) -> None:
        """`stored` is what `add` gave. Raises BinlogError."""
        self._held = {xid: unpack(data) for xid, data in (stored or {}).items()}
        self.size = sum(sum(map(len, events)) for events in self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, xid: Xid) -> list[bytes] | None:
        return self._held.get(xid)

    def add(self, xid: Xid, events: list[bytes]) -> bytes:
        """What to store for it."""
        self._held[xid] = events
        self.size += sum(map(len, events))
        return pack(events)

    def drop(self, xid: Xid) -> None:
        self.size -= sum(map(len, self._held.pop(xid, ())))


def pack(events: list[bytes]) -> bytes:
    """Each behind its length in four bytes."""
    return b"".join(len(e).to_bytes(4, "little") + e for e in events)


def unpack(data: bytes) -> list[bytes]:
    """Raises BinlogError."""
    out, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            raise BinlogError("a stored XA transaction is cut short")
        out.append(data[at + 4 : end])
        at = end
    return out
