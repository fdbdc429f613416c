"""Whose transactions they are, from events made by hand."""

from __future__ import annotations

import struct

from segue.binlog import events as ev
from segue.binlog.positions import MariaGtid
from segue.schema import Selection
from segue.switchover.foreign import Listing


def event(kind: int, body: bytes, server: int = 7) -> bytes:
    return struct.pack("<IBIIIH", 1000, kind, server, 19 + len(body), 0, 0) + body


def gtid(number: int) -> bytes:
    return event(ev.MARIADB_GTID, struct.pack("<QIB", number, 0, 0) + bytes(6))


def table(schema: str, name: str) -> bytes:
    return event(ev.TABLE_MAP, bytes(8) + bytes([len(schema)]) + schema.encode() + b"\0" + bytes([len(name)]) + name.encode() + b"\0")


ROW, XID = event(ev.WRITE_V1, bytes(20)), event(ev.XID, bytes(8))


def listed(*stream: bytes, selection: Selection | None = None) -> Listing:
    one = Listing(MariaGtid("0-7-1"), selection)
    for each in stream:
        one.feed(each)
    return one


def test_ours_carry_the_mark_and_others_do_not() -> None:
    ours = (gtid(2), table("shop", "a"), ROW, table("segue", "progress"), ROW, XID)
    theirs = (gtid(3), table("shop", "a"), ROW, table("shop", "b"), ROW, ROW, XID)
    found = listed(*ours, *theirs)
    assert found.done == [{"gtid": "0-7-3", "at": 1000, "tables": ["shop.a", "shop.b"], "row_events": 3}]
    assert found.position.text() == "0-7-3"


def test_a_beginning_is_left_to_the_next_look() -> None:
    found = listed(gtid(2), table("shop", "a"), ROW, XID, gtid(3), table("shop", "a"), ROW)
    assert [t["gtid"] for t in found.done] == ["0-7-2"]
    assert found.position.text() == "0-7-2"


def test_only_what_is_replicated_counts() -> None:
    stream = (gtid(2), table("other", "a"), ROW, XID, gtid(3), event(ev.QUERY, b"ALTER TABLE x ADD y INT"))
    found = listed(*stream, selection=Selection(["shop"]))
    assert found.done == []
    assert found.position.text() == "0-7-3"
    assert [t["tables"] for t in listed(*stream).done] == [["other.a"]]
