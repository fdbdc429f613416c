"""Binlog events built by hand, as the server sends them: a zero byte, header, body, and a CRC32 where asked."""

from __future__ import annotations

import struct
import zlib

from segue.binlog import events as ev

UUID = bytes.fromhex("3e11fa4771ca11e19e33c80aa9429562")
UUID_TEXT = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


class Builder:
    """Events one behind another, each knowing where the next begins."""

    def __init__(self, *, crc: bool = True) -> None:
        self.crc = crc
        self.offset = 4

    def event(self, kind: int, body: bytes, server_id: int = 7, stamp: int = 1000) -> bytes:
        size = ev.HEADER_SIZE + len(body) + (4 if self.crc else 0)
        self.offset += size
        event = struct.pack("<IBIIIH", stamp, kind, server_id, size, self.offset, 0) + body
        if self.crc:
            event += zlib.crc32(event).to_bytes(4, "little")
        return b"\0" + event

    def description(self) -> bytes:
        body = b"\4\0" + b"9.7.4".ljust(50, b"\0") + b"\0\0\0\0\x13" + b"\x08" * 40 + bytes((1 if self.crc else 0,))
        size = ev.HEADER_SIZE + len(body) + 4
        self.offset += size
        event = struct.pack("<IBIIIH", 1000, ev.FORMAT_DESCRIPTION, 7, size, self.offset, 0) + body
        return b"\0" + event + zlib.crc32(event).to_bytes(4, "little")

    def gtid(self, number: int) -> bytes:
        return self.event(ev.GTID, b"\1" + UUID + number.to_bytes(8, "little") + b"\2" + b"\0" * 16 + b"\0" * 7)

    def maria_gtid(self, number: int, flags: int = 0) -> bytes:
        return self.event(ev.MARIADB_GTID, number.to_bytes(8, "little") + b"\0\0\0\0" + bytes((flags,)) + b"\0" * 6)

    def query(self, text: str, database: str = "shop") -> bytes:
        name = database.encode()
        return self.event(
            ev.QUERY, b"\0" * 8 + bytes((len(name),)) + b"\0\0" + b"\0\0" + name + b"\0" + text.encode()
        )

    def table_map(self, number: int, table: str, schema: str = "shop", kinds: bytes = b"\3\3") -> bytes:
        body = number.to_bytes(6, "little") + b"\1\0"
        for part in (schema, table):
            body += bytes((len(part),)) + part.encode() + b"\0"
        body += bytes((len(kinds),)) + kinds + b"\0" + b"\0" * ((len(kinds) + 7) // 8)
        return self.event(ev.TABLE_MAP, body)

    def rows(self, number: int, rows: bytes, *, kind: int = ev.WRITE_V2, flags: int = 1, columns: int = 2) -> bytes:
        bitmaps = 2 if kind == ev.UPDATE_V2 else 1
        head = b"\2\0" + bytes((columns,)) + b"\xff" * ((columns + 7) // 8) * bitmaps
        return self.event(kind, number.to_bytes(6, "little") + flags.to_bytes(2, "little") + head + rows)

    def xid(self) -> bytes:
        return self.event(ev.XID, b"\1" * 8)


def cut(data: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of events without checksums, one behind another; checks each header's size."""
    out, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 9 : at + 13], "little")
        assert size >= ev.HEADER_SIZE
        assert at + size <= len(data)
        out.append((data[at + 4], data[at + ev.HEADER_SIZE : at + size]))
        at += size
    return out
