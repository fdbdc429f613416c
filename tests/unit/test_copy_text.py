"""Rows as LOAD DATA's lines and as parameters: by hand, read back, and both twins against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.copy import text

TWINS = [text.pure_lines]
try:
    from segue.copy import _text
except ImportError:  # no compiler where Segue was installed: the twin serves alone
    pass
else:
    TWINS.append(_text.lines)
EVERY = 1 << 62
END = b"\xfe\0\0\2\0"


def lenenc(value: int) -> bytes:
    if value < 0xFB:
        return bytes((value,))
    return b"\xfc" + value.to_bytes(2, "little") if value < 1 << 16 else b"\xfd" + value.to_bytes(3, "little")


def row(*values: bytes | None) -> bytes:
    return b"".join(b"\xfb" if v is None else lenenc(len(v)) + v for v in values)


def binary(*fields: tuple[bytes, bytes | None]) -> bytes:
    """A binary row of kinds and bytes."""
    nulls = sum(1 << n + 2 for n, (_, v) in enumerate(fields) if v is None)
    return b"\0" + nulls.to_bytes((len(fields) + 9) // 8, "little") + b"".join(v for _, v in fields if v is not None)


def packets(*payloads: bytes, seq: int = 0) -> bytes:
    return b"".join(len(p).to_bytes(3, "little") + bytes(((seq + n) & 0xFF,)) + p for n, p in enumerate(payloads))


def fields(line: bytes) -> list[bytes | None]:
    """A line taken apart as the manual says that LOAD DATA does, without its end."""
    out: list[bytes | None] = []
    at = 0
    while at <= len(line):
        if line[at : at + 1] == b"'":
            value, at = bytearray(), at + 1
            while line[at : at + 1] != b"'":
                at += line[at : at + 1] == b"\\"
                value += line[at : at + 1]
                at += 1
            out.append(bytes(value))
            at += 1
        else:
            end = line.find(b",", at)
            end = len(line) if end < 0 else end
            out.append(None if line[at:end] == b"NULL" else line[at:end])
            at = end
        at += 1
    return out


@pytest.mark.parametrize("lines", TWINS)
def test_by_hand(lines: object) -> None:
    data = packets(row(b"1", None, b"it's"), row(b"-2.5", b"", b"a\\b\n,'"), row(None, b"NULL", b"\0" * 300), END, seq=254)
    wanted = b"1,NULL,'it\\'s'\n-2.5,'','a\\\\b\n,\\''\nNULL,'NULL','" + b"\0" * 300 + b"'\n"
    assert lines(data, 0, len(data), 254, b"bqq", EVERY) == (len(data) - 9, 1, 3, wanted, text.OTHER)  # type: ignore[operator]


@pytest.mark.parametrize("lines", TWINS)
@pytest.mark.parametrize(
    ("payload", "kinds"),
    [(b"\xff\x10\x04#42000no", b"b"), (b"\x01a\x01b", b"b"), (b"\x01a", b"bb"), (b"\x05a", b"b"), (b"\xfc\x05", b"b"),
     (b"\x01a\xff", b"bb"), (b"\x01a\xfe\0", b"bb")],
)  # fmt: skip
def test_what_is_no_plain_row_is_left(lines: object, payload: bytes, kinds: bytes) -> None:
    for data, seq in ((packets(payload), 0), (packets(row(*[b"x"] * len(kinds))), 9), (packets(b""), 0)):
        assert lines(data, 0, len(data), seq, kinds, EVERY) == (0, seq, 0, b"", text.OTHER)  # type: ignore[operator]


@pytest.mark.parametrize("lines", TWINS)
def test_a_packet_that_another_one_continues_is_left(lines: object) -> None:
    data = b"\xff\xff\xff\0" + row(b"x" * 100)
    assert lines(data, 0, len(data), 0, b"q", EVERY)[4] == text.OTHER  # type: ignore[operator]


def test_a_row_that_does_not_fill_its_packet_is_refused() -> None:
    for payload, kinds in ((b"\x01a\x01b", b"b"), (b"\x01a", b"bb"), (b"\x05a", b"b"), (b"\xfc\x05", b"b"), (b"\xff", b"b")):
        with pytest.raises(ValueError, match="row"):
            text.line(payload, kinds)
    assert text.line(b"\xfe" + (3).to_bytes(8, "little") + b"a'b", b"q") == b"'a\\'b'\n"


@pytest.mark.parametrize("lines", TWINS)
@pytest.mark.parametrize("kinds", [b"qq", b"ss"])
def test_what_is_made_at_once_has_a_limit(lines: object, kinds: bytes) -> None:
    """However much has arrived: what goes into one packet is put together of pieces, not cut out of them."""
    one = row(b"x" * 1000, None) if kinds == b"qq" else binary((b"s", row(b"x" * 1000)), (b"s", None))
    data = packets(*[one] * 2000, END)
    at, seq, rows, out, why = lines(data, 0, len(data), 0, kinds, EVERY)  # type: ignore[operator]
    assert (text.ENOUGH, why) <= (len(out), text.FULL)
    assert len(out) < text.ENOUGH + 1100
    assert seq == rows & 0xFF
    assert 400 < lines(data, at, len(data), seq, kinds, EVERY)[2] < 600  # type: ignore[operator]


@pytest.mark.parametrize("lines", TWINS)
def test_parameters_by_hand(lines: object) -> None:
    kinds = b"1s8ts24"
    first = b"\0\0\0" + b"\x7f" + b"\x04it's" + b"\xff" * 8 + b"\x04\xe8\x07\x02\x1d" + b"\0" + b"\1\2" + b"\3\4\5\6"
    second = b"\0\x54\1" + b"\x80" + b"\1\2\3\4\5\6\7\x08" + b"\xfc\x2c\x01" + b"\\" * 300 + b"\x09\x0a"
    wanted = (
        b"\0\x7f" + b"\0\x04it's" + b"\0" + b"\xff" * 8 + b"\0\x04\xe8\x07\x02\x1d" + b"\0\0" + b"\0\1\2" + b"\0\3\4\5\6"
        + b"\0\x80" + b"\1" + b"\0\1\2\3\4\5\6\7\x08" + b"\1" + b"\0\xfc\x2c\x01" + b"\\" * 300 + b"\0\x09\x0a" + b"\1"
    )  # fmt: skip
    second = b"\0" + bytes((1 << 3 | 1 << 5, 1)) + second[3:]
    data = packets(first, second, END, seq=7)
    assert lines(data, 0, len(data), 7, kinds, EVERY) == (len(data) - 9, 9, 2, wanted, text.OTHER)  # type: ignore[operator]


@pytest.mark.parametrize("lines", TWINS)
def test_a_row_that_is_no_row_gives_no_parameters(lines: object) -> None:
    for payload, kinds in ((b"\0\0\x01a\x01b", b"s"), (b"\0\0\x01a", b"ss"), (b"\0\0\x05a", b"s"), (b"\0\0\xfc\x05", b"s"), (b"\0\0ab", b"1"),
                           (b"\0\0a", b"2"), (b"\0\0abc", b"4"), (b"\0\0abcdefg", b"8"), (b"\0", b"1"), (b"\1\0a", b"1"), (b"\0\0a", b"z"),
                           (b"\0\0\x0d0123456789abc", b"t"), (b"\0\0", b"t"), (b"\0\x04a", b"1"), (b"\0\0\xfb", b"s"), (b"\0\0", b"s"),
                           (b"\0\0" + b"\0" * 9, b"s"), (b"\0" + b"a" * 7, b"1111111")):  # fmt: skip
        data = packets(payload)
        assert lines(data, 0, len(data), 0, kinds, EVERY) == (0, 0, 0, b"", text.OTHER)  # type: ignore[operator]


values = st.one_of(
    st.none(), st.binary(max_size=40), st.text("'\\,\nN0x", max_size=30).map(str.encode),
    st.integers(0, 70_000).map(lambda n: (b"0123456789'\\" * (n // 12 + 1))[:n]),
)  # fmt: skip


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(values, min_size=n, max_size=n), max_size=5)), st.data())
def test_what_is_written_is_what_was_there(rows: list[list[bytes | None]], data: st.DataObject) -> None:
    columns = len(rows[0]) if rows else 1
    kinds = bytes(data.draw(st.lists(st.sampled_from(b"bq"), min_size=columns, max_size=columns)))
    plain = [[b"7" if v is not None and k == text.BARE else v for v, k in zip(r, kinds, strict=True)] for r in rows]
    stream = packets(*(row(*r) for r in plain), END, seq=250)
    most = data.draw(st.sampled_from([1, 2, EVERY]))
    for lines in TWINS:
        at, seq, seen, why, out = 0, 250, 0, text.FULL, b""
        while why != text.OTHER:
            at, seq, found, piece, why = lines(stream, at, len(stream), seq, kinds, most)
            assert found <= most
            seen, out = seen + found, out + piece
        assert (at, seen) == (len(stream) - 9, len(rows))
        cursor = 0
        for wanted in plain:
            line = text.line(row(*wanted), kinds)
            assert out[cursor : cursor + len(line)] == line
            assert fields(line[:-1]) == wanted
            cursor += len(line)
        assert cursor == len(out)


def parameter(kind: int) -> st.SearchStrategy[bytes]:
    if kind in text.FIXED:
        return st.binary(min_size=kind - 48, max_size=kind - 48)
    return st.binary(max_size=12 if kind == text.TIME else 40).map(row)


@given(st.lists(st.sampled_from(b"1248ts"), min_size=1, max_size=20).map(bytes), st.data())
def test_parameters_are_the_bytes_of_the_row(kinds: bytes, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.tuples(*(st.none() | parameter(k) for k in kinds)), min_size=1, max_size=5))
    stream = packets(*(binary(*((b"", v) for v in values)) for values in drawn), END)
    wanted = b"".join(b"\1" if v is None else b"\0" + v for values in drawn for v in values)
    for lines in TWINS:
        assert lines(stream, 0, len(stream), 0, kinds, EVERY) == (len(stream) - 9, len(drawn), len(drawn), wanted, text.OTHER)


@given(
    st.lists(st.one_of(st.lists(values, max_size=4).map(lambda r: row(*r)), st.binary(max_size=12), st.binary(max_size=12).map(lambda b: b"\0\0" + b)), max_size=6),
    st.text("bq", max_size=4).map(str.encode) | st.text("1248tsbz", max_size=4).map(str.encode), st.integers(0, 255), st.data(),
)  # fmt: skip
def test_both_twins_say_the_same_of_anything(payloads: list[bytes], kinds: bytes, seq: int, data: st.DataObject) -> None:
    stream = packets(*payloads, seq=seq)
    if data.draw(st.booleans()):
        stream += data.draw(st.binary(max_size=8))
    stop = data.draw(st.integers(0, len(stream)))
    start = data.draw(st.integers(0, stop)) if data.draw(st.booleans()) else 0
    most = data.draw(st.sampled_from([0, 1, 3, EVERY]))
    assert len({lines(stream, start, stop, seq, kinds, most) for lines in TWINS}) == 1


@pytest.mark.parametrize("lines", TWINS)
def test_a_place_outside_the_buffer_is_an_error(lines: object) -> None:
    for start, stop in ((-1, 2), (2, 1), (0, 9)):
        with pytest.raises(ValueError, match="inside"):
            lines(b"12345678", start, stop, 0, b"b", 1)  # type: ignore[operator]
