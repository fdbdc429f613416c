"""Rows of a result set as the target reads them: LOAD DATA's lines, or arrays of parameters. Pure.

A row in text becomes a line, its fields with commas between: numbers and times bare, strings between quotes with a
backslash before each quote and backslash, and the bare word NULL, which LOAD DATA takes for NULL where fields may be
enclosed. A binary row becomes its parameters one behind the other: a byte 0 and the value as the row packet has it, or a
byte 1 for NULL.

Formats: MySQL Source Code Documentation, "Text Resultset Row" and "Binary Protocol Resultset Row"; MySQL Reference
Manual, "LOAD DATA Statement"; MariaDB documentation, "COM_STMT_BULK_EXECUTE".

`lines` is compiled where there was a compiler at install (`_text.c`: 13 ns for a row of two numbers instead of 2,200); its twin
here says the same.
"""

from __future__ import annotations

import os
from typing import Final

try:
    from segue.copy import _text
except ImportError:  # no compiler where it was installed
    _text = None  # type: ignore[assignment]

MORE: Final = 0
"""What is left is not a whole packet."""
OTHER: Final = 1
"""The next packet is not a plain row: the end, an error, a row of 16 MB or more, or nonsense."""
FULL: Final = 2
"""As many rows as were asked for, or ENOUGH bytes, and there is more."""
ENOUGH: Final = 1 << 19
"""Bytes that are made at once, and one row: what goes out in one packet is put together of that."""
BARE: Final = ord("b")
"""In `kinds`, a byte per column: the value is written into the line as it is."""
QUOTED: Final = ord("q")
"""Between quotes."""
FIXED: Final = b"1248"
"""A parameter of so many bytes."""
COUNTED: Final = ord("s")
"""A parameter with its length before it."""
TIME: Final = ord("t")
"""A date or a time, the length before it a byte of 12 at most."""
_GIVEN: Final = b"\0"
_IS_NULL: Final = b"\1"
_LARGE: Final = 0xFFFFFF
_HEADS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def is_binary(kinds: bytes) -> bool:
    """Whether rows of these kinds are binary ones, for arrays; else text, for lines."""
    return kinds[:1] not in (b"", b"b", b"q")


def line(row: bytes | memoryview, kinds: bytes) -> bytes:
    """The line, with its end, or the parameters, of one row packet's payload.

    Raises ValueError when its fields do not fill it exactly.
    """
    return _parameters(row, kinds) if is_binary(kinds) else _line(row, kinds)


def _line(row: bytes | memoryview, kinds: bytes) -> bytes:
    fields, at = [], 0
    for kind in kinds:
        if at < len(row) and row[at] == 0xFB:
            fields.append(b"NULL")
            at += 1
            continue
        begin, at = _field(row, at)
        value = bytes(row[begin:at])
        fields.append(value if kind == BARE else b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'")
    if at != len(row):
        raise ValueError("a row has more columns than were asked for")
    return b",".join(fields) + b"\n"


def _parameters(row: bytes | memoryview, kinds: bytes) -> bytes:
    fields, at = [], 1 + (len(kinds) + 9) // 8
    if len(row) < at or row[0]:
        raise ValueError("a binary row without its head")
    nulls = int.from_bytes(row[1:at], "little") >> 2
    for number, kind in enumerate(kinds):
        if nulls >> number & 1:
            fields.append(_IS_NULL)
            continue
        begin = at
        if kind in FIXED:
            at += kind - ord("0")
        elif kind == COUNTED or (kind == TIME and at < len(row) and row[at] <= 12):
            _, at = _field(row, at)
        else:
            raise ValueError("a row has a value that is none of its kind")
        if at > len(row):
            raise ValueError("a row ends before its last column")
        fields.append(_GIVEN + bytes(row[begin:at]))
    if at != len(row):
        raise ValueError("a row has more columns than were asked for")
    return b"".join(fields)


def _field(row: bytes | memoryview, at: int) -> tuple[int, int]:
    """Where the bytes of a field with its length before it begin and end."""
    if at >= len(row):
        raise ValueError("a row ends before its last column")
    length, at = row[at], at + 1
    head = _HEADS.get(length, 0)
    if length in (0xFB, 0xFF) or at + head > len(row):
        raise ValueError("a row has a field without a length")
    if head:
        length = int.from_bytes(row[at : at + head], "little")
        at += head
    if at + length > len(row):
        raise ValueError("a row's field is longer than the row")
    return at, at + length


def pure_lines(  # noqa: PLR0917 - the compiled twin takes no names
    buffer: bytes | bytearray, start: int, stop: int, seq: int, kinds: bytes, most: int
) -> tuple[int, int, int, bytes, int]:
    """The lines of the row packets in `buffer[start:stop]`, `most` at most: (where it stopped, sequence number there,
    rows, their text, MORE or OTHER or FULL)."""
    if not 0 <= start <= stop <= len(buffer):
        raise ValueError("start and stop are not inside the buffer")
    out: list[bytes] = []
    why, made = MORE, 0
    with memoryview(buffer) as view:
        while stop - start >= 4:
            size = view[start] | view[start + 1] << 8 | view[start + 2] << 16
            if len(out) == most or made >= ENOUGH:
                why = FULL
                break
            if view[start + 3] != seq or not size or size == _LARGE:
                why = OTHER
                break
            whole = stop - start - 4 >= size
            if stop - start > 4 and view[start + 4] >= 0xFE:
                why = OTHER
                break
            if not whole:
                break
            try:
                out.append(line(view[start + 4 : start + 4 + size], kinds))
            except ValueError:
                why = OTHER
                break
            made += len(out[-1])
            start += 4 + size
            seq = (seq + 1) & 0xFF
    return start, seq, len(out), b"".join(out), why


lines = pure_lines if os.environ.get("SEGUE_PURE") == "1" or _text is None else _text.lines
