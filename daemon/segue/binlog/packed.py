"""Events inside events: MySQL's TRANSACTION_PAYLOAD, MariaDB's compressed rows and statements. Pure.

Nothing is unpacked further than its announced size, and a payload's events come out one after another, so that a
transaction larger than memory is never in memory as a whole.

Source of formats: MySQL Source Code Documentation, "Transaction_payload_event"; MariaDB Knowledge Base, "Compressing
Events to Reduce Size of the Binary Log".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import zstandard

from segue.binlog.events import HEADER_SIZE, BinlogError
from segue.binlog.images import Head
from segue.binlog.rows import lenenc

MAX_EVENT: Final = 1 << 30
"""The largest max_allowed_packet, and so the largest event."""
_END, _SIZE, _ALGORITHM, _UNPACKED_SIZE = range(4)
_ZSTD, _NONE = 0, 255
_CHUNK: Final = 1 << 20
_ROWS_BACK: Final = 143
"""MariaDB's compressed row events have the number of the plain V1 ones plus this."""


def payload_events(body: bytes, next_offset: bytes) -> Iterator[bytes]:
    """The events of a TRANSACTION_PAYLOAD's body, each behind a zero byte, as a dump stream without checksums gives
    them. `next_offset` is put into their headers. Raises BinlogError."""
    at, algorithm, packed, wanted = 0, _NONE, None, None
    while True:
        field, at = _number(body, at)
        if field == _END:
            break
        length, at = _number(body, at)
        value = _number(body, at)[0] if field in {_SIZE, _ALGORITHM, _UNPACKED_SIZE} else 0
        if field == _SIZE:
            packed = value
        elif field == _ALGORITHM:
            algorithm = value
        elif field == _UNPACKED_SIZE:
            wanted = value
        at += length
    data = body[at:]
    if packed is not None and packed != len(data):
        raise BinlogError("a compressed transaction is not as long as it says")
    if algorithm not in {_ZSTD, _NONE}:
        raise BinlogError(f"a transaction is compressed in a way that is not understood ({algorithm})")
    chunks = _inflate(data, wanted) if algorithm == _ZSTD else iter((data,))
    return _cut(chunks, next_offset)


def _number(body: bytes, at: int) -> tuple[int, int]:
    try:
        return lenenc(body, at)
    except IndexError:
        raise BinlogError("a compressed transaction is malformed") from None


def _inflate(data: bytes, wanted: int | None) -> Iterator[bytes]:
    total = 0
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
        while True:
            try:
                chunk = reader.read(_CHUNK)
            except zstandard.ZstdError as error:
                raise BinlogError(f"a compressed transaction is malformed: {error}") from None
            if not chunk:
                break
            total += len(chunk)
            if wanted is not None and total > wanted:
                break
            yield chunk
    if wanted is not None and total != wanted:
        raise BinlogError("a compressed transaction is not as long as it says")


def _cut(chunks: Iterator[bytes], next_offset: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        rest += chunk
        at = 0
        while len(rest) - at >= HEADER_SIZE:
            size = int.from_bytes(rest[at + 9 : at + 13], "little")
            if not HEADER_SIZE <= size <= MAX_EVENT:
                raise BinlogError("a compressed transaction is malformed")
            if len(rest) - at < size:
                break
            yield b"\0" + rest[at : at + 13] + next_offset + rest[at + 17 : at + size]
            at += size
        rest = rest[at:]
    if rest:
        raise BinlogError("a compressed transaction is cut short")


def plain_rows(event: bytes) -> bytes:
    """MariaDB's WRITE, UPDATE or DELETE_ROWS_COMPRESSED as the V1 event it stands for; both with header and without
    checksum, behind a zero byte. Raises BinlogError."""
    kind = event[5] - _ROWS_BACK
    _, size = Head.parse(kind, event[28:])
    at = 28 + size
    return event[:5] + bytes((kind,)) + event[6:at] + _zlib(event[at:])


def plain_query(event: bytes) -> bytes:
    """MariaDB's QUERY_COMPRESSED as a QUERY event. Raises BinlogError, IndexError when it is cut short."""
    at = 33 + event[28] + 1 + (event[31] | event[32] << 8)
    return event[:5] + b"\2" + event[6:at] + _zlib(event[at:])


def _zlib(data: bytes) -> bytes:
    """A byte (0x80, the lowest three bits: bytes of the length), the length big-endian, zlib's data."""
    size = data[0] & 7 if data else 0
    if not data or data[0] & 0xF8 != 0x80 or not 1 <= size <= 4:
        raise BinlogError("an event is compressed in a way that is not understood")
    wanted = int.from_bytes(data[1 : 1 + size])
    if wanted > MAX_EVENT:
        raise BinlogError(f"a compressed event of {wanted} bytes")
    try:
        out = zlib.decompressobj().decompress(data[1 + size :], wanted + 1)
    except zlib.error as error:
        raise BinlogError(f"a compressed event is malformed: {error}") from None
    if len(out) != wanted:
        raise BinlogError("a compressed event is not as long as it says")
    return out
