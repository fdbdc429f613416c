"""Re-written row images: every form of a step, NULLs, partial images, and what is refused. Values go out as they came in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.binlog import columns as ct
from segue.binlog import events as ev
from segue.binlog import transcode
from segue.binlog.decoder import Decoder
from segue.binlog.images import ABSENT, Head, all_present, present
from segue.binlog.tablemap import table_map
from segue.binlog.transcode import Step, Transcoder, Unfit

INT, BIG, TINY = ct.column(ct.LONG, b""), ct.column(ct.LONGLONG, b""), ct.column(ct.TINY, b"")
SHORT_TEXT, LONG_TEXT = ct.column(ct.VARCHAR, b"\x14\0"), ct.column(ct.VARCHAR, b"\xe8\3")
BLOB = ct.column(ct.BLOB, b"\2")
COLUMNS = (INT, SHORT_TEXT, TINY, BLOB, INT, SHORT_TEXT, INT, INT, TINY)
TARGET = {0: Step("e", 4), 2: Step("a", 0, sign=4), 3: Step("b", 1, prefix=2), 4: Step("d", 3), 5: Step("new", constant=b"\3web"),
          6: Step("f", 5), 7: Step("g", 6), 8: Step("h", 7), 9: Step("c", 2), 10: Step("i", 8)}  # fmt: skip
TARGET_COLUMNS = (INT, INT, BIG, LONG_TEXT, BLOB, SHORT_TEXT, SHORT_TEXT, INT, INT, TINY, TINY)
FROM = [4, None, 0, 1, 3, "new", 5, 6, 7, 2, 8]

text = st.binary(max_size=20)
number = st.integers(-(1 << 31), (1 << 31) - 1)
tiny = st.integers(-128, 127)
VALUES = (number, text, tiny, st.binary(max_size=300), number, text, number, number, tiny)
row = st.tuples(*[st.none() | v for v in VALUES])


def wanted(values: tuple[Any, ...], *, insert: bool) -> tuple[Any, ...]:
    def one(source: Any) -> Any:
        if source is None:
            return ABSENT
        if source == "new":
            return b"web" if insert else ABSENT
        return values[source]

    return tuple(one(source) for source in FROM)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(row, row), min_size=1, max_size=5), st.sampled_from([ev.WRITE_V2, ev.UPDATE_V2, ev.DELETE_V2]),
       st.booleans())  # fmt: skip
def test_values_arrive(rows: list[tuple[Any, Any]], kind: int, slowly: bool) -> None:
    source, target = Decoder(COLUMNS), Decoder(TARGET_COLUMNS)
    one = Transcoder(COLUMNS, len(TARGET_COLUMNS), TARGET)
    full = all_present(len(COLUMNS))
    before = None if kind == ev.WRITE_V2 else full
    after = None if kind == ev.DELETE_V2 else full
    data = b"".join((source.encode(a) if before else b"") + (source.encode(b) if after else b"") for a, b in rows)
    cap, transcode.MAX_PATTERNS = transcode.MAX_PATTERNS, 0 if slowly else 256  # type: ignore[misc]
    try:
        head, out = one.rows(kind, Head(b"\2\0", len(COLUMNS), before, after), data, 0, extra=b"\2\0")
    finally:
        transcode.MAX_PATTERNS = cap  # type: ignore[misc]
    found = target.rows(Head.parse(kind, head + out)[0], out)
    insert = kind == ev.WRITE_V2
    assert found == [
        (wanted(a, insert=False) if before else None, wanted(b, insert=insert) if after else None) for a, b in rows
    ]


def test_partial_images_stay_partial() -> None:
    source, target = Decoder(COLUMNS), Decoder(TARGET_COLUMNS)
    key, changed = present((0,), 9), present((1, 3), 9)
    values = (5, ABSENT, *[ABSENT] * 7), (ABSENT, b"x", ABSENT, None, *[ABSENT] * 5)
    one = Transcoder(COLUMNS, len(TARGET_COLUMNS), TARGET)
    data = source.encode(values[0]) + source.encode(values[1])
    head, out = one.rows(ev.UPDATE_V1, Head(b"", 9, key, changed), data, 0, extra=b"")
    (before, after), = target.rows(Head.parse(ev.UPDATE_V1, head + out)[0], out)  # fmt: skip
    assert before is not None
    assert after is not None
    assert [v for v in before if v is not ABSENT] == [5]
    assert [v for v in after if v is not ABSENT] == [b"x", None]


def test_null_where_none_is_taken() -> None:
    source = Decoder((INT, INT))
    data = source.encode((1, 2)) + source.encode((2, None))
    head = Head(b"", 2, None, b"\3")
    refusing = Transcoder((INT, INT), 2, {0: Step("a", 0), 1: Step("b", 1, refuses_null=True)})
    with pytest.raises(Unfit, match="NOT NULL") as caught:
        refusing.rows(ev.WRITE_V1, head, data, 0, extra=b"")
    assert (caught.value.column, caught.value.row) == ("b", 9)
    giving = Transcoder((INT, INT), 2, {0: Step("a", 0), 1: Step("b", 1, instead_of_null=b"\7\0\0\0")})
    _, out = giving.rows(ev.WRITE_V1, head, data, 0, extra=b"")
    assert Decoder((INT, INT)).rows(head, out) == [(None, (1, 2)), (None, (2, 7))]


def test_the_events_time() -> None:
    stamp = ct.column(ct.TIMESTAMP2, b"\3")
    one = Transcoder((INT,), 2, {0: Step("a", 0), 1: Step("made", stamp=3)})
    head, out = one.rows(ev.WRITE_V2, Head(b"\2\0", 1, None, b"\1"), Decoder((INT,)).encode((1,)), 1_700_000_000, extra=b"\2\0")
    assert Decoder((INT, stamp)).rows(Head.parse(ev.WRITE_V2, head)[0], out) == [(None, (1, "2023-11-14 22:13:20.000"))]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_rows_that_are_cut_short(cut: int) -> None:
    data = Decoder((INT, SHORT_TEXT)).encode((1, b"abc"))
    one = Transcoder((INT, SHORT_TEXT), 2, {0: Step("b", 1), 1: Step("a", 0)})
    with pytest.raises(ev.BinlogError):
        one.rows(ev.WRITE_V1, Head(b"", 2, None, b"\3"), data[:-cut], 0, extra=b"")


def test_a_table_map_is_what_its_columns_are() -> None:
    made = table_map("shop", "t", [dataclasses.replace(INT, nullable=False), LONG_TEXT, ct.column(ct.STRING, b"\xf7\2")])
    assert (made.schema, made.table, made.columns) == ("shop", "t", 3)
    assert [c.type for c in made.described] == [ct.LONG, ct.VARCHAR, ct.ENUM]
    assert [c.nullable for c in made.described] == [False, True, True]
    assert made.described[1].length == 1000
