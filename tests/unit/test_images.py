"""Row images are cut exactly, whatever the columns, NULLs and bitmaps; what is no image is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.binlog import columns as ct
from segue.binlog import events as ev
from segue.binlog.events import BinlogError
from segue.binlog.images import ABSENT, Head, Layout, all_present, chosen, present
from segue.binlog.rows import KeyPart, TableMap
from tests.unit.tables import KINDS, any_value, image, string_meta, table_map

ROW_KINDS = (ev.WRITE_V1, ev.UPDATE_V1, ev.DELETE_V1, ev.WRITE_V2, ev.UPDATE_V2, ev.DELETE_V2, ev.PARTIAL_UPDATE_ROWS)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_cutting(data: st.DataObject) -> None:
    """Random tables, kinds, bitmaps and rows: the images and slices are what was put together."""
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=20))
    table = table_map(kinds)
    kind = data.draw(st.sampled_from(ROW_KINDS))
    count = len(kinds)
    bitmap = st.sets(st.integers(0, count - 1), min_size=1).map(lambda s: present(s, count)) | st.just(all_present(count))
    before = data.draw(bitmap) if kind not in (ev.WRITE_V1, ev.WRITE_V2) else None
    after = data.draw(bitmap) if kind not in (ev.DELETE_V1, ev.DELETE_V2) else None
    head = Head(b"\2\0" if kind >= ev.WRITE_V2 else b"", count, before, after)
    rows, wanted, values = b"", [], []
    for _ in range(data.draw(st.integers(1, 4))):
        pair, row = [], []
        for which, bits in ((0, before), (1, after)):
            if bits is None:
                pair.append(None)
                row.append(None)
                continue
            drawn = [data.draw(st.none() | any_value(c)) for c in chosen(table.described, bits)]
            options = b""
            if which and kind == ev.PARTIAL_UPDATE_ROWS:
                partial = data.draw(st.booleans())
                options = b"\1" + bytes((len(table.partial_columns()) + 7) // 8) if partial else b"\0"
            pair.append(options + image(drawn))
            row.append(drawn)
            rows += pair[-1]
        wanted.append(tuple(pair))
        values.append(row)
    layout = Layout(table)
    parsed, at = layout.head(kind, head.bytes() + rows)
    assert (parsed, at) == (head, len(head.bytes()))
    assert layout.split(kind, head, rows) == wanted
    for slices, row in zip(layout.slices(kind, head, rows), values, strict=True):
        for places, drawn in zip(slices, row, strict=True):
            if places is None:
                assert drawn is None
                continue
            found = [None if s is None else rows[s[0] : s[1]] for s in places if s is not ABSENT]
            assert found == drawn
    # Anything shorter or longer by a byte is refused.
    for bad in (rows[:-1], rows + b"\0"):
        with pytest.raises(BinlogError):
            if layout.split(kind, head, bad) != wanted:
                raise BinlogError("a byte more was a row of its own")
        with pytest.raises(BinlogError):
            if len(layout.slices(kind, head, bad)) != len(wanted):
                raise BinlogError("the same")


def test_rows_without_bytes_do_not_loop() -> None:
    layout = Layout(table_map([(ct.LONG, b"")]))
    with pytest.raises(BinlogError, match="no bytes"):
        layout.split(ev.WRITE_V2, Head(b"\2\0", 1, None, b"\0"), b"x")


def test_the_heads_column_count_must_be_the_maps() -> None:
    with pytest.raises(BinlogError, match="has 2 columns where its table map has 1"):
        Layout(table_map([(ct.LONG, b"")])).head(ev.WRITE_V1, b"\2\xff")


def test_everything_optional_metadata_says() -> None:
    kinds = [(ct.LONG, b""), (ct.STRING, string_meta(ct.ENUM, 1)), (ct.VARCHAR, b"\x10\0"), (ct.STRING, string_meta(ct.SET, 1)),
             (ct.GEOMETRY, b"\4"), (ct.NEWDECIMAL, b"\5\2"), (ct.BLOB, b"\2"), (ct.VECTOR, b"\4")]  # fmt: skip
    names = b"".join(bytes((len(n),)) + n for n in (b"id", b"e", b"v", b"s", b"g", b"d", b"b", b"w"))
    table = table_map(kinds, {
        1: b"\x80", 2: b"\xfc\xff\0\1\x3f\2\x3f", 4: names, 5: b"\2\1p\1q", 6: b"\1\2xx", 7: b"\1", 9: b"\0\0\2\5",
        11: b"\x08\x2d", 12: b"\xfe", 13: b"\x03", 200: b"of a later version",
    })  # fmt: skip
    assert table.names == ("id", "e", "v", "s", "g", "d", "b", "w")
    assert [c.unsigned for c in table.described] == [True, None, None, None, None, False, None, None]
    assert [c.charset for c in table.described] == [None, 8, 255, 45, None, None, 63, 63]
    assert table.described[1].labels == (b"xx",)
    assert table.described[3].labels == (b"p", b"q")
    assert (table.described[4].geometry, table.described[7].dimensions) == (1, 3)
    assert [c.visible for c in table.described] == [True] * 7 + [False]
    assert table.primary == (KeyPart(0, 0), KeyPart(2, 5))


def test_which_columns_the_bitmaps_count() -> None:
    """YEAR is a number; VECTOR is text, and on MariaDB geometry too: else all behind it have another's attributes."""
    kinds = [(ct.YEAR, b""), (ct.LONG, b""), (ct.GEOMETRY, b"\4"), (ct.VECTOR, b"\4"), (ct.VARCHAR, b"\x10\0")]
    table = table_map(kinds, {1: b"\x80", 3: b"\x3f\x08"})
    assert [c.unsigned for c in table.described[:2]] == [True, False]
    assert [c.charset for c in table.described[3:]] == [63, 8]
    maria = table_map([kinds[2], kinds[4]], {3: b"\x3f\x08"})
    assert TableMap.parse(bytes(8) + maria.tail, mariadb=True).described[1].charset == 8


@pytest.mark.parametrize("kind", [(ct.TYPED_ARRAY, b""), (243, b""), (ct.FLOAT, b"\5"), (ct.BIT, b"\1\x08"), (ct.BLOB, b"\5"),
                                  (ct.NEWDECIMAL, b"\x42\0"), (ct.TIME2, b"\7"), (ct.STRING, b"\x01\1")])  # fmt: skip
def test_types_that_are_not_understood(kind: tuple[int, bytes]) -> None:
    with pytest.raises(BinlogError):
        table_map([kind])


def test_a_map_cut_short_anywhere() -> None:
    whole = table_map(KINDS, {2: b"\x2d", 8: b"\0"})
    body = b"\1\0\0\0\0\0\1\0" + whole.tail
    assert TableMap.parse(body) == whole
    for end in range(8, len(body) - 6):
        with pytest.raises(BinlogError):
            TableMap.parse(body[:end])
