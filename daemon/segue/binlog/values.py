"""One value of a row image to a Python value and back. Pure.

| column | Python value |
|---|---|
| TINYINT to BIGINT | int; signed unless the column is known to be unsigned |
| FLOAT, DOUBLE | float, exactly the stored one |
| DECIMAL | Decimal with the column's digits behind the point |
| BIT | int |
| YEAR | int, 0 for 0000 |
| DATE, TIME, DATETIME | str, the server's text with the column's digits of fraction |
| TIMESTAMP | str as DATETIME, in UTC; '0000-00-00 00:00:00' for zero |
| CHAR, VARCHAR, TEXT | bytes in the column's character set (`Column.charset`); CHAR without its padding |
| BINARY | bytes, filled up with zero bytes where the column is known to be binary |
| VARBINARY, BLOB, compressed or not | bytes |
| ENUM | int, the label's number from 1; 0 for the error value '' |
| SET | int, one bit a label, the first is 1; 0 for the empty set |
| JSON (MySQL's) | jsonb.Document |
| GEOMETRY | bytes: SRID in four bytes little-endian, then WKB |
| VECTOR | bytes: four-byte little-endian floats |
| UUID, INET4, INET6 | str, where `Column.kind` says so |

None is NULL everywhere. Bytes given and made are those of the image: with the length in front of variable values.
"""

from __future__ import annotations

import socket
import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from segue.binlog import columns as ct
from segue.binlog import decimals, jsonb, temporal
from segue.binlog.columns import Column
from segue.binlog.events import BinlogError, DoesNotFit

MAX_INFLATED: Final = 1 << 30
"""Bytes up to which a compressed value is unpacked; a LONGBLOB of this size fits no packet."""
COMPRESS_FROM: Final = 100
"""column_compression_threshold's default, bytes."""
Pair = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]
_OLD: Final[dict[int, Pair]] = {
    ct.DATE: (temporal.date_decode, temporal.date_encode),
    ct.NEWDATE: (temporal.date_decode, temporal.date_encode),
    ct.TIME: (temporal.old_time_decode, temporal.old_time_encode),
    ct.DATETIME: (temporal.old_datetime_decode, temporal.old_datetime_encode),
    ct.TIMESTAMP: (temporal.old_timestamp_decode, temporal.old_timestamp_encode),
    ct.YEAR: (temporal.year_decode, temporal.year_encode),
}
_NEW: Final = {ct.DATETIME2: temporal.datetime2, ct.TIMESTAMP2: temporal.timestamp2, ct.TIME2: temporal.time2}
_HIRES: Final = {
    ct.TIME: temporal.hires_time, ct.DATETIME: temporal.hires_datetime, ct.TIMESTAMP: temporal.hires_timestamp,
}  # fmt: skip
_INTEGERS: Final = frozenset({ct.TINY, ct.SHORT, ct.INT24, ct.LONG, ct.LONGLONG})


@dataclass(frozen=True, slots=True)
class Codec:
    """For one column. `decode` raises BinlogError, `encode` DoesNotFit."""

    column: Column
    from_content: Callable[[bytes], Any]
    """From the value's bytes without the length in front. May raise ValueError and the like for malformed bytes."""
    to_content: Callable[[Any], bytes]

    def decode(self, data: bytes) -> Any:
        column = self.column
        prefix = column.prefix
        if len(data) != (column.size or prefix + int.from_bytes(data[:prefix], "little")):
            raise BinlogError(f"a {column.type_name} value has the wrong size")
        try:
            return self.from_content(data[prefix:])
        except (ValueError, IndexError, OverflowError, struct.error, zlib.error) as error:
            raise BinlogError(f"a {column.type_name} value is malformed: {error}") from None

    def encode(self, value: Any) -> bytes:
        column = self.column
        try:
            content = self.to_content(value)
        except (OverflowError, struct.error, TypeError, AttributeError):
            raise DoesNotFit(f"{value!r:.100} does not fit {column.type_name}") from None
        if column.size:
            return content
        if len(content) >> 8 * column.prefix or (column.length and len(content) > column.length):
            raise DoesNotFit(f"{len(content)} bytes do not fit {column.type_name} of {column.length} bytes")
        return len(content).to_bytes(column.prefix, "little") + content


def compressed(column: Column) -> bool:
    """Whether it is one of MariaDB's COMPRESSED columns, whose values have a byte of header."""
    return column.type in {ct.BLOB_COMPRESSED, ct.VARCHAR_COMPRESSED}


def codec(column: Column) -> Codec:
    """Raises BinlogError for a `kind` that does not go with the column."""
    return Codec(column, *_pair(column))


def _pair(column: Column) -> Pair:
    code = column.type
    if column.kind:
        return _mariadb(column)
    if code in _INTEGERS:
        signed = not column.unsigned
        return (
            lambda data: int.from_bytes(data, "little", signed=signed),
            lambda value: value.to_bytes(column.size, "little", signed=signed),
        )
    if code in {ct.FLOAT, ct.DOUBLE}:
        number = struct.Struct("<f" if code == ct.FLOAT else "<d")
        return lambda data: number.unpack(data)[0], number.pack
    if code == ct.NEWDECIMAL:
        return decimals.decoder(column.length, column.scale), decimals.encoder(column.length, column.scale)
    if code == ct.BIT:
        return _big_endian, lambda value: _bounded(value, 1 << column.length, column).to_bytes(column.size)
    if code in {ct.ENUM, ct.SET}:
        most = 1 << 8 * column.size
        if column.labels is not None:
            most = len(column.labels) + 1 if code == ct.ENUM else 1 << len(column.labels)
        return (
            lambda data: int.from_bytes(data, "little"),
            lambda value: _bounded(value, most, column).to_bytes(column.size, "little"),
        )
    if code in _OLD:
        return _OLD[code]
    if code in _NEW:
        return _NEW[code](column.length)
    if code == ct.JSON:
        return jsonb.decode, jsonb.encode
    if code == ct.STRING:
        return _char(column)
    if compressed(column):
        return inflate, deflate
    return bytes, _octets


def _big_endian(data: bytes) -> int:
    return int.from_bytes(data)


def _bounded(value: int, limit: int, column: Column) -> int:
    if not 0 <= value < limit:
        raise DoesNotFit(f"{value} does not fit {column.type_name}")
    return value


def _octets(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise DoesNotFit(f"a {type(value).__name__} does not fit a column of bytes")
    return value


def _char(column: Column) -> Pair:
    """CHAR and BINARY: the servers drop the padding of both."""
    size = column.length
    if column.charset == ct.BINARY_CHARSET:
        return lambda data: data.ljust(size, b"\0"), lambda value: _octets(value).rstrip(b"\0")
    return bytes, _octets


# -- MariaDB's own ---------------------------------------------------------------------------------------------


def _mariadb(column: Column) -> Pair:
    if column.kind == "hires":
        return _HIRES[column.type](column.length, column.size)
    sizes = {"uuid": 16, "inet4": 4, "inet6": 16}
    size = sizes.get(column.kind)
    if size is None or column.type != ct.STRING or column.length != size:
        raise BinlogError(f"a {column.type_name} column of {column.length} bytes is no {column.kind}")
    if column.kind == "uuid":
        # The order of its digits, not the one that MariaDB keeps on disk.
        return lambda data: str(uuid.UUID(bytes=data.ljust(16, b"\0"))), _uuid
    family = socket.AF_INET if size == 4 else socket.AF_INET6

    def address(value: str) -> bytes:
        try:
            return socket.inet_pton(family, value).rstrip(b"\0")
        except OSError:
            raise DoesNotFit(f"'{value}' is no {column.kind.upper()}") from None

    return lambda data: socket.inet_ntop(family, data.ljust(size, b"\0")), address


def _uuid(value: str) -> bytes:
    try:
        return uuid.UUID(value).bytes.rstrip(b"\0")
    except ValueError:
        raise DoesNotFit(f"'{value}' is no UUID") from None


def inflate(content: bytes) -> bytes:
    """The content of a COMPRESSED column. Raises BinlogError."""
    if not content:
        return b""
    head = content[0]
    if head == 0:
        return content[1:]
    size = head & 7
    if head >> 4 != 8 or not 1 <= size <= 4 or len(content) < 1 + size:
        raise BinlogError(f"a value is compressed in a way that is not understood ({head:#x})")
    wanted = int.from_bytes(content[1 : 1 + size])
    if wanted > MAX_INFLATED:
        raise BinlogError(f"a compressed value of {wanted} bytes")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if head & 8 else zlib.MAX_WBITS)
    try:
        out = unpacker.decompress(content[1 + size :], wanted + 1)
    except zlib.error as error:
        raise BinlogError(f"a compressed value is malformed: {error}") from None
    if len(out) != wanted:
        raise BinlogError("a compressed value is not as long as it says")
    return out


def deflate(value: bytes) -> bytes:
    """What `inflate` reads; compressed as MariaDB does by default, if it shrinks."""
    plain = _octets(value)
    if not plain:
        return b""
    if len(plain) >= COMPRESS_FROM:
        size = (len(plain).bit_length() + 7) // 8
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(plain) + packer.flush()
        if len(packed) + 1 + size <= len(plain):
            return bytes((0x88 + size,)) + len(plain).to_bytes(size) + packed
    return b"\0" + plain
