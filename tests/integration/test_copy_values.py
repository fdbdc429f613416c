"""Every type of column through the copy's text: what arrives is what was there, to the bit."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import termios
from collections.abc import Callable

import pytest

from lab import Server
from segue.config import Endpoint
from segue.copy import rows
from segue.copy.keys import walk_key
from segue.copy.lane import Lane
from segue.copy.lines import Form, form
from segue.copy.load import load
from segue.copy.rows import TooLarge, read_chunk, stream_rows
from segue.copy.walk import read_fitting
from segue.errors import ConnectionLost, ServerError
from segue.flavour import detect
from segue.schema import Selection, TableMapping, read_tables
from segue.sql import connect, name

pytestmark = pytest.mark.servers

KINDS = """CREATE TABLE shop.kinds (
 id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, a TINYINT, b SMALLINT UNSIGNED ZEROFILL, d BIGINT UNSIGNED, e DECIMAL(65,30),
 f FLOAT, g DOUBLE, f2 FLOAT(7,3), h BIT(64), h1 BIT(1), i DATE, j TIME(6), k DATETIME(6), l TIMESTAMP(6) NULL, m YEAR,
 n CHAR(10), o VARCHAR(300), p BINARY(4), q VARBINARY(200), r LONGTEXT, s LONGBLOB, t ENUM('x','it''s, y','\\\\'),
 u SET('p','q','r'), v JSON, w GEOMETRY, x VARCHAR(200) CHARACTER SET latin1, y INT GENERATED ALWAYS AS (a + 1) STORED,
 y2 INT GENERATED ALWAYS AS (a + 2) VIRTUAL, z INT INVISIBLE, `od``d name,` VARCHAR(20), nn VARCHAR(5) NOT NULL DEFAULT ''
) ENGINE=InnoDB"""
NASTY = "'\\\\N', 'NULL', 'null', '', ' ', '  trailing  ', '\\'', '\\\\', '\\n', '\\r\\n', '\\t,\\'', '\\0', '\\Z', 'ä€𝄞', ',\\'\\n\\\\N,'"
ROWS = (
    ("INSERT INTO shop.kinds (a,b,d,e,f,g,f2,h,h1,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,z) VALUES (-128, 65535, 18446744073709551615,"
    " -12345678901234567890123456789012345.012345678901234567890123456789, 1.17549e-38, -1.7976931348623157e308, 1234.567,"
    " b'1111111111111111111111111111111111111111111111111111111111111111', b'1', '2024-02-29', '-838:59:58.999999',"
    " '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.123456', 2155, 'ä€', REPEAT('ü', 299), 0x00FF, 0x0001020A0D5C27,"
    " REPEAT('𝄞\\n', 1000), REPEAT(0x00, 100000), 'it''s, y', 'p,r', '{\"k\": [1, null, \"ä\\\\\\\\n\"]}',"
    " ST_GeomFromText('POINT(1.5 -2)'), 'é\\'\\\\', 5)"),
    ("INSERT INTO shop.kinds (a,f,g,h,i,j,k,l,m,t,u,v) VALUES (0, -0.0, -0.0, 0, '0000-00-00', '00:00:00', '0000-00-00',"
    " '0000-00-00 00:00:00', 0, '\\\\', '', 'null')"),
    "INSERT INTO shop.kinds (f,g,i,k,m) VALUES (3.4028e38, 4.9406564584124654e-324, '2024-00-00', '0000-00-00', 1901)",
    "INSERT INTO shop.kinds (f,g) VALUES (0.1, 0.1), (16777217, 1e22), (-1.2345678e-30, -1.2345678901234567e-300)",
    *(f"INSERT INTO shop.kinds (o, q, r, s, x, `od``d name,`) SELECT {v},{v},{v},{v},CONVERT({v} USING latin1),LEFT({v}, 20)"
      for v in NASTY.split(", ") if "ä" not in v),
    "INSERT INTO shop.kinds () VALUES ()",
    "INSERT INTO shop.kinds (id, n) VALUES (18446744073709551614, 'last')",
)  # fmt: skip


def fill(server: Server, statements: tuple[str, ...]) -> None:
    with server.connect() as conn, conn.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'")
        for statement in statements:
            cursor.execute(statement)


def lane_between(blue: Server, green: Server) -> Lane:
    ends = [(Endpoint(host=s.host, port=s.port, user="root"), s.folder.name) for s in (blue, green)]
    return Lane(0, ends[0], ends[1], "test", binlog=True)


async def copy(
    blue: Server, green: Server, table: tuple[str, str], *, stream: bool, arrays: bool, into: tuple[str, str] | None = None
) -> int:
    """The table's rows over one lane; how many."""
    into = into or table
    lane = lane_between(blue, green)
    plain = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    try:
        source, target = await lane.source(), await lane.target()
        both = [await read_tables(c, Selection([table[0]])) for c in (plain, target)]
        made = form(TableMapping(table, into), both[0][table], both[1][into], replace=not stream, arrays=arrays and target.takes_arrays)
        copied = 0
        if stream:
            async for count, lines in stream_rows(source, made, name(*table), 1000):
                await load(target, made, lines, count)
                copied += count
        else:
            key = walk_key(both[0][table])
            assert key is not None
            made, copied, pieces = await read_fitting(source, target, made, name(*table), key.where(None, None), (1 << 30, 1 << 30))
            await load(target, made, pieces, copied)
        return copied
    finally:
        await lane.close()
        await plain.close()


@pytest.mark.parametrize(
    ("flavour", "stream", "arrays"),
    [("mysql", False, False), ("mysql", True, False), ("mariadb", False, False), ("mariadb", True, False), ("mariadb", False, True)],
)
async def test_every_type_arrives_as_it_is(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str, *, stream: bool, arrays: bool
) -> None:
    blue, green = pairs(flavour)
    local = green.sql("SELECT @@GLOBAL.local_infile")[0][0]
    try:
        for server in (blue, green):
            server.sql("SET GLOBAL local_infile = 1")
            server.sql("CREATE DATABASE shop")
            server.sql(KINDS)
        fill(blue, ROWS)
        wanted = blue.sql("SELECT COUNT(*) FROM shop.kinds")[0][0]
        assert await copy(blue, green, ("shop", "kinds"), stream=stream, arrays=arrays) == wanted
        assert green.sql("CHECKSUM TABLE shop.kinds") == blue.sql("CHECKSUM TABLE shop.kinds")
        bits = "SELECT id, HEX(v), HEX(o), f, g, z, HEX(w), y, HEX(`od``d name,`) FROM shop.kinds ORDER BY id"
        assert green.sql(bits) == blue.sql(bits)
    finally:
        green.sql(f"SET GLOBAL local_infile = {local}")


SORTS = {
    "a INT": "a BIGINT", "b SMALLINT UNSIGNED ZEROFILL": "b VARCHAR(20)", "c FLOAT": "c DOUBLE", "d DOUBLE": "d DOUBLE",
    "e DATETIME(3)": "e DATETIME(6)", "f DATE": "f DATETIME", "g TIME(2)": "g VARCHAR(30)", "h YEAR": "h INT", "i BIT(9)": "i BIGINT",
    "j DECIMAL(12,4)": "j DOUBLE", "k BIGINT UNSIGNED": "k DECIMAL(30,2)", "l TIMESTAMP NULL": "l TIMESTAMP(6) NULL",
    "m MEDIUMINT UNSIGNED": "m INT UNSIGNED", "n TINYINT": "n SMALLINT", "o VARCHAR(30)": "o TEXT", "p ENUM('x','y')": "p VARCHAR(9)",
    "q VARCHAR(9)": "q INT", "r DATETIME": "r DATE NULL",
}  # fmt: skip
"""Columns of the source, and of the target."""
SORTED = (
    ("INSERT INTO shop.kinds VALUES (1, -2147483648, 7, 1.1, 0.1, '2024-02-29 23:59:59.999', '2024-02-29', '-12:34:56.78', 2155, b'111111111',"
     " -12345678.9876, 18446744073709551615, '2024-02-29 23:59:59', 16777215, -128, 'é', 'y', '-17', '2024-02-29')"),
    ("INSERT INTO shop.kinds VALUES (2, 0, 0, -0.0, 1e300, '0000-00-00', '0000-00-00', '00:00:00', 0, 0, 0, 0, '0000-00-00', 0, 0, '', 'x', '0',"
     " '0000-00-00')"),
    ("INSERT INTO shop.kinds VALUES (3, 2147483647, 65535, 3.4028e38, 1e-9, '9999-12-31 23:59:59.001', '2021-02-31', '838:59:59', 1901, 1, 0.5,"
     " 9223372036854775808, '2038-01-19 03:14:07', 8388608, 127, '7', 'x', '99', '2021-02-31')"),
    f"INSERT INTO shop.kinds VALUES (4{', NULL' * 18})",
)  # fmt: skip


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
@pytest.mark.parametrize("sorts", [False, True])
async def test_arrays_bring_what_lines_bring(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str, *, sorts: bool
) -> None:
    """Of either flavour's source, into columns of the same sort and of others."""
    green = pairs("mariadb")[1]
    blue = pairs(flavour)[0]
    for server in (blue, green):
        server.sql("CREATE DATABASE shop CHARACTER SET utf8mb4")
    here, there = (f"CREATE TABLE shop.kinds (id INT PRIMARY KEY, {', '.join(columns)}) ENGINE=InnoDB CHARSET utf8mb4" for columns in (SORTS, SORTS.values()))
    blue.sql(here if sorts else KINDS)
    fill(blue, SORTED if sorts else ROWS)
    green.sql("SET GLOBAL local_infile = 1")
    for into, arrays in (("by_lines", False), ("by_arrays", True)):
        green.sql((there if sorts else KINDS).replace("shop.kinds", f"shop.{into}"))
        count = green.sql("SHOW GLOBAL STATUS LIKE 'Com_load'")[0][1]
        assert await copy(blue, green, ("shop", "kinds"), stream=False, arrays=arrays, into=("shop", into)) == blue.sql("SELECT COUNT(*) FROM shop.kinds")[0][0]
        assert (green.sql("SHOW GLOBAL STATUS LIKE 'Com_load'")[0][1] == count) == arrays
    assert green.sql("CHECKSUM TABLE shop.by_arrays")[0][1] == green.sql("CHECKSUM TABLE shop.by_lines")[0][1]


async def test_a_real_becomes_text_by_lines(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """MySQL cuts the text of a CAST."""
    blue, green = pairs("mysql")[0], pairs("mariadb")[1]
    for server, kind in ((blue, "DOUBLE"), (green, "VARCHAR(60)")):
        server.sql("CREATE DATABASE shop")
        server.sql(f"CREATE TABLE shop.t (id INT PRIMARY KEY, d {kind}) ENGINE=InnoDB")
    blue.sql("INSERT INTO shop.t VALUES (1, -1.2345678901234567e-300), (2, 0.1)")
    green.sql("SET GLOBAL local_infile = 1")
    assert await copy(blue, green, ("shop", "t"), stream=False, arrays=True) == 2
    assert [float(d) for (d,) in green.sql("SELECT d FROM shop.t ORDER BY id")] == [-1.2345678901234567e-300, 0.1]


@pytest.mark.parametrize("arrays", [False, True])
async def test_addresses_arrive_as_they_are(pairs: Callable[[str], tuple[Server, Server]], *, arrays: bool) -> None:
    """The text of one has as many characters as the value has bytes."""
    blue, green = pairs("mariadb")
    for server in (blue, green):
        server.sql("CREATE DATABASE shop")
        server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, u UUID, f INET4, s INET6) ENGINE=InnoDB")
    blue.sql("INSERT INTO shop.t VALUES (1, '6ccd780c-baba-1026-9564-5b8c656024db', '10.0.0.1', '2001:db8::ff00:1'), (2, NULL, NULL, NULL)")
    green.sql("SET GLOBAL local_infile = 1")
    limit = blue.sql("SELECT @@GLOBAL.max_prepared_stmt_count")[0][0]
    rows = "SELECT id, CONCAT(u), CONCAT(f), CONCAT(s) FROM shop.t ORDER BY id"
    assert await copy(blue, green, ("shop", "t"), stream=False, arrays=arrays) == 2
    assert green.sql(rows) == blue.sql(rows)
    green.sql("DELETE FROM shop.t")
    blue.sql("SET GLOBAL max_prepared_stmt_count = 0")  # an application has taken all
    try:
        assert await copy(blue, green, ("shop", "t"), stream=False, arrays=arrays) == 2
    finally:
        blue.sql(f"SET GLOBAL max_prepared_stmt_count = {limit}")
    assert green.sql(rows) == blue.sql(rows)


async def test_arrays_pass_rows_of_any_size_and_no_value_that_does_not_fit(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """Packets end between rows, a row larger than the target's largest packet goes by LOAD DATA, and nothing is cut."""
    blue, green = pairs("mariadb")
    limit = green.sql("SELECT @@GLOBAL.max_allowed_packet")[0][0]
    blue.sql("CREATE DATABASE shop")
    blue.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v LONGTEXT, `what?` VARCHAR(9)) ENGINE=InnoDB CHARSET utf8mb4")
    blue.sql("INSERT INTO shop.t SELECT seq, NULL, seq FROM shop.seq_1_to_3000")
    sizes = (0, 250, 251, 65535, 65536, 900_000, 1_048_000, 1_049_000, 3_000_000, 70_000, 5)
    for n, size in enumerate(sizes):
        blue.sql(f"UPDATE shop.t SET v = REPEAT('\\'', {size}) WHERE id = {n * 200 + 1}")
    blue.sql("UPDATE shop.t SET v = REPEAT('x', 8000) WHERE id % 7 = 0")
    green.sql("CREATE DATABASE shop")
    green.sql("SET GLOBAL max_allowed_packet = 2097152")
    try:
        for arrays in (False, True):
            green.sql("CREATE OR REPLACE TABLE shop.t (id INT PRIMARY KEY, v LONGTEXT, `what?` VARCHAR(9)) ENGINE=InnoDB CHARSET utf8mb4")
            assert await copy(blue, green, ("shop", "t"), stream=False, arrays=arrays) == 3000
            assert green.sql("CHECKSUM TABLE shop.t") == blue.sql("CHECKSUM TABLE shop.t")
        again = await copy(blue, green, ("shop", "t"), stream=False, arrays=True)  # each row in another's place
        assert again == 3000
        lines_before = green.sql("SHOW GLOBAL STATUS LIKE 'Com_load'")
        blue.sql("DELETE FROM shop.t WHERE LENGTH(v) > 2000000")  # what is left goes by arrays
        for column in ("v MEDIUMTEXT", "v VARCHAR(7999)", "v LONGTEXT CHARACTER SET ascii", "v INT", "v LONGTEXT NOT NULL"):
            blue.sql("UPDATE shop.t SET v = 'é' WHERE id = 1 AND v = ''")
            green.sql(f"CREATE OR REPLACE TABLE shop.t (id INT PRIMARY KEY, {column}, `what?` VARCHAR(9)) ENGINE=InnoDB")
            if "MEDIUM" in column:
                await copy(blue, green, ("shop", "t"), stream=False, arrays=True)
                assert green.sql("SELECT SUM(CRC32(v)) FROM shop.t") == blue.sql("SELECT SUM(CRC32(v)) FROM shop.t")
                continue
            with pytest.raises(ServerError, match=r"too long|Incorrect|Cannot convert|cannot be null"):
                await copy(blue, green, ("shop", "t"), stream=False, arrays=True)
        assert green.sql("SHOW GLOBAL STATUS LIKE 'Com_load'") == lines_before
    finally:
        green.sql(f"SET GLOBAL max_allowed_packet = {limit}")


async def test_a_few_prepared_statements_are_kept(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """A lane goes from table to table; with very many of them the server must not fill."""
    server = pairs("mariadb")[0]
    conn = await connect(Endpoint(host=server.host, port=server.port, user="root"))
    held = "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'"
    before = int(server.sql(held)[0][1])
    try:
        numbers = [await conn.prepared(f"DO {n}") for n in range(12)]
        assert await conn.prepared("DO 0") == numbers[0]
        another = await conn.prepared("DO 12")  # in place of DO 1, which was asked for longest ago
        assert another not in numbers
        assert await conn.prepared("DO 0") == numbers[0]
        assert await conn.prepared("DO 1") not in {*numbers, another}
        assert int(server.sql(held)[0][1]) - before == 12
    finally:
        await conn.close()


async def test_a_reader_that_waits_holds_little_and_a_chunk_has_a_limit(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str
) -> None:
    """The driver's own buffer would take the whole table while the target is slow."""
    blue = pairs(flavour)[0]
    blue.sql("CREATE DATABASE shop")
    blue.sql("CREATE TABLE shop.wide (a INT, b LONGTEXT) ENGINE=InnoDB")
    for n in range(100):
        blue.sql(f"INSERT INTO shop.wide VALUES ({n}, REPEAT('x', 1000000))")
    conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    wide = Form("a, b", b"bq", "")
    try:
        seen = 0
        async for count, pieces in stream_rows(conn, wide, "shop.wide", 2_000_000):
            if not seen:  # the server is stuck in sending: nothing more is taken from it
                queued = [0]
                async with asyncio.timeout(20):
                    while len(queued) < 5 or min(queued[-5:]) < 100_000 or len(set(queued[-5:])) > 1:
                        await asyncio.sleep(0.05)
                        queued.append(_queued(conn.raw._transport.get_extra_info("socket")))
                state = blue.sql(f"SELECT COMMAND FROM information_schema.PROCESSLIST WHERE ID = {conn.id}")
                assert state == [("Query",)]
            assert len(conn.raw._proto.buffer) < 16_000_000
            assert sum(map(len, pieces)) < 16_000_000
            seen += count
        assert seen == 100
        with pytest.raises(TooLarge):
            await read_chunk(conn, wide, "shop.wide", "a < 10", (50, 5_000_000))
        assert conn.closed
        conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
        with pytest.raises(TooLarge):
            await read_chunk(conn, wide, "shop.wide", "a < 10", (9, 50_000_000))
        conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
        assert (await read_chunk(conn, wide, "shop.wide", "a < 10", (10, 50_000_000)))[0] == 10
    finally:
        await conn.close()


async def test_a_source_that_does_not_answer_is_given_up(
    pairs: Callable[[str], tuple[Server, Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk keeps the stream out as long as it is read."""
    blue = pairs("mysql")[0]
    blue.sql("CREATE DATABASE shop")
    blue.sql("CREATE TABLE shop.t (a INT)")
    monkeypatch.setattr(rows, "READ_LIMIT", 0.3)
    conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    with blue.connect() as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLES shop.t WRITE")
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionLost, match="no answer within"):
                await read_chunk(conn, Form("a", b"b", ""), "shop.t", "TRUE", (9, 9000))
    assert conn.closed


def _queued(sock: socket.socket) -> int:
    """Bytes that have arrived and were not taken."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), "little")


async def test_keys_get_room_and_threads_by_how_many_are_made(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """A refused SET would only be slow: nothing else tells."""
    server = pairs("mysql")[1]
    names = ("innodb_ddl_buffer_size", "innodb_ddl_threads", "innodb_parallel_read_threads")
    ours = [int(server.sql(f"SELECT @@GLOBAL.{name}")[0][0]) for name in names]
    conn = await connect(Endpoint(host=server.host, port=server.port, user="root"))
    try:
        flavour = await detect(conn)
        for tables in (4, 1, 100):
            await flavour.sort_keys(conn, tables)
            room, *threads = [int(await conn.value(f"SELECT @@SESSION.{name}") or 0) for name in names]
            assert room == max(32 << 20, ours[0])
            assert threads == [max(1, n // tables) for n in ours[1:]]
    finally:
        await conn.close()
