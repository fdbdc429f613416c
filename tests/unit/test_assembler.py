"""From events to batches: positions move at ends only, and what is not understood stops the stream."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.binlog import events as ev
from segue.binlog.batch import BatchWriter
from segue.binlog.events import BinlogError
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.binlog.rows import STMT_END, TableMap
from segue.replicate.assembler import Assembler, Ddl, Route, Stop
from segue.schema.selection import Selection
from tests.unit.events import UUID_TEXT, Builder, cut

BIG = 1 << 30


def assembler(position: GtidSet | MariaGtid | FilePosition, limit: int = BIG) -> Assembler:
    def plan(table: TableMap) -> Route | None:
        if table.table == "bad":
            raise Stop("table bad differs")
        return Route(table) if table.schema == "shop" else None

    return Assembler(position, plan, Selection(["shop"]), limit)


def mysql(limit: int = BIG) -> Assembler:
    return assembler(GtidSet(f"{UUID_TEXT}:1-10"), limit)


def content(one: Assembler) -> list[tuple[int, bytes]]:
    """The batch's events as the target would read them."""
    if not one.batch.runs:
        return []
    text = BatchWriter(1).statement(one.batch.runs)
    return cut(base64.b64decode(text.removeprefix(b"BINLOG '").removesuffix(b"'")))


def transaction(b: Builder, number: int, rows: list[bytes], table: str = "t", schema: str = "shop") -> list[bytes]:
    middle = [b.rows(1, r, flags=0) for r in rows[:-1]] + [b.rows(1, rows[-1])]
    return [b.gtid(number), b.query("BEGIN"), b.table_map(1, table, schema), *middle, b.xid()]


@pytest.mark.parametrize("crc", [True, False])
def test_one_transaction(crc: bool) -> None:
    b = Builder(crc=crc)
    one = mysql()
    packets = [b.description(), *transaction(b, 11, [b"row1", b"row2"])]
    for packet in packets[:-1]:
        assert one.feed(iter([packet])) is False
        assert one.position.text() == f"{UUID_TEXT}:1-10"
    one.feed(iter(packets[-1:]))
    assert one.position.text() == f"{UUID_TEXT}:1-11"
    kinds = content(one)
    assert [k for k, _ in kinds] == [ev.TABLE_MAP, ev.WRITE_V2]
    assert kinds[1][1].endswith(b"row1row2")
    assert int.from_bytes(kinds[1][1][6:8], "little") & STMT_END


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5), st.sampled_from("tuv")), max_size=8),
    st.integers(1, 200), st.booleans(),
)  # fmt: skip
def test_rows_come_out_as_they_went_in(work: list[tuple[list[bytes], str]], limit: int, crc: bool) -> None:
    """Whatever the batch size: the same rows in the same order, and the last position."""
    b = Builder(crc=crc)
    packets = [b.description()]
    for number, (rows, table) in enumerate(work):
        packets += transaction(b, 11 + number, rows, table)
    one = mysql(limit)
    out = b""
    stream = iter(packets)
    while one.feed(stream) is not False:
        inside = one.in_transaction
        out += b"".join(body[12:] for kind, body in content(one) if kind == ev.WRITE_V2)
        taken = one.take()
        assert one.cut_inside == inside
        assert taken.events
    out += b"".join(body[12:] for kind, body in content(one) if kind == ev.WRITE_V2)
    assert out == b"".join(r for rows, _ in work for r in rows)
    assert one.position.text() == f"{UUID_TEXT}:1-{10 + len(work)}"


def test_foreign_tables_are_left_out_but_their_position_counts() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *transaction(b, 11, [b"x"], schema="other")]))
    assert content(one) == []
    assert one.batch.transactions == 1
    assert one.position.text() == f"{UUID_TEXT}:1-11"


def test_discard_leaves_whole_transactions() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *transaction(b, 11, [b"whole"]), *transaction(b, 12, [b"part"])[:-1]]))
    one.discard_partial()
    assert [body[12:] for kind, body in content(one) if kind == ev.WRITE_V2] == [b"whole"]
    assert one.position.text() == f"{UUID_TEXT}:1-11"


def test_a_crash_of_the_source_inside_a_transaction() -> None:
    b = Builder()
    one = mysql()
    one.feed(iter([b.description(), *transaction(b, 11, [b"lost"])[:-1], b.description(), *transaction(b, 11, [b"kept"])]))
    assert [body[12:] for kind, body in content(one) if kind == ev.WRITE_V2] == [b"kept"]


def test_mariadb_transactions_and_standalone_ddl() -> None:
    b = Builder()
    one = assembler(MariaGtid("0-7-10"))
    one.feed(iter([b.description(), b.maria_gtid(11), b.table_map(1, "t"), b.rows(1, b"r"), b.xid()]))
    assert one.position.text() == "0-7-11"
    found = one.feed(iter([b.maria_gtid(12, flags=1), b.query("ALTER TABLE t ADD x INT")]))
    assert isinstance(found, Ddl)
    assert (str(found.statement.tables[0]), found.at) == ("shop.t", "0-7-12")
    assert one.position.text() == "0-7-11"
    one.passed()
    assert one.position.text() == "0-7-12"


def test_ddl_elsewhere_passes() -> None:
    b = Builder()
    one = mysql()
    assert one.feed(iter([b.description(), b.gtid(11), b.query("CREATE TABLE x (i INT)", "other")])) is False
    assert one.position.text() == f"{UUID_TEXT}:1-11"


def test_file_positions() -> None:
    b = Builder()
    one = assembler(FilePosition("binlog.000001", 4))
    one.feed(iter([b.description(), b.event(ev.ANONYMOUS_GTID, b"\0" * 60), b.query("BEGIN"), b.table_map(1, "t")]))
    before = one.position.text()
    one.feed(iter([b.rows(1, b"r"), b.xid()]))
    assert one.position.text() == f"binlog.000001:{b.offset}"
    assert one.position.text() != before
    one.feed(iter([b.event(ev.ROTATE, (4).to_bytes(8, "little") + b"binlog.000002")]))
    assert one.position.text() == "binlog.000002:4"


def test_compressed_transactions() -> None:
    b, inner = Builder(), Builder(crc=False)
    plain = transaction(inner, 11, [b"a", b"b"])
    data = b"".join(p[1:] for p in plain[1:])
    packed = zstandard.compress(data)
    body = b"\2\1\0" + b"\1\3\xfc" + len(packed).to_bytes(2, "little") + b"\0" + packed
    one = mysql()
    one.feed(iter([b.description(), b.gtid(11), b.event(ev.TRANSACTION_PAYLOAD, body)]))
    assert [x[12:] for kind, x in content(one) if kind == ev.WRITE_V2] == [b"ab"]
    assert one.position.text() == f"{UUID_TEXT}:1-11"


def begun(b: Builder) -> list[bytes]:
    return [b.gtid(11), b.query("BEGIN"), b.table_map(1, "t"), b.rows(1, b"r")]


STATEMENTS = [
    "INSERT INTO t VALUES (1)", "/* why */ INSERT INTO t VALUES (1)", "-- why\nUPDATE t SET a = 1", "# why\n  delete from t", "/*!50000 REPLACE */ INTO t VALUES (1)",
    "WITH a AS (SELECT 1) DELETE FROM t", "LOAD DATA INFILE 'x' INTO TABLE t", "CALL p()", "DO f()", "SELECT `shop`.`f`()", "(SELECT f())", "/* a */ /* b */\n REPLACE t VALUES (1)",
]  # fmt: skip


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_in_place_of_its_rows_stops_whatever_stands_before_it(text: str) -> None:
    b = Builder()
    with pytest.raises(Stop, match="a statement came instead of its rows"):
        mysql().feed(iter([b.description(), b.gtid(11), b.query("BEGIN"), b.query(text)]))


@pytest.mark.parametrize("text", ["CREATE TABLE x (i INT)", "/* INSERT */ ALTER TABLE t ADD x INT", "TRUNCATE t", "-- DELETE\nDROP TABLE t", "RENAME TABLE t TO u"])
def test_a_definition_is_no_such_statement(text: str) -> None:
    assert not ev.changes_rows(text)


STOPS: list[tuple[str, Callable[[Builder], list[bytes]]]] = [
    ("event type 172 (PARTIAL_ROW_DATA)", lambda b: [b.event(172, b"x")]),
    ("event type 222 (unknown)", lambda b: [b.event(222, b"x")]),
    ("incident", lambda b: [b.event(ev.INCIDENT, b"x")]),
    ("prepared before the position", lambda b: [b.gtid(11), b.query("XA COMMIT X'01',X'',1")]),
    ("inside an XA transaction", lambda b: [b.gtid(11), b.query("XA START X'01',X'',1"), b.query("DROP TABLE t")]),
    ("event type 16 (unknown) inside an XA", lambda b: [b.gtid(11), b.query("XA START X'01',X'',1"), b.xid()]),
    ("table bad differs", lambda b: [b.gtid(11), b.query("XA START X'01',X'',1"), b.table_map(1, "bad")]),
    ("statement came instead", lambda b: [b.gtid(11), b.query("BEGIN"), b.query("INSERT INTO t VALUES (1)")]),
    ("inside a transaction", lambda b: [*begun(b), b.query("ALTER TABLE t ADD x INT")]),
    ("rolled back", lambda b: [*begun(b), b.query("ROLLBACK")]),
    ("table bad differs", lambda b: [b.gtid(11), b.query("BEGIN"), b.table_map(1, "bad")]),
    ("without GTID", lambda b: [b.event(ev.ANONYMOUS_GTID, b"\0" * 60)]),
]


@pytest.mark.parametrize(("text", "packets"), STOPS, ids=[s[0] for s in STOPS])
def test_what_stops_the_stream(text: str, packets: Callable[[Builder], list[bytes]]) -> None:
    b = Builder()
    one = mysql()
    with pytest.raises(Stop, match=text.replace("(", r"\(").replace(")", r"\)")):
        one.feed(iter([b.description(), *packets(b)]))
    one.discard_partial()
    assert content(one) == []
    assert one.position.text() == f"{UUID_TEXT}:1-10"


def test_damage_is_noticed() -> None:
    b = Builder()
    start = b.description()
    good = transaction(b, 11, [b"row"])
    for number in range(len(good)):
        for at in (6, len(good[number]) // 2, len(good[number]) - 1):
            spoilt = bytearray(good[number])
            spoilt[at] ^= 0x10
            with pytest.raises((BinlogError, Stop)):
                mysql().feed(iter([start, *good[:number], bytes(spoilt)]))


def test_rows_without_their_map() -> None:
    b = Builder()
    with pytest.raises(BinlogError, match="without its table map"):
        mysql().feed(iter([b.description(), b.gtid(11), b.query("BEGIN"), b.rows(9, b"r")]))

