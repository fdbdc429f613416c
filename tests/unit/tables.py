"""Table maps and row images made by hand, for tests of the codec."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from segue.binlog import columns as ct
from segue.binlog.rows import TableMap, lenenc_bytes

Kind = tuple[int, bytes]
"""Type code and metadata."""


def string_meta(code: int, length: int) -> bytes:
    return bytes((code ^ (length & 0x300) >> 4, length & 0xFF))


KINDS: tuple[Kind, ...] = (
    *((code, b"") for code in (ct.TINY, ct.SHORT, ct.INT24, ct.LONG, ct.LONGLONG, ct.DATE, ct.TIME, ct.DATETIME,
                               ct.TIMESTAMP, ct.YEAR)),
    (ct.FLOAT, b"\4"), (ct.DOUBLE, b"\x08"), (ct.NEWDECIMAL, b"\x0a\2"), (ct.NEWDECIMAL, b"\x41\x1e"),
    *((code, bytes((fsp,))) for code in ct.TEMPORAL for fsp in (0, 1, 3, 6)),
    (ct.BIT, b"\3\0"), (ct.BIT, b"\0\x08"), (ct.VARCHAR, b"\x64\0"), (ct.VARCHAR, b"\xe8\3"), (ct.VAR_STRING, b"\5\0"),
    (ct.STRING, string_meta(ct.STRING, 40)), (ct.STRING, string_meta(ct.STRING, 1020)),
    (ct.STRING, string_meta(ct.ENUM, 1)), (ct.STRING, string_meta(ct.ENUM, 2)), (ct.STRING, string_meta(ct.SET, 8)),
    *((ct.BLOB, bytes((n,))) for n in (1, 2, 3, 4)), (ct.JSON, b"\4"), (ct.GEOMETRY, b"\4"), (ct.VECTOR, b"\4"),
    (ct.BLOB_COMPRESSED, b"\2"), (ct.VARCHAR_COMPRESSED, b"\x64\0"),
)  # fmt: skip


def table_map(kinds: Sequence[Kind], optional: dict[int, bytes] | None = None, nulls: bytes | None = None) -> TableMap:
    meta = b"".join(m for _, m in kinds)
    body = b"\1\0\0\0\0\0\1\0" + b"\4shop\0" + b"\1t\0" + lenenc_bytes(len(kinds)) + bytes(c for c, _ in kinds)
    body += lenenc_bytes(len(meta)) + meta + (b"\xff" * ((len(kinds) + 7) // 8) if nulls is None else nulls)
    for number, value in (optional or {}).items():
        body += bytes((number,)) + lenenc_bytes(len(value)) + value
    return TableMap.parse(body)


def any_value(column: ct.Column) -> st.SearchStrategy[bytes]:
    """Bytes of the right size, of no meaning."""
    if column.size:
        return st.binary(min_size=column.size, max_size=column.size)
    most = min(300, column.length or 300, (1 << 8 * column.prefix) - 1)
    return st.binary(max_size=most).map(lambda b: len(b).to_bytes(column.prefix, "little") + b)


def image(values: Sequence[bytes | None]) -> bytes:
    """One image of present columns; unused NULL bits are set, as the servers do."""
    bits = (1 << (len(values) + 7) // 8 * 8) - (1 << len(values))
    for number, value in enumerate(values):
        bits |= (value is None) << number
    return bits.to_bytes((len(values) + 7) // 8, "little") + b"".join(v for v in values if v is not None)
