"""PARTIAL_UPDATE_ROWS made whole: JSON differences applied to the before image's document. Pure.

MySQL with binlog_row_value_options=PARTIAL_JSON. A MySQL target takes such events as they are; every other way of
applying rows needs the whole document.

Source of formats: MySQL Source Code Documentation, "Partial_update_rows_event", json_diff.h.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from segue.binlog import jsonb
from segue.binlog.events import PARTIAL_UPDATE_ROWS, BinlogError
from segue.binlog.images import ABSENT, Head, Layout, Slices
from segue.binlog.rows import lenenc

_REPLACE, _INSERT, _REMOVE = range(3)
_LEG: Final = re.compile(r"""\[(\d+)\]|\.("(?:[^"\\]|\\.)*")|\.([^.\["]+)""", re.DOTALL)
Leg = str | int


def complete(layout: Layout, body: bytes) -> bytes:
    """The UPDATE_ROWS (V2) body for a PARTIAL_UPDATE_ROWS body, both behind the post-header.

    Raises BinlogError, also when a before image lacks the document (binlog_row_image is not FULL).
    """
    head, at = layout.head(PARTIAL_UPDATE_ROWS, body)
    assert head.before is not None
    out = [Head(head.extra, head.columns, head.before, head.after).bytes()]
    rows = body[at:]
    pairs = layout.slices(PARTIAL_UPDATE_ROWS, head, rows)
    for (before, after), (old, new) in zip(layout.split(PARTIAL_UPDATE_ROWS, head, rows), pairs, strict=True):
        assert before is not None
        assert after is not None
        assert old is not None
        assert new is not None
        out += [before, _whole(layout, head, rows, after, (old, new))]
    return b"".join(out)


def _whole(layout: Layout, head: Head, rows: bytes, after: bytes, places: tuple[Slices, Slices]) -> bytes:
    """One after image without options and differences."""
    partial, at = _partial_columns(layout, after)
    if not partial:
        return after[at:]
    assert head.after is not None
    present = sum(b.bit_count() for b in _used(head.after, head.columns))
    parts = [after[at : at + (present + 7) // 8]]
    old, new = places
    for number, place in enumerate(new):
        if place is None or place is ABSENT:
            continue
        value = rows[place[0] : place[1]]
        if number in partial:
            base = old[number]
            if base is None or base is ABSENT:
                raise BinlogError("a JSON difference came without the document it changes: binlog_row_image is not FULL")
            whole = apply(rows[base[0] + 4 : base[1]], value[4:])
            value = len(whole).to_bytes(4, "little") + whole
        parts.append(value)
    return b"".join(parts)


def _used(bitmap: bytes, columns: int) -> bytes:
    return (int.from_bytes(bitmap, "little") & (1 << columns) - 1).to_bytes(len(bitmap), "little")


def _partial_columns(layout: Layout, after: bytes) -> tuple[set[int], int]:
    """(numbers of the columns given as differences, where the image's NULL bitmap begins)."""
    options, at = lenenc(after, 0)
    if not options:
        return set(), at
    documents = layout.table.partial_columns()
    size = (len(documents) + 7) // 8
    bits = int.from_bytes(after[at : at + size], "little")
    return {number for bit, number in enumerate(documents) if bits >> bit & 1}, at + size


def apply(document: bytes, differences: bytes) -> bytes:
    """A binary document with these differences applied, in order. Raises BinlogError."""
    value = jsonb.decode(document).value
    at = 0
    try:
        while at < len(differences):
            operation = differences[at]
            path, at = _text(differences, at + 1)
            new: Any = None
            if operation != _REMOVE:
                raw, at = _text(differences, at)
                new = jsonb.decode(raw).value
            value = _change(value, operation, legs(path.decode()), new)
    except (IndexError, KeyError, UnicodeDecodeError, TypeError) as error:
        raise BinlogError(f"a JSON difference does not fit its document: {error}") from None
    return jsonb.encode(jsonb.Document(value))


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = lenenc(data, at)
    if at + size > len(data):
        raise BinlogError("a JSON difference is cut short")
    return data[at : at + size], at + size


def legs(path: str) -> list[Leg]:
    """A path as the server writes it: $, then .name, ."quoted name" or [number] each. Raises BinlogError."""
    found: list[Leg] = []
    at = 1
    while at < len(path):
        match = _LEG.match(path, at)
        if match is None:
            break
        number, quoted, name = match.groups()
        found.append(int(number) if number else name or str(json.loads(quoted)))
        at = match.end()
    if path[:1] != "$" or at != len(path):
        raise BinlogError(f"the path of a JSON difference is not understood: {path[:200]}")
    return found


def _change(document: Any, operation: int, path: list[Leg], new: Any) -> Any:
    if operation not in {_REPLACE, _INSERT, _REMOVE}:
        raise BinlogError(f"a JSON difference of kind {operation} is not understood")
    if not path:
        if operation != _REPLACE:
            raise BinlogError("a JSON difference inserts or removes the whole document")
        return new
    *way, last = path
    inner = document
    for leg in way:
        inner = _fitting(inner, leg)[leg]
    holder = _fitting(inner, last)
    if operation == _REMOVE:
        del holder[last]
    elif operation == _REPLACE:
        if isinstance(holder, dict) and last not in holder:
            raise BinlogError("a JSON difference replaces what is not there")
        holder[last] = new
    elif isinstance(holder, list):
        holder.insert(int(last), new)
    elif last in holder:
        raise BinlogError("a JSON difference inserts what is there already")
    else:
        holder[last] = new
    return document


def _fitting(holder: Any, leg: Leg) -> Any:
    """An array for a number, an object for a name."""
    if not isinstance(holder, list if isinstance(leg, int) else dict):
        raise BinlogError("the path of a JSON difference does not fit its document")
    return holder
