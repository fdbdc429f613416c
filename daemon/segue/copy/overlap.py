"""The stream's events made idempotent, for rows that a copy may have brought already or may not have brought yet.

A WRITE overwrites and a DELETE of nothing is passed over: that is the server's own idempotent mode. An UPDATE is
not: with its before image missing it would be skipped, and the row it leads to lost. So it is sent as the row it
leads to, and as a DELETE of the row it comes from where the key changes. In order, one after another: a second
change in the same event may begin where the first one ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from segue.binlog.batch import Batch, Destination, Run
from segue.binlog.events import DELETE_V1, DELETE_V2, UPDATE_V1, UPDATE_V2, WRITE_V1, WRITE_V2
from segue.binlog.images import UPDATES, Head, Layout
from segue.binlog.rows import TableMap
from segue.replicate.assembler import Stop

Columns = tuple[tuple[int, ...] | None, tuple[int, ...]]
KeyOf = Callable[[TableMap], Columns]
"""First: column numbers of the key by which the target finds a row; None when they are not known, and empty for a table whose
copy is exact (`whole`), so that its events need no help. Second: columns that the row of an UPDATE must have."""
_NOTHING: Final[Columns] = (None, ())
_TO: Final = {UPDATE_V2: (DELETE_V2, WRITE_V2), UPDATE_V1: (DELETE_V1, WRITE_V1)}


class Overlap:
    """Converts batches. Keeps what it learnt of each table map."""

    def __init__(self, key_of: KeyOf) -> None:
        self._key_of = key_of
        self._layouts: dict[bytes, tuple[Layout, Columns]] = {}

    def convert(self, batch: Batch) -> Batch:
        """A batch that says the same and can be applied whatever of it is there already."""
        if not any(run.kind in UPDATES for run in batch.runs):
            return batch
        out = Batch()
        out.began = batch.began
        for run in batch.runs:
            layout, (key, needed) = self._layout(run.map) if run.kind in UPDATES else (None, _NOTHING)
            if layout is not None and key != ():
                _update(out, run, layout, key, needed)
            else:
                for rows in run.rows:
                    out.add(run.kind, run.timestamp, run.flags, run.head, rows, run.map)
        out.events, out.transactions, out.held = batch.events, batch.transactions, batch.held
        return out

    def _layout(self, table: Destination) -> tuple[Layout | None, Columns]:
        """For a table that takes row events; one that is written by statements has none and is exact (`whole`)."""
        if not isinstance(table, TableMap):
            return None, _NOTHING
        known = self._layouts.get(table.tail)
        if known is None:
            known = self._layouts[table.tail] = Layout(table), self._key_of(table)
        return known


def _update(out: Batch, run: Run, layout: Layout, key: tuple[int, ...] | None, needed: tuple[int, ...]) -> None:
    if run.kind not in _TO:
        raise Stop(f"{layout.table.schema}.{layout.table.table}: a partial update of a JSON document came during the seed",
                   mend="SET GLOBAL binlog_row_value_options = ''; on the source, for running sessions too")  # fmt: skip
    head, _ = layout.head(run.kind, run.head)
    if any(not head.after[n >> 3] >> (n & 7) & 1 for n in needed) if head.after else needed:
        raise Stop(f"{layout.table.schema}.{layout.table.table}: an UPDATE with some columns only came during the seed",
                   mend="SET GLOBAL binlog_row_image = 'FULL'; on the source, for running sessions too; then segue seed --cancel"
                        " and segue seed")  # fmt: skip
    delete, write = _TO[run.kind]
    before_head = Head(head.extra, head.columns, head.before, None).bytes()
    after_head = Head(head.extra, head.columns, None, head.after).bytes()
    for rows in run.rows:
        moved = _moved(layout, run.kind, head, rows, key)
        for (before, after), leaves in zip(layout.split(run.kind, head, rows), moved, strict=True):
            assert before is not None
            assert after is not None
            if leaves:
                out.add(delete, run.timestamp, run.flags, before_head, before, run.map)
            out.add(write, run.timestamp, run.flags, after_head, after, run.map)


def _moved(layout: Layout, kind: int, head: Head, rows: bytes, key: tuple[int, ...] | None) -> list[bool]:
    """For each row, whether it may have another key afterwards."""
    found = layout.slices(kind, head, rows)
    if key is None:
        return [True] * len(found)
    return [[_bytes(rows, b, n) for n in key] != [_bytes(rows, a, n) for n in key] for b, a in found]


def _bytes(rows: bytes, slices: object, number: int) -> object:
    where = slices[number]  # type: ignore[index]
    return rows[where[0] : where[1]] if isinstance(where, tuple) else where
