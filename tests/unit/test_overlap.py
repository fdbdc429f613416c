"""The stream made idempotent: whatever of the rows a copy has brought, and whenever, replaying ends in the source's rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.binlog import events as ev
from segue.binlog.batch import Batch
from segue.binlog.images import Head
from segue.binlog.rows import TableMap
from segue.copy.overlap import Overlap
from segue.replicate.assembler import Stop
from tests.unit.events import Builder

TABLE = TableMap.parse(Builder(crc=False).table_map(7, "t")[20:])
Rows = dict[int, int]


def image(key: int, value: int) -> bytes:
    return b"\0" + key.to_bytes(4, "little") + value.to_bytes(4, "little")


def row(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[1:5], "little"), int.from_bytes(data[5:9], "little")


HEADS = {
    ev.WRITE_V2: Head(b"\2\0", 2, None, b"\xff"), ev.UPDATE_V2: Head(b"\2\0", 2, b"\xff", b"\xff"),
    ev.DELETE_V2: Head(b"\2\0", 2, b"\xff", None),
}  # fmt: skip


def record(rows: Rows, steps: list[tuple[str, int, int]]) -> Batch:
    """Make the changes that the present rows allow, as the source would, and its events."""
    batch = Batch()
    for what, key, other in steps:
        if what == "insert" and key not in rows:
            rows[key] = other
            add(batch, ev.WRITE_V2, image(key, other))
        elif what == "delete" and key in rows:
            add(batch, ev.DELETE_V2, image(key, rows.pop(key)))
        elif what == "change" and key in rows:
            before = rows[key]
            rows[key] = other
            add(batch, ev.UPDATE_V2, image(key, before) + image(key, other))
        elif what == "move" and key in rows and other not in rows:
            value = rows.pop(key)
            rows[other] = value
            add(batch, ev.UPDATE_V2, image(key, value) + image(other, value))
    return batch


def add(batch: Batch, kind: int, rows: bytes) -> None:
    batch.add(kind, 1, 0, HEADS[kind].bytes(), rows, TABLE)


def replay(rows: Rows, batch: Batch) -> None:
    """What a server does in idempotent mode."""
    for run in batch.runs:
        for rows_bytes in run.rows:
            for at in range(0, len(rows_bytes), 9):
                key, value = row(rows_bytes[at : at + 9])
                if run.kind == ev.WRITE_V2:
                    rows[key] = value
                elif run.kind == ev.DELETE_V2:
                    rows.pop(key, None)
                else:
                    raise AssertionError("an UPDATE is not idempotent")


STEPS: Any = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "change", "move"]), st.integers(0, 7), st.integers(0, 7)), max_size=40
)


@given(STEPS, STEPS, STEPS, st.sets(st.integers(0, 7)), st.sampled_from([(0,), None]))
@settings(max_examples=300, deadline=None)
def test_any_part_copied_early_or_late_ends_equal(
    before: list[Any], first: list[Any], second: list[Any], early: set[int], key: tuple[int, ...] | None
) -> None:
    """`early` keys are copied after `first`, the others after `second`; the stream replays all from `before` on."""
    source: Rows = {}
    record(source, before)
    target: Rows = {}
    one = record(source, first)
    target.update({k: v for k, v in source.items() if k in early})  # a chunk, read before any of it was applied
    replay(target, Overlap(lambda _t: (key, (0, 1))).convert(one))
    assert {k: v for k, v in target.items() if k in early} == {k: v for k, v in source.items() if k in early}
    two = record(source, second)
    target.update({k: v for k, v in source.items() if k not in early})  # REPLACE over what the stream brought
    replay(target, Overlap(lambda _t: (key, (0, 1))).convert(two))
    assert target == source


def test_a_key_that_stays_needs_no_delete_and_moves_keep_their_order() -> None:
    batch = Batch()
    add(batch, ev.UPDATE_V2, image(1, 5) + image(1, 6) + image(1, 6) + image(2, 6) + image(2, 6) + image(3, 6))
    out = Overlap(lambda _t: ((0,), (0, 1))).convert(batch)
    assert [(r.kind, b"".join(r.rows)) for r in out.runs] == [
        (ev.WRITE_V2, image(1, 6)), (ev.DELETE_V2, image(1, 6)), (ev.WRITE_V2, image(2, 6)),
        (ev.DELETE_V2, image(2, 6)), (ev.WRITE_V2, image(3, 6)),
    ]  # fmt: skip


def test_a_table_whose_copy_is_exact_is_passed_on() -> None:
    batch = Batch()
    add(batch, ev.UPDATE_V2, image(1, 5) + image(1, 6))
    out = Overlap(lambda _t: ((), ())).convert(batch)
    assert [(r.kind, r.rows) for r in out.runs] == [(r.kind, r.rows) for r in batch.runs]


def test_an_update_of_some_columns_is_no_row_and_stops_the_stream() -> None:
    batch = Batch()
    some = Head(b"\2\0", 2, b"\x01", b"\x02")
    batch.add(ev.UPDATE_V2, 1, 0, some.bytes(), b"\0" + (1).to_bytes(4, "little") + b"\0" + (6).to_bytes(4, "little"), TABLE)
    with pytest.raises(Stop, match="some columns only"):
        Overlap(lambda _t: ((0,), (0, 1))).convert(batch)
