"""Values to Python and back, without a server: round trips, recorded bytes of versions the lab lacks, refusals."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.binlog import columns as ct
from segue.binlog import events as ev
from segue.binlog import jsonb
from segue.binlog.columns import column
from segue.binlog.decoder import Decoder
from segue.binlog.events import BinlogError, DoesNotFit
from segue.binlog.images import ABSENT, Head, Layout, all_present, chosen, present
from segue.binlog.values import codec, deflate, inflate
from tests.unit.tables import KINDS, any_value, image, string_meta, table_map


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda n: Decimal(f"{n}E-{scale}"))


def clock(hours: int, fsp: int) -> st.SearchStrategy[str]:
    parts = st.tuples(st.integers(0, hours), st.integers(0, 59), st.integers(0, 59), st.integers(0, 10**fsp - 1))
    return parts.map(lambda p: f"{p[0]:02d}:{p[1]:02d}:{p[2]:02d}" + (f".{p[3]:0{fsp}d}" if fsp else ""))


days = st.tuples(st.integers(0, 9999), st.integers(0, 12), st.integers(0, 31)).map(lambda d: f"{d[0]:04d}-{d[1]:02d}-{d[2]:02d}")
real_days = st.dates().filter(lambda d: 1970 <= d.year < 2106).map(str)
signs = st.sampled_from(["", "-"])


def values(one: ct.Column) -> st.SearchStrategy[Any]:
    """All that a column can hold."""
    code, fsp = one.type, one.length
    bits = 8 * one.size
    match code:
        case ct.TINY | ct.SHORT | ct.INT24 | ct.LONG | ct.LONGLONG:
            return st.integers(0, (1 << bits) - 1) if one.unsigned else st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
        case ct.FLOAT | ct.DOUBLE:
            return st.floats(width=32 if code == ct.FLOAT else 64, allow_nan=False)
        case ct.NEWDECIMAL:
            return decimals(one.length, one.scale)
        case ct.BIT:
            return st.integers(0, (1 << one.length) - 1)
        case ct.ENUM | ct.SET:
            return st.integers(0, (1 << bits) - 1)
        case ct.YEAR:
            return st.just(0) | st.integers(1901, 2155)
        case ct.DATE:
            return days
        case ct.TIME | ct.TIME2:
            digits = fsp if code == ct.TIME2 or one.kind else 0
            return st.tuples(signs, clock(838, digits)).map("".join).filter(lambda t: t.strip("-0:.") or t[0] != "-")
        case ct.DATETIME | ct.DATETIME2:
            return st.tuples(days, clock(23, fsp)).map(" ".join)
        case ct.TIMESTAMP | ct.TIMESTAMP2:
            return st.tuples(real_days, clock(23, fsp)).map(" ".join).filter(lambda t: not t.startswith("1970-01-01 00:00:00"))
        case ct.JSON:
            return documents
        case ct.BLOB_COMPRESSED | ct.VARCHAR_COMPRESSED:
            return st.binary(max_size=80)
    return st.binary(max_size=one.length or 255)


scalars = (
    st.none() | st.booleans() | st.text() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
    | st.integers(0, (1 << 64) - 1).map(jsonb.Unsigned) | decimals(20, 5)
    | st.tuples(days, clock(23, 6)).map(lambda d: jsonb.Temporal(ct.DATETIME, " ".join(d)))
    | days.map(lambda d: jsonb.Temporal(ct.DATE, d))
    | clock(838, 6).map(lambda t: jsonb.Temporal(ct.TIME, t))
    | st.binary().map(lambda b: jsonb.Opaque(ct.BLOB, b)) | st.integers(60000, 140000).map(lambda n: "x" * n)
)  # fmt: skip
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=25
).map(jsonb.Document)  # fmt: skip
COLUMNS = [
    *(column(code, meta) for code, meta in KINDS),
    *(dataclasses.replace(column(c, b""), unsigned=True) for c in (ct.TINY, ct.SHORT, ct.INT24, ct.LONG, ct.LONGLONG)),
    *(column(ct.NEWDECIMAL, bytes(m)) for m in ((1, 1), (9, 9), (30, 0), (38, 38))),
    *(ct.with_fraction(column(code, b""), n) for code in (ct.TIME, ct.DATETIME, ct.TIMESTAMP) for n in range(1, 7)),
]


def same(one: Any, two: Any) -> bool:
    """Equal, with -0.0 told from 0.0 and every type from its kin."""
    return repr(one) == repr(two) if not isinstance(one, jsonb.Document) else jsonb.encode(one) == jsonb.encode(two)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(COLUMNS).flatmap(lambda c: st.tuples(st.just(c), values(c))))
def test_round_trip(given: tuple[ct.Column, Any]) -> None:
    one, value = given
    both = codec(one)
    data = both.encode(value)
    assert same(both.decode(data), value)
    assert both.encode(both.decode(data)) == data


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_rows_read_as_their_values_do(data: st.DataObject) -> None:
    """The generated function for whole rows against one value after another."""
    kinds = data.draw(st.lists(st.sampled_from([k for k in KINDS if k[0] not in (ct.JSON, ct.VARCHAR_COMPRESSED, ct.BLOB_COMPRESSED)]),
                               min_size=1, max_size=20))  # fmt: skip
    table = table_map(kinds)
    bitmap = data.draw(st.sets(st.integers(0, len(kinds) - 1), min_size=1).map(lambda s: present(s, len(kinds))) | st.just(all_present(len(kinds))))
    there = chosen(table.described, bitmap)
    drawn = [[data.draw(st.none() | any_value(c)) for c in there] for _ in range(data.draw(st.integers(1, 3)))]
    head = Head(b"\2\0", len(kinds), None, bitmap)
    decoder = Decoder(table.described)
    rows = decoder.rows(head, b"".join(map(image, drawn)))
    for values, (before, after) in zip(drawn, rows, strict=True):
        assert before is None
        left = iter(zip(values, there, strict=True))
        for got in after:
            if got is not ABSENT:
                raw, one = next(left)
                assert repr(got) == repr(None if raw is None else codec(one).decode(raw))
        assert next(left, None) is None


RECORDED = [
    # MySQL 5.5, and tables of it in 5.6 and later: the old formats
    (column(ct.TIME, b""), "6db201", "11:12:13"), (column(ct.TIME, b""), "590a80", "-838:59:59"),
    (column(ct.DATETIME, b""), "457c178468120000", "2024-01-02 03:04:05"),
    (column(ct.DATETIME, b""), "0000000000000000", "0000-00-00 00:00:00"),
    (column(ct.TIMESTAMP, b""), "257d9365", "2024-01-02 03:04:05"), (column(ct.TIMESTAMP, b""), "00000000", "0000-00-00 00:00:00"),
    (column(ct.NEWDATE, b""), "21d00f", "2024-01-01"), (column(ct.DATE, b""), "000000", "0000-00-00"),
    # MariaDB with mysql56_temporal_format=OFF
    (ct.with_fraction(column(ct.TIME, b""), 3), "00b3ced4c0", "-01:02:03.456"),
    (ct.with_fraction(column(ct.TIME, b""), 6), "02bf3dde7bff", "-00:00:00.000001"),
    (ct.with_fraction(column(ct.DATETIME, b""), 6), "04fcee3943bfffff", "9999-12-31 23:59:59.999999"),
    (ct.with_fraction(column(ct.TIMESTAMP, b""), 1), "7fffffff09", "2038-01-19 03:14:07.9"),
    (ct.with_fraction(column(ct.DATETIME, b""), 3), "00422a83bcc32e", "2024-01-02 03:04:05.678"),
    (ct.with_fraction(column(ct.TIMESTAMP, b""), 6), "65937d250a5bf5", "2024-01-02 03:04:05.678901"),
    # MariaDB 11.8.9: TIMESTAMP until 2106, VECTOR travels as VARBINARY
    (column(ct.TIMESTAMP2, b"\0"), "ffffffff", "2106-02-07 06:28:15"), (column(ct.TIMESTAMP2, b"\0"), "80000000", "2038-01-19 03:14:08"),
    (column(ct.TIMESTAMP2, b"\6"), "ffffffff0f423f", "2106-02-07 06:28:15.999999"),
    (column(ct.VARCHAR, b"\x0c\0"), "0c0000803f000000c00000003f", bytes.fromhex("0000803f000000c00000003f")),
]  # fmt: skip


@pytest.mark.parametrize(("one", "data", "value"), RECORDED)
def test_recorded(one: ct.Column, data: str, value: Any) -> None:
    raw = bytes.fromhex(data)
    assert codec(one).decode(raw) == value
    assert codec(one).encode(value) == raw


char = column(ct.STRING, string_meta(ct.STRING, 4))
BAD: list[tuple[ct.Column, Any]] = [
    (column(ct.TINY, b""), 128), (column(ct.TINY, b""), "1x"), (dataclasses.replace(column(ct.LONG, b""), unsigned=True), -1),
    (column(ct.NEWDECIMAL, b"\5\2"), Decimal(1000)), (column(ct.NEWDECIMAL, b"\5\2"), Decimal("0.001")),
    (column(ct.NEWDECIMAL, b"\5\2"), Decimal("NaN")), (column(ct.NEWDECIMAL, b"\5\2"), Decimal("1E+999999")),
    (column(ct.BIT, b"\3\0"), 8), (dataclasses.replace(column(ct.STRING, string_meta(ct.ENUM, 1)), labels=(b"a",)), 2),
    (dataclasses.replace(column(ct.STRING, string_meta(ct.SET, 1)), labels=(b"a", b"b")), 4),
    (column(ct.YEAR, b""), 1900), (column(ct.DATE, b""), "2024-13-01"), (column(ct.DATE, b""), "x"),
    (column(ct.DATETIME2, b"\0"), "2024-01-01 00:00:00.5"), (column(ct.TIME2, b"\0"), "839:00:00"),
    (column(ct.TIMESTAMP2, b"\0"), "1969-12-31 23:59:59"), (column(ct.TIMESTAMP2, b"\0"), "2106-02-07 06:28:16"),
    (column(ct.TIMESTAMP2, b"\0"), "2024-02-30 00:00:00"), (char, b"12345"), (char, "text"), (column(ct.BLOB, b"\1"), b"x" * 256),
    (column(ct.FLOAT, b"\4"), 1e39), (column(ct.JSON, b"\4"), jsonb.Document({1})), (column(ct.JSON, b"\4"), None),
    (column(ct.JSON, b"\4"), jsonb.Document(1 << 64)), (column(ct.JSON, b"\4"), jsonb.Document({"x" * 65536: 1})),
]  # fmt: skip


@pytest.mark.parametrize(("one", "value"), BAD)
def test_what_does_not_fit(one: ct.Column, value: Any) -> None:
    with pytest.raises(DoesNotFit):
        codec(one).encode(value)


def test_a_json_document_that_points_into_itself() -> None:
    """A hundred levels of two entries each that share their place: never finished without a budget."""
    inner = b"\x02" + b"".join(b"\x02\x00\x0a\x00\x02\x0a\x00\x02\x0a\x00" for _ in range(90)) + b"\x00\x00\x04\x00"
    for data in (inner, b"\x02\x01\x00\x08\x00\x02\x00\x00\x00", b"\x03" + b"\xff" * 8, b"\x0c\xff\xff\xff\xff\xff\xff", b"\x09"):
        with pytest.raises(BinlogError):
            jsonb.decode(data)


def test_compressed_values() -> None:
    for value in (b"", b"x", b"x" * 99, b"x" * 100, bytes(70000), bytes(range(256)) * 3):
        assert inflate(deflate(value)) == value
    for bad in (b"\x90\1", b"\x89", b"\x89\xff" + b"x", b"\x8c\xff\xff\xff\xff", deflate(b"x" * 500)[:-3], b"\x89\x01" + deflate(b"x" * 500)[3:]):
        with pytest.raises(BinlogError):
            inflate(bad)


def test_a_value_of_the_wrong_size() -> None:
    for one, data in ((column(ct.LONG, b""), b"\1"), (char, b"\2a"), (column(ct.VARCHAR, b"\xe8\3"), b"\1")):
        with pytest.raises(BinlogError, match="wrong size"):
            codec(one).decode(data)


def test_unknown_kinds_are_refused() -> None:
    for one in (dataclasses.replace(char, kind="uuid"), dataclasses.replace(char, kind="colour")):
        with pytest.raises(BinlogError):
            codec(one)
    with pytest.raises(BinlogError):
        ct.with_fraction(char, 3)


def test_layout_with_what_the_catalogue_says() -> None:
    table = table_map([(ct.LONG, b""), (ct.TIME, b"")])
    rows = bytes.fromhex("fc0100000000b3ced4c0")
    head = Head(b"", 2, None, b"\xff")
    with pytest.raises(BinlogError):
        Layout(table).split(ev.WRITE_V1, head, rows)
    told = [table.described[0], ct.with_fraction(table.described[1], 3)]
    assert Layout(table, told).split(ev.WRITE_V1, head, rows) == [(None, rows)]
    assert Decoder(told).rows(head, rows) == [(None, (1, "-01:02:03.456"))]
