"""The PROXY protocol: who the client behind a load balancer is, in front of the first byte of its connection.

Source: HAProxy, "The PROXY protocol, versions 1 & 2" (2020/03/05). Version 2 is a 12-byte signature, a byte of
version and command, a byte of family and transport, two bytes of length, the addresses, then TLVs that are passed
over. Version 1 is one line of text. Both are read, version 2 is written.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from segue.wire.constants import ProtocolError

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1: Final = b"PROXY "
_V1_LIMIT: Final = 107
_LIMIT: Final = 4096
"""Of a whole header: addresses take 36 bytes at most, the rest is for TLVs."""
_FAMILIES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}


@dataclass(frozen=True, slots=True)
class Header:
    """The client's and its destination's (address, port); None twice for LOCAL and UNKNOWN: the sender itself."""

    source: tuple[str, int] | None
    destination: tuple[str, int] | None


LOCAL: Final = Header(None, None)


def looks_like_header(data: bytes) -> bool:
    """Whether the bytes begin as a header does; for telling what a peer meant that may not send one."""
    return len(data) >= len(_V1) and (data.startswith(_V1) or SIGNATURE.startswith(data[:12]))


def parse(data: bytes) -> tuple[Header, int] | None:
    """The header at the start of `data` and its length in bytes; None when it has not come whole yet.

    Raises ProtocolError as soon as the bytes cannot be a header.
    """
    if data.startswith(SIGNATURE):
        return _version_2(data)
    if data.startswith(_V1):
        return _version_1(data)
    if SIGNATURE.startswith(data) or _V1.startswith(data):
        return None
    raise ProtocolError("no PROXY header")


def _version_2(data: bytes) -> tuple[Header, int] | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    end = 16 + int.from_bytes(data[14:16], "big")
    if command >> 4 != 2 or command & 0x0F > 1:
        raise ProtocolError(f"a PROXY header of version and command 0x{command:02x}")
    if end > _LIMIT:
        raise ProtocolError(f"a PROXY header of {end} bytes")
    if len(data) < end:
        return None
    if command == 0x20:  # LOCAL: the sender speaks for itself, a health check
        return LOCAL, end
    if family not in _FAMILIES:
        raise ProtocolError(f"a PROXY header of family and transport 0x{family:02x}; TCP over IPv4 and IPv6 are known")
    kind, size = _FAMILIES[family]
    if end < 16 + 2 * size + 4:
        raise ProtocolError("a PROXY header shorter than its addresses")
    source, destination = data[16 : 16 + size], data[16 + size : 16 + 2 * size]
    ports = struct.unpack_from(">HH", data, 16 + 2 * size)
    return Header((socket.inet_ntop(kind, source), ports[0]), (socket.inet_ntop(kind, destination), ports[1])), end


def _version_1(data: bytes) -> tuple[Header, int] | None:
    end = data.find(b"\r\n", 0, _V1_LIMIT)
    if end < 0:
        if len(data) >= _V1_LIMIT:
            raise ProtocolError("a PROXY line that does not end")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return LOCAL, end + 2
    kinds = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
    try:
        kind = kinds[words[1]]
        _, _, source, destination, one, two = (word.decode("ascii") for word in words)
        pair = [(socket.inet_ntop(kind, socket.inet_pton(kind, text)), _port(port))
                for text, port in ((source, one), (destination, two))]  # fmt: skip
    except (KeyError, ValueError, OSError):
        raise ProtocolError("a malformed PROXY line") from None
    return Header(pair[0], pair[1]), end + 2


def _port(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= 5 and int(text) < 65536):
        raise ValueError(text)
    return int(text)


def build(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """A version 2 header. Addresses of two families, or none that can be read, give LOCAL."""
    for family, kind in ((0x11, socket.AF_INET), (0x21, socket.AF_INET6)):
        try:
            ends = socket.inet_pton(kind, source[0]) + socket.inet_pton(kind, destination[0])
        except OSError:
            continue
        body = ends + struct.pack(">HH", source[1], destination[1])
        return SIGNATURE + bytes((0x21, family)) + struct.pack(">H", len(body)) + body
    return SIGNATURE + b"\x20\x00\x00\x00"
