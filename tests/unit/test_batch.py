"""Statements for the target: groups closed, maps once, and a cut leaves no trace. And what DDL touches."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.binlog import events as ev
from segue.binlog.batch import MAX_EVENT, Batch, BatchWriter
from segue.binlog.events import Query, crc_is_right, schemas_touched
from segue.binlog.rows import STMT_END, TableMap
from tests.unit.events import Builder, cut

TABLES = [TableMap.parse(Builder(crc=False).table_map(5, name)[20:]) for name in ("a", "b")]
OTHER_A = TableMap.parse(Builder(crc=False).table_map(5, "a", kinds=b"\3\3\3")[20:])
one_event = st.tuples(
    st.sampled_from((ev.WRITE_V2, ev.UPDATE_V2)), st.sampled_from((0, 2)), st.binary(max_size=9), st.sampled_from([*TABLES, OTHER_A])
)


def add(batch: Batch, events: list[tuple[int, int, bytes, TableMap]]) -> None:
    for kind, flags, rows, table in events:
        batch.add(kind, 100, flags, b"\2\0\2\xff", rows, table)


def decoded(batch: Batch) -> list[tuple[int, bytes]]:
    text = BatchWriter(3).statement(batch.runs)
    return cut(base64.b64decode(text.removeprefix(b"BINLOG '").removesuffix(b"'"), validate=True))


@given(st.lists(one_event, min_size=1, max_size=30))
def test_groups(events: list[tuple[int, int, bytes, TableMap]]) -> None:
    batch = Batch()
    add(batch, events)
    out = decoded(batch)
    maps: dict[bytes, bytes] = {}
    flags: set[int] = set()
    rows: list[tuple[int, bytes, bytes]] = []
    in_rows = False
    for kind, body in out:
        if kind == ev.TABLE_MAP:
            if in_rows:
                raise AssertionError("a table map inside a group")
            assert body[:6] not in maps
            maps[body[:6]] = body[8:]
            continue
        in_rows = True
        flag = int.from_bytes(body[6:8], "little")
        flags.add(flag & ~STMT_END)
        rows.append((kind, maps[body[:6]], body[12:]))
        if flag & STMT_END:
            assert len(flags) == 1
            names = [m[: m.index(b"\3\3")] for m in maps.values()]
            assert len(set(names)) == len(names), "one table twice in a group"
            maps, flags, in_rows = {}, set(), False
    assert not in_rows, "the last group is open"
    flat = b"".join(r for _, _, r in rows)
    assert flat == b"".join(e[2] for e in events)


@given(st.lists(one_event, min_size=1, max_size=12), st.lists(one_event, max_size=12))
def test_a_cut_leaves_no_trace(first: list[tuple[int, int, bytes, TableMap]], second: list[tuple[int, int, bytes, TableMap]]) -> None:
    whole, cut_back = Batch(), Batch()
    add(whole, first)
    add(cut_back, first)
    mark = cut_back.mark()
    add(cut_back, second)
    cut_back.cut(mark)
    assert decoded(cut_back) == decoded(whole)
    assert (cut_back.size, cut_back.events) == (whole.size, whole.events)
    add(cut_back, second)
    add(whole, second)
    assert decoded(cut_back) == decoded(whole)


def test_joined_events_are_bounded() -> None:
    batch = Batch()
    add(batch, [(ev.WRITE_V2, 0, b"x" * 100_000, TABLES[0])] * 20)
    assert all(len(body) <= MAX_EVENT + 64 for _, body in decoded(batch))


@given(st.binary(min_size=1, max_size=80), st.integers(0, 10_000))
def test_checksums(body: bytes, at: int) -> None:
    event = Builder().event(ev.XID, body)
    assert crc_is_right(event)
    spoilt = bytearray(event)
    spoilt[1 + at % (len(event) - 1)] ^= 1 << at % 8
    assert not crc_is_right(bytes(spoilt))


@pytest.mark.parametrize(
    ("text", "schemas"),
    [
        ("ALTER TABLE t ADD x INT", {"shop"}),
        ("alter table `other`.`t` add x int", {"shop", "other"}),
        ("CREATE DATABASE IF NOT EXISTS fresh", {"fresh"}),
        ("DROP SCHEMA `fresh`", {"fresh"}),
        ("RENAME TABLE a.t TO b.t", {"a", "b", "shop"}),
        ("/* a.b */ CREATE TABLE t (i INT)", {"shop"}),
        ("-- x\nDROP TABLE t", {"shop"}),
        ("DROP TABLE `we``ird`.`t`", {"we`ird", "shop"}),
        ("TRUNCATE TABLE t", {"shop"}),
        ("GRANT SELECT ON x.* TO y", set()),
        ("CREATE USER u", set()),
        ("FLUSH TABLES", set()),
        ("ANALYZE TABLE shop.t", set()),
        ("DROP TEMPORARY TABLE IF EXISTS t", set()),
    ],
)
def test_what_a_ddl_touches(text: str, schemas: set[str]) -> None:
    assert schemas_touched(Query("shop", text)) == schemas


def test_a_large_statement_is_the_same_text() -> None:
    """It is encoded piece by piece."""
    content = bytes(range(256)) * 40_000 + b"rest"
    batch = Batch()
    add(batch, [(ev.WRITE_V2, 0, content, TABLES[0])])
    [rows] = [body for kind, body in decoded(batch) if kind == ev.WRITE_V2]
    assert content in rows
    batch.forget_rows()
    assert [run.map for run in batch.runs] == [TABLES[0]]
