"""Whole rows to tuples of Python values, by one generated function per layout and pair of bitmaps. Pure.

Runs of numbers are unpacked at once; everything else goes through `values`. NULL is None, a column that the image
does not have is ABSENT.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from segue.binlog import columns as ct
from segue.binlog.columns import Column
from segue.binlog.events import BinlogError
from segue.binlog.images import ABSENT, MAX_COMPILED, Code, Head, Missing, chosen, length_at
from segue.binlog.values import codec

Row = tuple[Any, ...]
MALFORMED: Final = (IndexError, struct.error, ValueError, OverflowError, KeyError, zlib.error)
_LETTERS: Final = {ct.TINY: "b", ct.SHORT: "h", ct.LONG: "i", ct.LONGLONG: "q", ct.FLOAT: "f", ct.DOUBLE: "d"}
_BY_SIZE: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Decoder:
    """For the columns of a table map, or the same completed from a catalogue (signedness, character sets, kind)."""

    def __init__(self, columns: Sequence[Column], name: str = "a table") -> None:
        self.columns = tuple(columns)
        self._name = name
        self._codecs = [codec(c) for c in self.columns]
        self._made: dict[tuple[bytes | None, bytes | None], Callable[[bytes], Any]] = {}

    def rows(self, head: Head, rows: bytes) -> list[tuple[Row | None, Row | None]]:
        """The (before, after) rows; None where the kind has none. Not for PARTIAL_UPDATE_ROWS, see partial.py.

        Raises BinlogError.
        """
        if head.columns != len(self.columns):
            raise BinlogError(f"a row event of {self._name} has {head.columns} columns, not {len(self.columns)}")
        key = (head.before, head.after)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= MAX_COMPILED:
                self._made.clear()
            made = self._made[key] = self._make(*key)
        try:
            return made(rows)  # type: ignore[no-any-return]
        except MALFORMED as error:
            raise BinlogError(f"a row of {self._name} is malformed: {error}") from None

    def image(self, bitmap: bytes, image: bytes) -> Row:
        """The values of one image. Raises BinlogError."""
        head = Head(b"", len(self.columns), bitmap, None)
        found = self.rows(head, image)
        if len(found) != 1 or found[0][0] is None:
            raise BinlogError(f"an image of {self._name} holds {len(found)} rows")
        return found[0][0]

    def encode(self, row: Sequence[Any]) -> bytes:
        """An image of these values; columns that are ABSENT are left out. Raises DoesNotFit.

        Unused bits of the NULL bitmap are 0, as MySQL 9.7 writes them (MariaDB 10.11: 1); nobody reads them.
        """
        parts, bits, count = [], 0, 0
        for one, value in zip(self._codecs, row, strict=True):
            if isinstance(value, Missing):
                continue
            if value is None:
                bits |= 1 << count
            else:
                parts.append(one.encode(value))
            count += 1
        return bits.to_bytes((count + 7) // 8, "little") + b"".join(parts)

    def _make(self, before: bytes | None, after: bytes | None) -> Callable[[bytes], Any]:
        code = Code()
        names: dict[str, Any] = {"BinlogError": BinlogError, "ABSENT": ABSENT}
        names |= {f"d{n}": c.from_content for n, c in enumerate(self._codecs)}
        code.add("def run(rows):", 0)
        code.add("out = []; at = 0; size = len(rows)")
        code.add("while at < size:")
        code.add("start = at", 2)
        for name, bitmap in (("before", before), ("after", after)):
            if bitmap is not None:
                self._image(code, names, name, bitmap)
        code.add("if at == start: raise BinlogError('a row event whose rows have no bytes')", 2)
        code.add("if at > size: raise BinlogError('the last row of an event is cut short')", 2)
        code.add(f"out.append(({before and 'before'}, {after and 'after'}))", 2)
        code.add("return out")
        return code.function(names)

    def _image(self, code: Code, names: dict[str, Any], name: str, bitmap: bytes) -> None:
        """Put one image's values into `name`: at once where nothing is NULL, one after another otherwise."""
        columns = self.columns
        there = [n for n in range(len(columns)) if bitmap[n >> 3] >> (n & 7) & 1]
        code.nulls(len(chosen(columns, bitmap)), 2)
        code.add("if not null:", 2)
        offset = 0
        run: list[int] = []
        for number in [*there, None]:
            if number is not None and _letter(columns[number]):
                run.append(number)
                continue
            if run:
                offset = self._unpack(code, names, run, offset)
                run = []
            if number is not None:
                offset = self._one(code, number, offset, 3)
        code.add(f"at += {offset}", 3)
        code.add("else:", 2)
        for bit, number in enumerate(there):
            code.add(f"if null & {1 << bit}: v{number} = None", 3)
            code.add("else:", 3)
            rest = self._one(code, number, 0, 4)
            code.add(f"at += {rest}", 4)
        code.add("pass", 3)
        present = set(there)
        code.add(f"{name} = ({''.join(f'v{n}, ' if n in present else 'ABSENT, ' for n in range(len(columns)))})", 2)

    def _unpack(self, code: Code, names: dict[str, Any], run: list[int], offset: int) -> int:
        unpack = struct.Struct("<" + "".join(_letter(self.columns[n]) for n in run))
        name = f"s{len(names)}"
        names[name] = unpack.unpack_from
        code.add(f"{''.join(f'v{n}, ' for n in run)}= {name}(rows, at + {offset})", 3)
        return offset + unpack.size

    def _one(self, code: Code, number: int, offset: int, depth: int) -> int:
        """One value at `at + offset`; the offset behind it."""
        column = self.columns[number]
        content = f"rows[at+{offset}:at+{offset + column.size}]"
        if not column.size:
            start = offset + column.prefix
            code.add(f"at += {start}; end = at + {length_at('rows', 'at', -column.prefix, column.prefix)}", depth)
            content = "rows[at:end]"
        call = content if _is_plain(self._codecs[number].from_content) else f"d{number}({content})"
        code.add(f"v{number} = {call}", depth)
        if column.size:
            return offset + column.size
        code.add("at = end", depth)
        return 0


def _is_plain(function: Callable[[bytes], Any]) -> bool:
    return function is bytes


def _letter(column: Column) -> str:
    """The struct code of a value that `struct` reads as `values` does, or nothing."""
    if column.type in {ct.ENUM, ct.SET}:
        return _BY_SIZE.get(column.size, "")
    letter = _LETTERS.get(column.type, "")
    return letter.upper() if column.unsigned and column.type not in {ct.FLOAT, ct.DOUBLE} else letter
