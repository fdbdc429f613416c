"""What servers put into the stream besides plain transactions, on real pairs: compressed, partial, tagged, XA, CREATE SELECT."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.feeding import Feeding

from lab import Server

pytestmark = pytest.mark.servers
TABLE = "CREATE TABLE shop.many (id INT PRIMARY KEY, a VARCHAR(1000), b BLOB, j {json}) ENGINE=InnoDB"


class Sessions:
    """Connections to the source by name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: dict[str, Any] = {}

    def run(self, name: str, *statements: str) -> None:
        if name not in self._open:
            self._open[name] = self._server.connect()
        with self._open[name].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def drop(self, name: str) -> None:
        self._open.pop(name).close()


@pytest.fixture
def rig(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> Iterator[tuple[Feeding, Sessions]]:
    blue, green = pairs(flavour)
    for server in (blue, green):
        server.sql("CREATE DATABASE shop")
        server.sql(TABLE.format(json="JSON" if flavour == "mysql" else "LONGTEXT"))
    feeding = Feeding(blue, green)
    feeding.start()
    yield feeding, Sessions(blue)
    feeding.stop()
    for form, length, _, data in blue.sql("XA RECOVER"):
        with contextlib.suppress(Exception):
            blue.sql(f"XA ROLLBACK '{data[:length]}','',{form}")


def test_compressed_and_partial(rig: tuple[Feeding, Sessions], flavour: str) -> None:
    feeding, clients = rig
    blue = feeding.source
    if flavour == "mysql":
        clients.run("a", "SET SESSION binlog_transaction_compression = ON")
    else:
        blue.sql("SET GLOBAL log_bin_compress = ON")
    try:
        insert = "INSERT INTO shop.many VALUES ({0}, REPEAT('a', 1000), REPEAT(0x00, 60000), '{{\"k\": [1, \"x\"], \"n\": {0}}}')"
        clients.run("a", "BEGIN", *(insert.format(n) for n in range(60)), "COMMIT")  # 3.6 MB: more than a batch
        clients.run("a", "UPDATE shop.many SET a = 'changed' WHERE id < 10", "DELETE FROM shop.many WHERE id = 50")
        feeding.same("shop.many")
    finally:
        if flavour == "mariadb":
            blue.sql("SET GLOBAL log_bin_compress = OFF")
    for image in ("MINIMAL", "NOBLOB", "FULL"):
        clients.run("b", f"SET SESSION binlog_row_image = '{image}'",
                    f"UPDATE shop.many SET a = '{image}' WHERE id = 1", "UPDATE shop.many SET b = 'x' WHERE id = 2",
                    f"INSERT INTO shop.many (id) VALUES ({100 + len(image)})", f"DELETE FROM shop.many WHERE id = {20 + len(image)}")  # fmt: skip
    if flavour == "mysql":
        clients.run("b", "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
                    "UPDATE shop.many SET j = JSON_SET(j, '$.k[0]', 7, '$.new', 'v'), a = 'p' WHERE id BETWEEN 3 AND 6",
                    "UPDATE shop.many SET j = JSON_REMOVE(j, '$.k[1]') WHERE id = 4")  # fmt: skip
    feeding.same("shop.many")


def test_xa(rig: tuple[Feeding, Sessions], flavour: str) -> None:
    feeding, clients = rig
    green = feeding.target

    def xa(name: str, number: int, *more: str) -> None:
        clients.run(name, f"XA START '{name}'", f"INSERT INTO shop.many (id) VALUES ({number})", *more, f"XA END '{name}'")

    xa("one", 1)
    clients.run("one", "XA PREPARE 'one'")
    clients.run("between", "INSERT INTO shop.many (id) VALUES (2)")
    feeding.wait(lambda: green.sql("SELECT COUNT(*) FROM segue.held") == [(1,)])
    feeding.wait(lambda: green.sql("SELECT id FROM shop.many") == [(2,)])
    clients.run("one", "XA COMMIT 'one'")
    feeding.same("shop.many")
    feeding.wait(lambda: green.sql("SELECT COUNT(*) FROM segue.held") == [(0,)])
    xa("two", 3, "SAVEPOINT s", "INSERT INTO shop.many (id) VALUES (4)", "ROLLBACK TO s", "INSERT INTO shop.many (id) VALUES (5)")
    clients.run("two", "XA COMMIT 'two' ONE PHASE")
    xa("three", 6)
    clients.run("three", "XA PREPARE 'three'", "XA ROLLBACK 'three'")
    xa("empty", 7, "DELETE FROM shop.many WHERE id = 7")
    clients.run("empty", "XA PREPARE 'empty'", "XA COMMIT 'empty'")
    feeding.same("shop.many")
    # Prepared, then the replicator is gone for a while; ended from another session.
    xa("four", 8, "UPDATE shop.many SET b = REPEAT('x', 60000), a = 'large' WHERE id = 2")
    clients.run("four", "XA PREPARE 'four'")
    xa("five", 9)
    clients.run("five", "XA PREPARE 'five'")
    feeding.wait(lambda: green.sql("SELECT COUNT(DISTINCT xid) FROM segue.held") == [(2,)])
    feeding.cut()
    for name in ("four", "five"):
        clients.drop(name)
    clients.run("between", "INSERT INTO shop.many (id) VALUES (10)", "XA COMMIT 'four'")
    feeding.start()
    clients.run("between", "XA ROLLBACK 'five'", "INSERT INTO shop.many (id) VALUES (11)")
    feeding.same("shop.many")
    assert green.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM shop.many") == [("1,2,3,5,8,10,11",)]
    assert green.sql("SELECT COUNT(*) FROM segue.held") == [(0,)]


@pytest.mark.parametrize("flavour", ["mysql"])
def test_tagged_gtids(rig: tuple[Feeding, Sessions], flavour: str) -> None:
    """Read, kept in the progress, and asked for again."""
    feeding, clients = rig
    clients.run("a", "SET SESSION gtid_next = 'AUTOMATIC:deploy'", "INSERT INTO shop.many (id) VALUES (1)", "INSERT INTO shop.many (id) VALUES (2)")
    feeding.same("shop.many")
    feeding.wait(lambda: feeding.applied is not None and ":deploy:1-2" in feeding.applied.text())
    feeding.stop()
    clients.run("a", "INSERT INTO shop.many (id) VALUES (3)", "SET SESSION gtid_next = 'AUTOMATIC'", "INSERT INTO shop.many (id) VALUES (4)")
    feeding.start()
    feeding.same("shop.many")
    feeding.wait(lambda: feeding.applied is not None and ":deploy:1-3" in feeding.applied.text())


def test_create_select(rig: tuple[Feeding, Sessions], flavour: str) -> None:
    """The stream waits for the table, then its rows come."""
    feeding, clients = rig
    clients.run("a", "INSERT INTO shop.many (id, a) VALUES (1, 'x'), (2, 'y')", "CREATE TABLE shop.copied (id INT PRIMARY KEY) SELECT id, a FROM shop.many",
                "INSERT INTO shop.many (id) VALUES (3)")  # fmt: skip
    feeding.wait(lambda: "shop.copied" in feeding.stopped)
    feeding.target.sql(feeding.source.sql("SHOW CREATE TABLE shop.copied")[0][1].replace("TABLE `copied`", "TABLE shop.copied"))
    feeding.same("shop.many")
    feeding.same("shop.copied")
    assert feeding.target.sql("SELECT COUNT(*) FROM shop.copied") == [(2,)]
