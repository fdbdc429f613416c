"""The visibility trap: a dump sends a transaction whose commit cannot be seen yet, and a copy that reads now loses it.

A commit is held between binlog and engine by semi-synchronous replication that waits for a replica which is not there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab import Server
from segue.binlog.positions import GtidSet, MariaGtid, parse
from segue.config import Endpoint
from segue.copy.lines import SOURCE_SESSION, Form
from segue.copy.rows import read_chunk
from segue.copy.seeder import barrier
from segue.flavour import detect
from segue.replicate import progress
from segue.replicate.assembler import Assembler
from segue.replicate.dump import DumpRequest, DumpStream
from segue.sql import connect

pytestmark = pytest.mark.servers
HELD = 4.0


class Holder:
    """Commits on a server wait `HELD` seconds after they are in the binlog."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._mysql = server.flavour == "mysql"
        self._name = "rpl_semi_sync_source" if self._mysql else "rpl_semi_sync_master"
        if self._mysql:
            server.sql("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
        server.sql(f"SET GLOBAL {self._name}_wait_point = 'AFTER_SYNC'")
        server.sql(f"SET GLOBAL {self._name}_timeout = {int(HELD * 1000)}")
        server.sql(f"SET GLOBAL {self._name}_enabled = 1")

    def end(self) -> None:
        self._server.sql(f"SET GLOBAL {self._name}_enabled = 0")
        if self._mysql:
            self._server.sql("UNINSTALL PLUGIN rpl_semi_sync_source")


@pytest.fixture
def held(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> Iterator[tuple[Server, Server, threading.Thread, str]]:
    """Blue and green, a thread whose UPDATE of row 1 is held, and the position before it."""
    blue, green = pairs(flavour)
    for server in (blue, green):
        server.sql("CREATE DATABASE shop")
        server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE=InnoDB")
    blue.sql("INSERT INTO shop.t VALUES (1, 'old')")
    place = "@@GLOBAL.gtid_executed" if flavour == "mysql" else "@@GLOBAL.gtid_binlog_pos"
    before = str(blue.sql(f"SELECT {place}")[0][0]).replace("\n", "")
    holder = Holder(blue)
    writer = threading.Thread(target=lambda: blue.sql("UPDATE shop.t SET v = 'new' WHERE id = 1"), daemon=True)
    writer.start()
    yield blue, green, writer, before
    writer.join(30)
    holder.end()


async def delivered(blue: Server, before: str) -> GtidSet | MariaGtid:
    """The position of a stream that has been sent the held transaction."""
    mariadb = blue.flavour == "mariadb"
    endpoint = Endpoint(host=blue.host, port=blue.port, user="root")
    start = parse(before, mariadb=mariadb)
    stream = await DumpStream.open(
        DumpRequest(endpoint, "blue", mariadb, 4_000_000_001, "7e2a7e2a-0000-4000-8000-00000000000b", start.copy()))  # fmt: skip
    try:
        assembler = Assembler(start, lambda _t: None, lambda _s: False, 1 << 20)  # type: ignore[arg-type,return-value]
        while assembler.position.text() == parse(before, mariadb=mariadb).text():
            assembler.feed(iter(await stream.read()))
        assert isinstance(assembler.position, GtidSet | MariaGtid)
        return assembler.position
    finally:
        stream.close()


@pytest.mark.parametrize("flavour", ["mariadb"])
async def test_an_event_larger_than_a_packet_does_not_hold_the_barrier(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str
) -> None:
    """BINLOG_GTID_POS() gives NULL for every place behind one: an UPDATE's event has the value twice."""
    blue = pairs(flavour)[0]
    limit = int(blue.sql("SELECT @@GLOBAL.max_allowed_packet")[0][0])
    blue.sql("CREATE DATABASE shop")
    blue.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v LONGTEXT) ENGINE=InnoDB")
    blue.sql(f"INSERT INTO shop.t VALUES (1, REPEAT('x', {limit * 3 // 4}))")
    blue.sql("UPDATE shop.t SET v = CONCAT(v, 'y')")
    conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    try:
        flavour_there = await detect(conn)
        assert await flavour_there.visible(conn, await flavour_there.position(conn), 10.0)
    finally:
        await conn.close()
        blue.sql("FLUSH BINARY LOGS")


async def test_a_chunk_waits_until_what_was_applied_can_be_seen(
    held: tuple[Server, Server, threading.Thread, str],
) -> None:
    blue, green, writer, before = held
    source = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    plain = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    target = await connect(Endpoint(host=green.host, port=green.port, user="root"))
    try:
        for statement in SOURCE_SESSION:
            await source.query(statement)
        flavour = await detect(plain)
        async with asyncio.timeout(HELD):
            position = await delivered(blue, before)
        await progress.ensure(target)
        await progress.initialise(target, "trap", "x", position.text(), 1)
        form = Form("v", b"q", "")
        # The stream has it, and could have applied it; a copy that reads now would undo it.
        assert writer.is_alive()
        assert await read_chunk(source, form, "shop.t", "TRUE", (9, 1 << 20)) == (1, [b"'old'\n"])
        began = time.monotonic()
        await barrier(plain, flavour, target, "trap")
        assert await read_chunk(source, form, "shop.t", "TRUE", (9, 1 << 20)) == (1, [b"'new'\n"])
        assert time.monotonic() - began < HELD + 20
    finally:
        for conn in (source, plain, target):
            await conn.close()
