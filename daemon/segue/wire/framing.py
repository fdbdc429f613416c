"""Packets: three bytes of length, one of sequence, the payload; 16 MB - 1 means that it goes on in the next."""

from __future__ import annotations

from segue.wire.constants import MAX_PAYLOAD, ProtocolError


def packet(payload: bytes, sequence: int) -> bytes:
    """One packet (the payload must be below 16 MB - 1)."""
    return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload


class PacketCutter:
    """Cuts chunks into whole payloads, joining those of 16 MB and more. `limit` bounds one payload in bytes."""

    __slots__ = ("_joined", "_limit", "_rest", "sequence")

    def __init__(self, limit: int = 1 << 31) -> None:
        self._rest = b""
        self._joined: list[bytes] = []
        self._limit = limit
        self.sequence = 0
        """Sequence number of the packet that ended last."""

    @property
    def rest(self) -> bytes:
        """Bytes of a packet that has not ended."""
        return self._rest

    def feed(self, chunk: bytes) -> list[bytes]:
        """Payloads that are complete now. Raises ProtocolError for one over the limit."""
        data = self._rest + chunk if self._rest else chunk
        out: list[bytes] = []
        append = out.append
        pos, end = 0, len(data)
        while end - pos >= 4:
            length = data[pos] | data[pos + 1] << 8 | data[pos + 2] << 16
            after = pos + 4 + length
            if length > self._limit:
                raise ProtocolError(f"a packet of more than {self._limit} bytes")
            if after > end:
                break
            payload = data[pos + 4 : after]
            self.sequence = data[pos + 3]
            pos = after
            if length == MAX_PAYLOAD or self._joined:
                self._joined.append(payload)
                if sum(map(len, self._joined)) > self._limit:
                    raise ProtocolError(f"a packet of more than {self._limit} bytes")
                if length < MAX_PAYLOAD:
                    append(b"".join(self._joined))
                    self._joined = []
            else:
                append(payload)
        self._rest = data[pos:] if pos else data
        return out


def lenenc(data: bytes, pos: int) -> tuple[int, int]:
    """A length-encoded integer: (value, position after it). Raises ProtocolError when it is cut short."""
    try:
        first = data[pos]
        if first < 0xFB:
            return first, pos + 1
        size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    except (IndexError, KeyError):
        raise ProtocolError("a length-encoded integer is malformed") from None
    if pos + 1 + size > len(data):
        raise ProtocolError("a length-encoded integer is cut short")
    return int.from_bytes(data[pos + 1 : pos + 1 + size], "little"), pos + 1 + size


def error_payload(code: int, state: str, text: str) -> bytes:
    """An ERR packet's payload. Before the greeting it has no SQLSTATE: capabilities are not known then."""
    return b"\xff" + code.to_bytes(2, "little") + (b"#" + state.encode() if state else b"") + text.encode()
