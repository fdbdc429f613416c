"""Row images re-written for a table with other columns: reordered, dropped, added, of other types. Pure.

One function is generated for each set of columns present and NULL pattern, since Python spends its time on deciding:
with the pattern known, runs of fixed columns fold into constant offsets, and columns that stay neighbours are one
slice. Values that stay the same are never looked at. Patterns are capped; what comes beyond goes through a loop.

A column that only the target has is left out of the image where the server's own default is right (what is measured
on both: docs/compatibility.md), and is a constant in inserted rows otherwise. It is never in a before image and never
in the after image of an UPDATE, where it keeps its value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from segue.binlog.columns import Column
from segue.binlog.events import BinlogError, DoesNotFit
from segue.binlog.images import WRITES, Code, Head, length_at
from segue.binlog.recode import Recode
from segue.binlog.rows import lenenc_bytes

MAX_PATTERNS: Final = 256
"""Functions kept for one set of present columns; making one takes about a millisecond."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one column of the target gets its bytes. Exactly one of the forms:

    source                 the value as it is
    source, tail           the value and these bytes behind it (unsigned widening, more digits of fraction)
    source, sign           a signed integer with so many more bytes
    source, prefix         a variable value with a length of so many bytes in front (never fewer than it had)
    source, recode         whatever the function makes of it
    constant               always these bytes, in inserted rows
    stamp                  the event's time as TIMESTAMP, `stamp` digits of fraction, in inserted rows
    """

    name: str
    source: int | None = None
    tail: bytes = b""
    sign: int = 0
    prefix: int = 0
    recode: Recode | None = None
    constant: bytes | None = None
    stamp: int | None = None
    instead_of_null: bytes | None = None
    """Bytes for a NULL, where the target takes none."""
    refuses_null: bool = False

    @property
    def plain(self) -> bool:
        return not (self.tail or self.sign or self.prefix or self.recode)


class Unfit(DoesNotFit):
    """A value that the target's column cannot hold."""

    def __init__(self, column: str, reason: str, row: int, image: str) -> None:
        super().__init__(reason)
        self.column = column
        self.row = row
        """Offset in the rows bytes where its row begins."""
        self.image = image


ImageFunction = Callable[[bytes, int, Callable[[Any], None], bytes], int]


class Transcoder:
    """For one table map of the source and one definition of the target.

    `steps` by the target's column number; columns of the target without a step are never in an image. With
    `whole_rows` what only inserted rows have is in the after image of an UPDATE too, which then is a row to insert.
    """

    def __init__(
        self, columns: Sequence[Column], target_columns: int, steps: dict[int, Step], *, whole_rows: bool = False
    ) -> None:
        self._columns = tuple(columns)
        self._count = target_columns
        self._steps = dict(sorted(steps.items()))
        self._whole_rows = whole_rows
        self._made: dict[tuple[bytes, bool], _Images] = {}
        self._heads: dict[tuple[bytes | None, bytes | None, bool], bytes] = {}

    def rows(self, kind: int, head: Head, rows: bytes, timestamp: int, *, extra: bytes) -> tuple[bytes, bytes]:
        """(head, rows) of the target's event; `extra` is the new head's extra data, empty for V1.

        Raises Unfit, and BinlogError for bytes that are no rows of the table map.
        """
        writes = kind in WRITES or self._whole_rows
        before = self._images(head.before, insert=False) if head.before is not None else None
        after = self._images(head.after, insert=writes) if head.after is not None else None
        out: list[bytes] = []
        stamp = timestamp.to_bytes(4)
        at, size, start = 0, len(rows), 0
        put = out.extend
        try:
            if before is not None and after is not None:
                one, two = before.run, after.run
                while at < size:
                    start = at
                    at = two(rows, one(rows, at, put, stamp), put, stamp)
            else:
                images = before or after
                if images is None:
                    raise BinlogError("a row event without images")
                one = images.run
                while at < size:
                    start = at
                    at = one(rows, at, put, stamp)
        except IndexError:
            raise BinlogError("a row is cut short") from None
        except Unfit as unfit:
            unfit.row = start
            raise
        if at != size:
            raise BinlogError("the last row of an event is cut short")
        key = (head.before, head.after, bool(extra))
        made = self._heads.get(key)
        if made is None:
            bitmaps = b"".join(i.bitmap for i in (before, after) if i is not None)
            made = self._heads[key] = lenenc_bytes(self._count) + bitmaps
        return extra + made, b"".join(out)

    def _images(self, bitmap: bytes, *, insert: bool) -> _Images:
        key = (bitmap, insert)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _Images(self._columns, self._count, self._steps, bitmap, insert=insert)
        return made


class _Images:
    """Images with one set of columns present."""

    def __init__(self, columns: tuple[Column, ...], count: int, steps: dict[int, Step], bitmap: bytes, *,
                 insert: bool) -> None:  # fmt: skip
        self._columns = columns
        self._here = [n for n in range(len(columns)) if bitmap[n >> 3] >> (n & 7) & 1]
        here = set(self._here)
        self._steps = [(n, s) for n, s in steps.items() if (s.source in here if s.source is not None else insert)]
        bits = sum(1 << n for n, _ in self._steps)
        size = (count + 7) // 8
        if bits == (1 << count) - 1:
            bits = (1 << size * 8) - 1
        self.bitmap = bits.to_bytes(size, "little")
        """Columns of the target that are present."""
        self._null_size = (len(self._here) + 7) // 8
        self._mask = (1 << len(self._here)) - 1
        self._patterns: dict[int, ImageFunction] = {}
        self._plain = self._pattern(0)
        self._by_bit = {n: bit for bit, n in enumerate(self._here)}

    def run(self, rows: bytes, at: int, put: Callable[[Any], None], stamp: bytes) -> int:
        """Re-write the image at `at`; the offset behind it."""
        size = self._null_size
        null = (rows[at] if size == 1 else int.from_bytes(rows[at : at + size], "little")) & self._mask
        at += size
        if not null:
            return self._plain(rows, at, put, stamp)
        made = self._patterns.get(null)
        if made is None:
            if len(self._patterns) >= MAX_PATTERNS:
                return self._slowly(null, rows, at, put, stamp)
            made = self._patterns[null] = self._pattern(null)
        return made(rows, at, put, stamp)

    def _null_bytes(self, null: int) -> bytes:
        """The NULL bitmap of the target's image. Raises Unfit for a NULL that the target does not take."""
        bits = 0
        for bit, (_, step) in enumerate(self._steps):
            if step.source is None:
                if step.constant is None and step.stamp is None:
                    bits |= 1 << bit
            elif null >> self._here.index(step.source) & 1 and step.instead_of_null is None:
                if step.refuses_null:
                    raise Unfit(step.name, "it is NULL, and the target's column is NOT NULL", 0, "")
                bits |= 1 << bit
        count = len(self._steps)
        size = (count + 7) // 8
        bits |= (1 << size * 8) - (1 << count)  # the servers set the unused ones
        return bits.to_bytes(size, "little")

    def _pattern(self, null: int) -> ImageFunction:
        """The function for images whose NULLs are known."""
        try:
            nulls = self._null_bytes(null)
        except Unfit as unfit:
            column, reason = unfit.column, str(unfit)

            def refuse(_rows: bytes, _at: int, _put: Callable[[Any], None], _stamp: bytes) -> int:
                raise Unfit(column, reason, 0, "")

            return refuse
        code = Code()
        names: dict[str, Any] = {"Unfit": Unfit, "DoesNotFit": DoesNotFit}
        code.add("def run(rows, at, put, stamp):", 0)
        places, end = self._places(code, null)
        parts = self._parts(null, nulls, places, code, names)
        code.add(f"put(({', '.join(parts)},))")
        code.add(f"return {end}")
        return code.function(names)

    def _places(self, code: Code, null: int) -> tuple[dict[int, tuple[str, int, str, int]], str]:
        """Where each value lies: start and end, each a variable and an offset. And the end of the image."""
        places: dict[int, tuple[str, int, str, int]] = {}
        base, offset, made = "at", 0, 0
        for bit, number in enumerate(self._here):
            if null >> bit & 1:
                continue
            column = self._columns[number]
            if column.size:
                places[number] = (base, offset, base, offset + column.size)
                offset += column.size
                continue
            name, made = f"a{made}", made + 1
            code.add(f"{name} = {base} + {offset + column.prefix} + {length_at('rows', base, offset, column.prefix)}")
            places[number] = (base, offset, name, 0)
            base, offset = name, 0
        return places, _sum(base, offset)

    def _parts(self, null: int, nulls: bytes, places: dict[int, tuple[str, int, str, int]], code: Code,
               names: dict[str, Any]) -> list[str]:  # fmt: skip
        """Source of each piece of the target's image, neighbours joined."""
        parts: list[str] = []
        literal = nulls
        run: tuple[int, int] | None = None  # first and last source column of a slice

        def flush() -> None:
            nonlocal literal, run
            if run is not None:
                first, last = places[run[0]], places[run[1]]
                parts.append(f"rows[{_sum(first[0], first[1])}:{_sum(last[2], last[3])}]")
                run = None
            elif literal:
                parts.append(repr(literal))
                literal = b""

        for _, step in self._steps:
            source = step.source
            if source is None or source not in places:
                fixed = step.constant if source is None else step.instead_of_null
                if step.stamp is not None and source is None:
                    flush()
                    parts.append(f"stamp + {bytes((step.stamp + 1) // 2)!r}")
                elif fixed is not None:
                    if run is not None:
                        flush()
                    literal += fixed
                continue
            if step.plain:
                if run is not None and self._follows(run[1], source, null):
                    run = (run[0], source)
                    continue
                flush()
                run = (source, source)
                continue
            flush()
            parts += self._changed(step, places[source], code, names)
        flush()
        return parts

    def _follows(self, one: int, two: int, null: int) -> bool:
        """Whether `two` is the next value behind `one` in the image."""
        return one < two and all(
            null >> bit & 1 for bit, number in enumerate(self._here) if one < number < two
        )

    def _changed(self, step: Step, place: tuple[str, int, str, int], code: Code, names: dict[str, Any]) -> list[str]:
        start, end = _sum(place[0], place[1]), _sum(place[2], place[3])
        assert step.source is not None
        if step.recode is not None:
            name = f"f{len(names)}"
            names[name] = _named(step)
            code.add(f"{name}_ = {name}(rows[{start}:{end}])")
            return [f"{name}_"]
        if step.prefix:
            old = self._columns[step.source].prefix
            middle = _sum(place[0], place[1] + old)
            return [f"rows[{start}:{middle}]", repr(bytes(step.prefix - old)), f"rows[{middle}:{end}]"]
        if step.sign:
            last = _sum(place[2], place[3] - 1)
            more, minus = bytes(step.sign), b"\xff" * step.sign
            return [f"rows[{start}:{end}]", f"({more!r} if rows[{last}] < 128 else {minus!r})"]
        return [f"rows[{start}:{end}]", repr(step.tail)]

    def _slowly(self, null: int, rows: bytes, at: int, put: Callable[[Any], None], stamp: bytes) -> int:
        """The same without generated code."""
        found: dict[int, bytes] = {}
        for bit, number in enumerate(self._here):
            if null >> bit & 1:
                continue
            column = self._columns[number]
            size = column.size or column.prefix + int.from_bytes(rows[at : at + column.prefix], "little")
            found[number] = rows[at : at + size]
            at += size
        if at > len(rows):
            raise BinlogError("a row is cut short")
        parts = [self._null_bytes(null)]
        for _, step in self._steps:
            value = found.get(step.source) if step.source is not None else None
            if value is None:
                if step.source is None and step.stamp is not None:
                    parts.append(stamp + bytes((step.stamp + 1) // 2))
                else:
                    parts.append((step.constant if step.source is None else step.instead_of_null) or b"")
            else:
                parts.append(value if step.plain else rewriter(step, self._columns)(value))
        put(parts)
        return at


def rewriter(step: Step, columns: Sequence[Column]) -> Recode:
    """One value's bytes to the target's, alone. Raises Unfit."""
    assert step.source is not None
    old, new, tail, sign = columns[step.source].prefix, step.prefix, step.tail, step.sign
    if step.recode is not None:
        return _named(step)
    if new:
        return lambda value: value[:old] + bytes(new - old) + value[old:]
    if sign:
        return lambda value: value + (b"\0" if value[-1] < 128 else b"\xff") * sign
    return lambda value: value + tail


def _named(step: Step) -> Recode:
    """The step's function, whose refusals name the column."""
    inner, name = step.recode, step.name
    assert inner is not None

    def recode(data: bytes) -> bytes:
        try:
            return inner(data)
        except DoesNotFit as error:
            raise Unfit(name, str(error), 0, "") from None

    return recode


def _sum(base: str, offset: int) -> str:
    return f"{base}+{offset}" if offset > 0 else f"{base}-{-offset}" if offset < 0 else base
