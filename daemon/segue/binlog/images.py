"""Row images cut out of row events without decoding a value: only types and metadata count. Pure.

A row event's body behind its post-header is a head (extra data of V2 events, column count, and per image a bitmap of
the columns present) and rows. A row is one image, or two for an UPDATE; an image is a bitmap of NULLs over the
*present* columns and their values. Every function is made for one layout and pair of bitmaps, since Python spends
its time on deciding and not on adding: a run of fixed columns costs one addition.

Source of formats: MySQL Source Code Documentation, "Rows_event" and "Partial_update_rows_event".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from segue.binlog.columns import Column
from segue.binlog.events import (
    DELETE_V1,
    DELETE_V2,
    PARTIAL_UPDATE_ROWS,
    TWO_IMAGES,
    WRITE_V1,
    WRITE_V2,
    BinlogError,
)
from segue.binlog.rows import TableMap, lenenc, lenenc_bytes

WRITES: Final = frozenset({WRITE_V1, WRITE_V2})
DELETES: Final = frozenset({DELETE_V1, DELETE_V2})
UPDATES: Final = TWO_IMAGES
MAX_COMPILED: Final = 500
"""Functions kept per layout: MINIMAL images make one for each set of columns that the application changes."""


class Missing(enum.Enum):
    """Stands for a column that an image does not have (MINIMAL and NOBLOB images)."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Missing.ABSENT
Image = bytes | None
Slice = tuple[int, int] | Missing | None
"""(start, end) of a value in the rows bytes, its length in front included; None for NULL; ABSENT."""
Slices = tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in front of the rows. Bitmaps: the lowest bit of the first byte is the first column."""

    extra: bytes
    """V2's extra data with its two bytes of length; empty for V1."""
    columns: int
    before: bytes | None
    """Columns present in before images; None for a WRITE."""
    after: bytes | None
    """Columns present in after images; None for a DELETE."""

    @classmethod
    def parse(cls, kind: int, data: bytes) -> tuple[Head, int]:
        """A row event's body behind its post-header (table id, flags), and where the rows begin in it."""
        try:
            at = data[0] | data[1] << 8 if kind >= WRITE_V2 else 0
            extra = data[:at]
            columns, at = lenenc(data, at)
        except IndexError:
            raise BinlogError("a row event is cut short") from None
        size = (columns + 7) // 8
        end = at + (2 * size if kind in UPDATES else size)
        if end > len(data) or (kind >= WRITE_V2 and len(extra) < 2):
            raise BinlogError("a row event is cut short")
        first, last = data[at : at + size], data[end - size : end]
        return cls(extra, columns, None if kind in WRITES else first, None if kind in DELETES else last), end

    def bytes(self) -> bytes:
        """As it stands in an event."""
        return self.extra + lenenc_bytes(self.columns) + (self.before or b"") + (self.after or b"")


def present(columns: Iterable[int], count: int) -> bytes:
    """The bitmap of these column numbers."""
    bits = sum(1 << c for c in set(columns))
    return bits.to_bytes((count + 7) // 8, "little")


def all_present(count: int) -> bytes:
    """The bitmap of a FULL image, with unused bits set as the servers do."""
    return b"\xff" * ((count + 7) // 8)


class Layout:
    """What the images of one table map look like. Raises BinlogError for bytes that are no images of it."""

    def __init__(self, table: TableMap, columns: Iterable[Column] | None = None) -> None:
        """`columns` are the table map's, or the same completed from a catalogue (`columns.with_fraction`)."""
        self.table = table
        self.columns = table.described if columns is None else tuple(columns)
        self._made: dict[tuple[str, int, bytes | None, bytes | None], Callable[[bytes], Any]] = {}

    def head(self, kind: int, data: bytes) -> tuple[Head, int]:
        """`Head.parse`, checked against the table."""
        head, at = Head.parse(kind, data)
        if head.columns != len(self.columns):
            raise BinlogError(f"a row event has {head.columns} columns where its table map has {len(self.columns)}")
        return head, at

    def split(self, kind: int, head: Head, rows: bytes) -> list[tuple[Image, Image]]:
        """The (before, after) images of each row; None where the kind has none.

        An image is what stands in a row event: the before image of an UPDATE is a whole row of a DELETE with
        `Head(extra, columns, before, None)`. The after image of a PARTIAL_UPDATE begins with its value options.
        """
        return self._run("split", kind, head, rows)  # type: ignore[no-any-return]

    def slices(self, kind: int, head: Head, rows: bytes) -> list[tuple[Slices | None, Slices | None]]:
        """For each row and image where each column's value lies in `rows`."""
        return self._run("slices", kind, head, rows)  # type: ignore[no-any-return]

    def _run(self, what: str, kind: int, head: Head, rows: bytes) -> Any:
        key = (what, kind, head.before, head.after)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= MAX_COMPILED:
                self._made.clear()
            made = self._made[key] = self._make(what, kind, head)
        try:
            return made(rows)
        except IndexError:
            raise BinlogError(f"a row of {self.table.schema}.{self.table.table} is cut short") from None

    def _make(self, what: str, kind: int, head: Head) -> Callable[[bytes], Any]:
        code = Code()
        code.add("def run(rows):", 0)
        code.add("out = []; at = 0; size = len(rows)")
        code.add("while at < size:")
        code.add("start = at", 2)
        names = {}
        for name, bitmap in (("before", head.before), ("after", head.after)):
            if bitmap is None:
                names[name] = "None"
                continue
            if name == "after" and kind == PARTIAL_UPDATE_ROWS:
                code.add(f"at = options(rows, at, {len(self.table.partial_columns())})", 2)
            if what == "split":
                code.skip(chosen(self.columns, bitmap), 2)
                code.add(f"{name} = rows[{'start' if name == 'before' or head.before is None else 'middle'}:at]", 2)
                if name == "before":
                    code.add("middle = at", 2)
            else:
                code.bounds(self.columns, bitmap, name, 2)
            names[name] = name
        code.add("if at == start: raise BinlogError('a row event whose rows have no bytes')", 2)
        code.add(f"out.append(({names['before']}, {names['after']}))", 2)
        code.add("if at != size: raise BinlogError('the last row of an event is cut short')")
        code.add("return out")
        return code.function({"BinlogError": BinlogError, "ABSENT": ABSENT, "options": _behind_options})


def chosen(columns: Iterable[Column], bitmap: bytes) -> list[Column]:
    """The columns present under this bitmap."""
    return [c for n, c in enumerate(columns) if bitmap[n >> 3] >> (n & 7) & 1]


def _behind_options(rows: bytes, at: int, json_columns: int) -> int:
    """Behind the value options of a PARTIAL_UPDATE's after image, and the bitmap of partial columns if there is one."""
    value, at = lenenc(rows, at)
    if value > 1:
        raise BinlogError(f"a partial update with options {value} is not understood")
    return at + (json_columns + 7) // 8 if value else at


class Code:
    """Python source of a function over `rows` and `at`, the place reached in it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str, depth: int = 1) -> None:
        self._lines.append("    " * depth + line)

    def function(self, names: dict[str, Any]) -> Callable[..., Any]:
        """The function `run` that the lines define."""
        scope = dict(names)
        exec("\n".join(self._lines), scope)  # noqa: S102 - every line is made here, from numbers
        made: Callable[..., Any] = scope["run"]
        return made

    def nulls(self, count: int, depth: int) -> None:
        """Read the NULL bitmap of `count` present columns into `null`, unused bits cleared."""
        if not count:
            self.add("null = 0", depth)
        elif count <= 8:
            self.add(f"null = rows[at] & {(1 << count) - 1}; at += 1", depth)
        else:
            size = (count + 7) // 8
            self.add(f"null = int.from_bytes(rows[at:at+{size}], 'little') & {(1 << count) - 1}; at += {size}", depth)

    def skip(self, columns: list[Column], depth: int) -> None:
        """Move `at` behind an image."""
        self.nulls(len(columns), depth)
        self.add("if not null:", depth)
        fixed = 0
        for column in columns:
            if column.size:
                fixed += column.size
            else:
                self.add(f"at += {fixed + column.prefix} + {length_at('rows', 'at', fixed, column.prefix)}", depth + 1)
                fixed = 0
        self.add(f"at += {fixed}", depth + 1)
        self.add("else:", depth)
        for number, column in enumerate(columns):
            size = str(column.size) if column.size else f"{column.prefix} + {length_at('rows', 'at', 0, column.prefix)}"
            self.add(f"if not null & {1 << number}: at += {size}", depth + 1)
        self.add("pass", depth + 1)

    def bounds(self, columns: Iterable[Column], bitmap: bytes, name: str, depth: int) -> None:
        """Put the places of all columns of an image into the variable `name`."""
        columns = tuple(columns)
        self.nulls(len(chosen(columns, bitmap)), depth)
        parts, number = [], 0
        for index, column in enumerate(columns):
            if not bitmap[index >> 3] >> (index & 7) & 1:
                parts.append("ABSENT")
                continue
            size = str(column.size) if column.size else f"{column.prefix} + {length_at('rows', 'at', 0, column.prefix)}"
            parts.append(f"None if null & {1 << number} else (at, at := at + {size})")
            number += 1
        self.add(f"{name} = ({', '.join(parts)},)", depth)


def length_at(data: str, at: str, offset: int, prefix: int) -> str:
    """Source of the little-endian number of `prefix` bytes at `at + offset`."""
    places = [f"{data}[{at}+{offset + n}]" if offset + n else f"{data}[{at}]" for n in range(prefix)]
    return "(" + " | ".join(f"{p} << {8 * n}" if n else p for n, p in enumerate(places)) + ")"
