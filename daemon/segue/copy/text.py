"""Rows of a text result set as the target reads them: LOAD DATA's lines, or arrays of parameters. Pure.

A line is its fields with commas between: numbers and times bare, strings between quotes with a backslash before each
quote and backslash, and the bare word NULL, which LOAD DATA takes for NULL where fields may be enclosed. An array's
row is its parameters one behind the other: a byte 0 and the value as the row packet has it, or a byte 1 for NULL.

Formats: MySQL Source Code Documentation, "Text Resultset Row"; MySQL Reference Manual, "LOAD DATA Statement"; MariaDB
documentation, "COM_STMT_BULK_EXECUTE".

`lines` is compiled where there was a compiler at install (`_text.c`: 13 ns for a row of two numbers instead of 2,200); its twin
here says the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
"""In `kinds`, a byte per column: the value is written as it is. Any other byte: between quotes."""
PARAMETER: Final = ord("p")
"""In `kinds`, for all columns or none: not a line is made but parameters."""
_GIVEN: Final = b"\0"
_IS_NULL: Final = b"\1"
_LARGE: Final = 0xFFFFFF
_HEADS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def line(row: bytes | memoryview, kinds: bytes) -> bytes:
    """The line, with its end, or the parameters, of one row packet's payload.

    Raises ValueError when its fields do not fill it exactly.
    """
    fields, at, size = [], 0, len(row)
    parameters = kinds[:1] == bytes((PARAMETER,))
    for kind in kinds:
        begin = at
        if at >= size:
            raise ValueError("a row ends before its last column")
        length, at = row[at], at + 1
        if length == 0xFB:
            fields.append(_IS_NULL if parameters else b"NULL")
            continue
        head = _HEADS.get(length, 0)
        if length == 0xFF or at + head > size:
            raise ValueError("a row has a field without a length")
        if head:
            length = int.from_bytes(row[at : at + head], "little")
            at += head
        if at + length > size:
            raise ValueError("a row's field is longer than the row")
        value = bytes(row[at : at + length])
        at += length
        if parameters:
            fields.append(_GIVEN + bytes(row[begin:at]))
            continue
        fields.append(value if kind == BARE else b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'")
    if at != size:
        raise ValueError("a row has more columns than were asked for")
    return b"".join(fields) if parameters else b",".join(fields) + b"\n"


def rows_of(array: bytes, columns: int) -> Iterator[bytes]:
    """The row packets' payloads that an array of parameters was made of."""
    at = 0
    while at < len(array):
        fields = []
        for _ in range(columns):
            begin, at = at + 1, at + 1
            if array[at - 1] == _IS_NULL[0]:
                fields.append(b"\xfb")
                continue
            length = array[at]
            head = _HEADS.get(length, 0)
            if head:
                length = int.from_bytes(array[at + 1 : at + 1 + head], "little")
            at += 1 + head + length
            fields.append(array[begin:at])
        yield b"".join(fields)


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
