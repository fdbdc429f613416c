"""Streams inside the stream: compressed transactions and events, tagged GTIDs, XA transactions until their outcome."""

from __future__ import annotations

import zlib

import pytest
import zstandard

from segue.binlog import events as ev
from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.binlog.tagged import encode_set, number, tagged_gtid
from segue.replicate import held, xa
from segue.replicate.assembler import Assembler, Route, Stop
from tests.unit.events import UUID_TEXT, Builder
from tests.unit.test_assembler import assembler, content, mysql, transaction

XID = "X'616263',X'71',7"
PREPARE = b"\7\0\0\0\3\0\0\0\1\0\0\0abcq"


def rows(one: Assembler) -> list[bytes]:
    return [body[12:] for kind, body in content(one) if kind == ev.WRITE_V2]


def payload(events: list[bytes], *, zstd: bool = True, size: int | None = None) -> bytes:
    data = b"".join(e[1:] for e in events)
    packed = zstandard.compress(data) if zstd else data
    wanted = (len(data) if size is None else size).to_bytes(4, "little")
    return (
        (b"\2\1\0" if zstd else b"\2\3\xfc\xff\0") + b"\3\5\xfe" + wanted + bytes(4)[:0] + b"\1\3\xfc"
        + len(packed).to_bytes(2, "little") + b"\0" + packed
    ).replace(b"\3\5\xfe" + wanted, b"\3\x09\xfe" + wanted + bytes(4))  # fmt: skip


@pytest.mark.parametrize("zstd", [True, False])
def test_a_payload_larger_than_a_batch_is_read_in_parts(zstd: bool) -> None:
    b, inner = Builder(), Builder(crc=False)
    many = [bytes((n,)) * 50 for n in range(40)]
    events = transaction(inner, 11, many)[1:]
    one = mysql(limit=200)
    stream = iter([b.description(), b.gtid(11), b.event(ev.TRANSACTION_PAYLOAD, payload(events, zstd=zstd)),
                   *transaction(b, 12, [b"behind"])])  # fmt: skip
    seen, most = b"", 0
    while one.feed(stream) is True:
        assert one.position.text() in (f"{UUID_TEXT}:1-10", f"{UUID_TEXT}:1-11", f"{UUID_TEXT}:1-12")
        most = max(most, one.batch.size)
        seen += b"".join(rows(one))
        one.take()
    assert seen + b"".join(rows(one)) == b"".join(many) + b"behind"
    assert most < 400
    assert one.position.text() == f"{UUID_TEXT}:1-12"


def test_file_positions_count_a_payload_as_one() -> None:
    b, inner = Builder(), Builder(crc=False)
    one = assembler(FilePosition("binlog.000001", 4))
    one.feed(iter([b.description(), b.event(ev.ANONYMOUS_GTID, b"\0" * 60),
                   b.event(ev.TRANSACTION_PAYLOAD, payload(transaction(inner, 1, [b"r"])[1:]))]))  # fmt: skip
    assert one.position.text() == f"binlog.000001:{b.offset}"


def test_spoilt_payloads() -> None:
    inner = Builder(crc=False)
    good = payload(transaction(inner, 11, [b"a"])[1:])
    for bad in (good[:-5], good + b"x", payload(transaction(inner, 11, [b"a"])[1:], size=30), b"\2\1\7\0", b"", b"\1",
                payload([b"\0" + bytes(30)]), payload([b"\0" + bytes(9) + b"\xff\xff\xff\x7f" + bytes(20)])):  # fmt: skip
        b = Builder()
        with pytest.raises(BinlogError):
            mysql().feed(iter([b.description(), b.gtid(11), b.event(ev.TRANSACTION_PAYLOAD, bad)]))


def squeezed(data: bytes) -> bytes:
    return b"\x82" + len(data).to_bytes(2) + zlib.compress(data)


def test_mariadb_compressed_rows_and_statements() -> None:
    b = Builder()
    one = assembler(MariaGtid("0-7-10"))
    head = (1).to_bytes(6, "little") + b"\1\0\2\xff"
    events = [b.maria_gtid(11), b.table_map(1, "t"), b.event(166, head + squeezed(b"row" * 90)), b.xid(),
              b.maria_gtid(12, flags=1), b.event(165, b"\0" * 8 + b"\5\0\0\0\0other\0" + squeezed(b"CREATE TABLE x (i INT)"))]  # fmt: skip
    assert one.feed(iter([b.description(), *events])) is False
    assert [(k, body[-270:]) for k, body in content(one) if k != ev.TABLE_MAP] == [(ev.WRITE_V1, b"row" * 90)]
    assert one.position.text() == "0-7-12"
    recorded = bytes.fromhex("82038b789cfb23c7c0c0d0c29c380a46c1281850000005 3e56b5".replace(" ", ""))
    one.feed(iter([b.maria_gtid(13), b.table_map(1, "t"), b.event(166, head + recorded)]))
    assert content(one)[-1][1].endswith(b"\xfc\x1e\0\0\0\x84\3" + b"a" * 900)


@pytest.mark.parametrize("data", [b"", b"\x02\0\3abc", b"\x85\0\0\0\0\3x", b"\x81\3abc", b"\x81\1" + zlib.compress(b"too long"),
                                  b"\x84\xff\xff\xff\xff" + zlib.compress(b"x")])  # fmt: skip
def test_spoilt_compressed_rows(data: bytes) -> None:
    b = Builder()
    one = assembler(MariaGtid("0-7-10"))
    with pytest.raises(BinlogError):
        one.feed(iter([b.description(), b.maria_gtid(11), b.table_map(1, "t"), b.event(166, b"\1" + b"\0" * 5 + b"\1\0\2\xff" + data)]))


# Recorded from MySQL 9.7.4.
TAGGED = bytes.fromhex("027000000002a4264612a1039c22c503cd02e50204f103000000020404060a7365675f3108000a040c7fb863a8ab0c61061085041283120b")
LONGEST = bytes.fromhex("02ba000000027c22e9038ee22903228503790266210314a502845502c404fffcffffffffffffff06406162636465666768696a6b6c6d6e6f70"
                        "7172737475767778797a30313233343508040a0c0c7ff096a8ab0c61061019051283120b")  # fmt: skip


def test_tagged_gtids() -> None:
    source, gno, time = tagged_gtid(TAGGED)
    assert (source, gno) == ("52132309-e84e-11f1-b3b9-02fc00000001:seg_1", 1)
    assert 1.7e9 < time < 1.9e9
    assert tagged_gtid(LONGEST)[:2] == (f"{UUID_TEXT}:abcdefghijklmnopqrstuvwxyz012345", (1 << 63) - 2)
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), b.event(ev.GTID_TAGGED, TAGGED), *transaction(b, 1, [b"r"])[1:]]))
    assert one.position.text() == f"{UUID_TEXT}:1-10,52132309-e84e-11f1-b3b9-02fc00000001:seg_1:1"
    for bad in (TAGGED[:-1], TAGGED + b"\0", b"\4" + TAGGED[1:], b"", TAGGED[:3] + b"\x1a" + TAGGED[4:]):
        with pytest.raises(BinlogError):
            tagged_gtid(bad)


def test_serialised_numbers() -> None:
    for data, value in ((b"\x00", 0), (b"\xfe", 127), (b"\x01\x02", 128), (b"\xff" * 9, (1 << 64) - 1), (b"\x7f" + b"\xff" * 7, (1 << 56) - 1)):
        assert number(data, 0) == (value, len(data))


def test_a_set_with_tags_encoded() -> None:
    one = GtidSet(f"{UUID_TEXT}:1-5:9,{UUID_TEXT}:tag:3")
    uuid = bytes.fromhex(UUID_TEXT.replace("-", ""))
    eight = [n.to_bytes(8, "little") for n in (2, 1, 6, 9, 10, 1, 3, 4)]
    assert one.encoded() == (
        b"\1\2\0\0\0\0\0\1" + uuid + b"\0" + b"".join(eight[:5]) + uuid + b"\6tag" + b"".join(eight[5:])
    )
    assert encode_set({}) == b"\1\0\0\0\0\0\0\1"


# -- XA ----------------------------------------------------------------------------------------------------------


def prepared(b: Builder, gtid: bytes, data: list[bytes], *, one_phase: bool = False, table: str = "t", schema: str = "shop") -> list[bytes]:
    return [gtid, b.query(f"XA START {XID}"), b.table_map(1, table, schema), *(b.rows(1, r) for r in data), b.query(f"XA END {XID}"),
            b.event(ev.XA_PREPARE, bytes((one_phase,)) + PREPARE)]  # fmt: skip


@pytest.mark.parametrize("crc", [True, False])
def test_xa_commit(crc: bool) -> None:
    """Rows come at the commit, behind what was committed meanwhile; the progress passes the prepare."""
    b = Builder(crc=crc)
    one = mysql()
    one.feed(iter([b.description(), *prepared(b, b.gtid(11), [b"x", b"y"]), *transaction(b, 12, [b"between"])]))
    assert rows(one) == [b"between"]
    assert one.position.text() == f"{UUID_TEXT}:1-12"
    assert not one.in_transaction
    first = one.take()
    assert set(first.held) == {XID}
    one.feed(iter([b.gtid(13), b.query(f"XA COMMIT {XID}")]))
    assert rows(one) == [b"xy"]
    assert one.position.text() == f"{UUID_TEXT}:1-13"
    assert one.take().held == {XID: None}
    with pytest.raises(Stop, match="prepared before the position"):
        one.feed(iter([b.gtid(14), b.query(f"XA COMMIT {XID}")]))


def test_xa_survives_a_restart() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *prepared(b, b.gtid(11), [b"x"] * 5)]))
    stored = one.take().held[XID]
    assert stored is not None
    statements = list(held.changes("d", {XID: stored, "X'01',X'',1": None}))
    assert len(statements) == 2
    b = Builder()
    two = Assembler(GtidSet(f"{UUID_TEXT}:1-11"), Route, lambda _s: True, 1 << 20, xa.Held({XID: stored}))
    two.feed(iter([b.description(), b.gtid(12), b.query(f"XA COMMIT {XID}")]))
    assert rows(two) == [b"xxxxx"]
    assert two.batch.held == {XID: None}


def test_xa_rollback() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *prepared(b, b.gtid(11), [b"x"]), b.gtid(12), b.query(f"XA ROLLBACK {XID}")]))
    assert rows(one) == []
    assert one.batch.held == {XID: None}
    assert one.position.text() == f"{UUID_TEXT}:1-12"
    one.feed(iter([b.gtid(13), b.query("XA ROLLBACK X'99',X'',1")]))  # of before our position: nothing to do
    assert one.position.text() == f"{UUID_TEXT}:1-13"


def test_xa_in_one_phase() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *prepared(b, b.gtid(11), [b"x"], one_phase=True), *transaction(b, 12, [b"y"])]))
    assert rows(one) == [b"xy"]
    assert one.position.text() == f"{UUID_TEXT}:1-12"


def test_xa_of_mariadb() -> None:
    b = Builder()
    one = assembler(MariaGtid("0-7-10"))
    start = [p for p in prepared(b, b.maria_gtid(11, flags=0x4C), [b"x"]) if b"XA START" not in p]
    one.feed(iter([b.description(), *start, b.maria_gtid(12), b.table_map(1, "t"), b.rows(1, b"between"), b.xid()]))
    assert (rows(one), one.position.text()) == ([b"between"], "0-7-12")
    one.feed(iter([b.maria_gtid(13, flags=0x8D), b.query(f"XA COMMIT {XID}")]))
    assert (rows(one), one.position.text()) == ([b"betweenx"], "0-7-13")


def test_xa_inside_a_payload_and_of_foreign_tables() -> None:
    b, inner = Builder(), Builder(crc=False)
    one = mysql()
    events = prepared(inner, b"", [b"x"])[1:]
    one.feed(iter([b.description(), b.gtid(11), b.event(ev.TRANSACTION_PAYLOAD, payload(events)), b.gtid(12), b.query(f"XA COMMIT {XID}")]))
    assert rows(one) == [b"x"]
    one.feed(iter([*prepared(b, b.gtid(13), [b"foreign"], schema="other"), b.gtid(14), b.query(f"XA COMMIT {XID}")]))
    assert rows(one) == [b"x"]
    assert one.position.text() == f"{UUID_TEXT}:1-14"


def test_a_large_xa_transaction_is_cut_inside() -> None:
    b = Builder()
    one = mysql(limit=100)
    data = [bytes((n,)) * 30 for n in range(20)]
    stream = iter([b.description(), *prepared(b, b.gtid(11), data), b.gtid(12), b.query(f"XA COMMIT {XID}"), *transaction(b, 13, [b"z"])])
    seen = b""
    while one.feed(stream) is True:
        assert one.position.text() != f"{UUID_TEXT}:1-12" or not one.in_transaction
        seen += b"".join(rows(one))
        one.take()
    assert seen + b"".join(rows(one)) == b"".join(data) + b"z"
    assert one.batch.held.get(XID) is None


def test_a_source_that_crashes_inside_xa() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *prepared(b, b.gtid(11), [b"lost"])[:3], b.description(), *transaction(b, 11, [b"kept"])]))
    assert rows(one) == [b"kept"]


def test_more_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xa, "MAX_HELD", 100)
    b = Builder()
    with pytest.raises(Stop, match="prepared XA transactions of more than"):
        mysql().feed(iter([b.description(), *prepared(b, b.gtid(11), [b"x" * 60, b"y" * 60])]))


def test_spoilt_xa() -> None:
    b = Builder()
    for bad in (b"\0", b"\0" + PREPARE + b"x", b"\0" + PREPARE[:-1]):
        with pytest.raises(BinlogError):
            mysql().feed(iter([b.description(), b.gtid(11), b.query(f"XA START {XID}"), b.event(ev.XA_PREPARE, bad)]))
    for packets in ([b.event(ev.XA_PREPARE, b"\0" + PREPARE)], [b.gtid(11), b.query(f"XA END {XID}")], [b.gtid(11), b.query("XA RECOVER")],
                    [b.gtid(11), b.query(f"XA START {XID}"), b.rows(5, b"x")]):  # fmt: skip
        with pytest.raises(BinlogError):
            mysql().feed(iter([b.description(), *packets]))
    with pytest.raises(BinlogError):
        xa.unpack(b"\xff\0\0\0x")


def test_create_select_ends_with_its_rows() -> None:
    """MySQL before 9: no BEGIN in front of CREATE TABLE ... START TRANSACTION."""
    b = Builder()
    one = mysql()
    packets = iter([b.description(), b.gtid(11), b.query("CREATE TABLE `t` (i INT) START TRANSACTION"), b.table_map(1, "t"), b.rows(1, b"r"), b.xid()])
    found = one.feed(packets)
    assert not isinstance(found, bool)
    one.passed()
    assert one.in_transaction
    assert one.feed(packets) is False
    assert rows(one) == [b"r"]
    assert one.position.text() == f"{UUID_TEXT}:1-11"
