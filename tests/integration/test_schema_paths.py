"""Differing schemas on real servers: re-written bytes, statements, and all four pairings of flavours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Shop
from tests.integration.test_replication import ROW, TYPES

import workload
from lab import Deployment, Server

pytestmark = pytest.mark.servers

PAIRINGS = [("mysql", "mysql"), ("mariadb", "mariadb"), ("mariadb", "mysql"), ("mysql", "mariadb")]
Pairs = Callable[[str], tuple[Server, Server]]


class Rig:
    """A deployment whose two sides have tables of their own."""

    def __init__(self, folder: Path, blue: Server, green: Server, replicate: str) -> None:
        self.blue, self.green = blue, green
        self.deployment = Deployment(folder, blue, green, replicate=replicate)

    def same(self, one: str, two: str, limit: float = 30.0, *, mended: bool = False) -> list[tuple[Any, ...]]:
        """Both queries give the same rows, once the stream has caught up; `mended`: it stood still until just now."""
        wanted = ask(self.blue, one)

        def equal(status: dict[str, Any]) -> bool:
            assert mended or status["replication"]["state"] != "stopped", status["replication"]["error"]
            return ask(self.green, two) == wanted

        try:
            self.deployment.wait_for(equal, limit)
        except Exception as error:
            raise AssertionError(f"wanted {wanted}\nfound {ask(self.green, two)}\n{error}") from error
        return wanted

    def stopped(self) -> dict[str, Any]:
        found = self.deployment.wait_for(lambda s: s["replication"]["state"] == "stopped")
        return dict(found["replication"])


def ask(server: Server, query: str) -> list[tuple[Any, ...]]:
    return [tuple(r) for r in server.sql(query)]


@pytest.fixture
def rig(pairs: Pairs, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(pairing: tuple[str, str], source: str, target: str, replicate: str = "", *, start: bool = True) -> Rig:
        blue, green = pairs(pairing[0])[0], pairs(pairing[1])[1]
        one = Rig(tmp_path / "deployment", blue, green, replicate)
        made.append(one)
        for server, ddl in ((blue, source), (green, target)):
            server.sql("CREATE DATABASE IF NOT EXISTS shop")
            for statement in filter(None, (p.strip() for p in ddl.split(";;"))):
                server.sql(statement)
        if start:
            one.deployment.start()
        return one

    yield make
    for one in made:
        one.deployment.stop()


@pytest.mark.parametrize("pairing", PAIRINGS, ids="-".join)
def test_reordered_renamed_dropped_widened_added(rig: Callable[..., Rig], pairing: tuple[str, str]) -> None:
    one = rig(
        pairing,
        "CREATE TABLE shop.users (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) CHARACTER SET latin1, old TEXT,"
        " age TINYINT, made DATETIME NULL, t TIME NULL, st TIMESTAMP NULL, price DECIMAL(8,2), kind ENUM('a','b'), bits BIT(3),"
        " raw VARBINARY(20), note VARCHAR(200) CHARACTER SET utf8mb4, s SET('x','y'), b BINARY(4), f FLOAT, g DOUBLE)",
        "CREATE TABLE shop.people (age INT, note TEXT CHARACTER SET utf8mb4, extra VARCHAR(10) NOT NULL DEFAULT 'ü',"
        " full_name VARCHAR(100) CHARACTER SET utf8mb4, id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, made DATETIME(6) NULL,"
        " n INT, t TIME(3) NULL, st TIMESTAMP(2) NULL, price DECIMAL(14,4), kind ENUM('b','c','a'), bits BIT(12), raw BLOB,"
        " origin CHAR(5) NOT NULL, s SET('y','z','x'), b BINARY(6), g DOUBLE, f FLOAT)",
        '[[replicate.table]]\nsource = "shop.users"\ntarget = "shop.people"\nrename = { name = "full_name" }\n'
        'ignore_columns = ["old"]\ndefault = { origin = "web" }\n',
    )
    columns = "name, age, made, t, st, price, kind, bits, raw, note, s, b, f, g"
    for statement in (
        (f"INSERT INTO shop.users (id, old, {columns}) VALUES (1, REPEAT('x', 300), 'é€', -5, '2024-02-29 12:00:01', '-10:00:01',"
        " '2024-01-01 00:00:00', -12.5, 'b', 5, 0x0001, REPEAT('𝄞', 100), 'x,y', 0x01, 1.5, -2.25)"),
        "INSERT INTO shop.users (id, age) VALUES (2, 127), (3, NULL), (4294967295, -128)",
        "UPDATE shop.users SET old = 'only here' WHERE id = 2",
        "UPDATE shop.users SET name = 'Zoë', made = '0001-01-01', kind = 'a' WHERE id IN (2, 3)",
        "UPDATE shop.users SET id = 7 WHERE id = 3",
        "DELETE FROM shop.users WHERE id = 4294967295",
    ):
        one.blue.sql(statement)
    shown = ("id, HEX(CONVERT({} USING utf8mb4)), age, made, CAST(t AS CHAR(9)), CAST(st AS CHAR(19)), price, kind, bits + 0, HEX(raw), note,"
             " FIND_IN_SET('x', s) > 0, FIND_IN_SET('y', s) > 0, HEX(LEFT(b, 4)), f, g")  # fmt: skip
    rows = one.same(f"SELECT {shown.format('name')} FROM shop.users ORDER BY id",
                    f"SELECT {shown.format('full_name')} FROM shop.people ORDER BY id")  # fmt: skip
    assert [r[0] for r in rows] == [1, 2, 7]
    assert ask(one.green, "SELECT DISTINCT extra, origin, n FROM shop.people") == [("ü", "web", None)]


@pytest.mark.parametrize("pairing", PAIRINGS[2:], ids="-".join)
def test_statements_mixed_with_bytes_keep_their_order(rig: Callable[..., Rig], pairing: tuple[str, str]) -> None:
    """One transaction over three tables: passed on, re-written, and by statements for its other primary key."""
    one = rig(
        pairing,
        "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT) ;; CREATE TABLE shop.b (id INT PRIMARY KEY, v INT);;"
        " CREATE TABLE shop.c (id INT PRIMARY KEY, code VARCHAR(10) NOT NULL, v VARCHAR(20) CHARACTER SET utf8mb4)",
        "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT) ;; CREATE TABLE shop.b (v BIGINT, id INT PRIMARY KEY);;"
        " CREATE TABLE shop.c (n BIGINT AUTO_INCREMENT PRIMARY KEY, id INT NOT NULL UNIQUE, code VARCHAR(10) NOT NULL,"
        " v VARCHAR(20) CHARACTER SET utf8mb4)",
    )
    with one.blue.connect() as conn, conn.cursor() as cursor:
        for number in range(1, 6):
            cursor.execute("START TRANSACTION")
            for table in "abc":
                extra = ", code" if table == "c" else ""
                value = ", 'k'" if table == "c" else ""
                cursor.execute(f"INSERT INTO shop.{table} (id{extra}, v) VALUES ({number}{value}, 1)")
                cursor.execute(f"UPDATE shop.{table} SET v = v + {number} WHERE id <= {number}")
            cursor.execute("DELETE FROM shop.c WHERE id = 2")
            cursor.execute("COMMIT")
    for table in "abc":
        one.same(f"SELECT id, v FROM shop.{table} ORDER BY id", f"SELECT id, v FROM shop.{table} ORDER BY id")


DIGESTS = {
    "accounts": "SELECT COUNT(*), SUM(balance), BIT_XOR(CRC32(CONCAT_WS('#', id, balance))) FROM shop.accounts",
    "transfers": "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#', id, client, seq, amount))) FROM shop.transfers",
    "entries": "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#', id, client, seq, note, at))) FROM shop.entries",
}


def moving(shop: Shop, side: Server) -> None:
    """Until the load has written there."""

    def count() -> int:
        return int(side.sql("SELECT COUNT(*) FROM shop.entries")[0][0])

    before = count()
    shop.deployment.wait_for(lambda _s: count() > before + 50)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_switchover_between_flavours_under_load(pairs: Pairs, tmp_path: Path) -> None:
    """MariaDB to MySQL and back, with columns moved and widened on the way: nothing lost, nothing doubled."""
    blue, green = pairs("mariadb")[0], pairs("mysql")[1]
    shop = Shop(tmp_path / "deployment", blue, green)
    green.sql("ALTER TABLE shop.transfers MODIFY amount BIGINT NOT NULL FIRST, ADD COLUMN origin VARCHAR(10) DEFAULT 'x' AFTER id")
    green.sql("ALTER TABLE shop.entries MODIFY note VARCHAR(300) CHARACTER SET utf8mb4 AFTER id")
    shop.deployment.start()
    load = shop.load(clients=12)
    try:
        for old, new in (("blue", "green"), ("green", "blue"), ("blue", "green")):
            shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming", 60.0)
            moving(shop, shop.side(old))
            assert shop.deployment.segue("switchover", "--timeout", "60")[1]["outcome"] == "done"
            assert shop.deployment.segue("status")[1]["active"] == new
        told = load.stop()
    finally:
        load.kill()
    try:
        verdict = workload.verify(green, told["clients"])
        assert verdict.good, verdict
        for query in DIGESTS.values():
            wanted_rows = ask(green, query)
            shop.deployment.wait_for(lambda _s, q=query, w=wanted_rows: ask(blue, q) == w)
    finally:
        shop.deployment.stop()


@pytest.mark.parametrize("pairing", [("mysql", "mysql"), ("mariadb", "mariadb")], ids="-".join)
def test_a_target_that_does_not_permit_binlog(rig: Callable[..., Rig], pairing: tuple[str, str]) -> None:
    """Every type by statements, keyless tables too; status says so."""
    one = rig(pairing, TYPES + ";; CREATE TABLE shop.keyless (a INT, b VARCHAR(10), f DOUBLE)",
              TYPES + ";; CREATE TABLE shop.keyless (a INT, b VARCHAR(10), f DOUBLE)", start=False)  # fmt: skip
    privilege = "REPLICATION_APPLIER" if pairing[1] == "mysql" else "BINLOG REPLAY"
    one.green.sql(f"REVOKE {privilege} ON *.* FROM segue@'%'")
    try:
        one.deployment.start()
        for statement in (
            ROW, ROW, "INSERT INTO shop.kinds (id) VALUES (NULL)", "UPDATE shop.kinds SET a = NULL, o = '' WHERE id = 1",
            "UPDATE shop.kinds SET k = NULL, f = 2.5, l = '2030-01-01 00:00:00.000001' WHERE id = 2",
            "INSERT INTO shop.keyless VALUES (1, 'a', 0.1), (1, 'a', 0.1), (NULL, NULL, NULL), (1, 'A', 1e300)",
            "DELETE FROM shop.keyless WHERE b = 'A' COLLATE utf8mb4_bin", "UPDATE shop.keyless SET b = 'x' WHERE a IS NULL",
            "DELETE FROM shop.keyless WHERE a = 1 LIMIT 1", "DELETE FROM shop.kinds WHERE id = 1",
        ):  # fmt: skip
            one.blue.sql(statement)
        for table in ("kinds", "keyless"):
            one.same(f"CHECKSUM TABLE shop.{table}", f"CHECKSUM TABLE shop.{table}")
        status = one.deployment.segue("status")[1]["replication"]
        assert status["details"]["apply"] == "statements"
        one.green.sql("DELETE FROM shop.kinds WHERE id = 2")
        one.blue.sql("UPDATE shop.kinds SET a = 1 WHERE id = 2")
        found = one.stopped()
        assert "UPDATE of shop.kinds where `id` = 2 found 0 rows instead of 1" in found["error"]
        assert "Compare both sides" in found["mend"]
    finally:
        one.green.sql(f"GRANT {privilege} ON *.* TO segue@'%'")


def test_values_that_do_not_fit_stop_with_their_row_and_go_on(rig: Callable[..., Rig]) -> None:
    """Each kind of loss is named; mended on the target, the stream goes on."""
    one = rig(
        ("mysql", "mysql"),
        "CREATE TABLE shop.t (id INT PRIMARY KEY, n BIGINT, v VARCHAR(20) CHARACTER SET utf8mb4, cut BIGINT)",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, n INT, v VARCHAR(20) CHARACTER SET latin1, cut TINYINT)",
        '[[replicate.table]]\nsource = "shop.t"\nallow_lossy = ["cut"]\n',
    )
    one.blue.sql("INSERT INTO shop.t VALUES (1, 5, 'é', 1000)")
    one.same("SELECT id, n, HEX(CONVERT(v USING utf8mb4)) FROM shop.t", "SELECT id, n, HEX(CONVERT(v USING utf8mb4)) FROM shop.t")
    assert ask(one.green, "SELECT cut FROM shop.t") == [(127,)]
    one.blue.sql("INSERT INTO shop.t VALUES (2, 1, 'a', 1), (3, 3000000000, 'b', 1)")
    found = one.stopped()
    for part in ("shop.t.n", "3000000000 is outside of -2147483648 to 2147483647", "id = 3", "bigint", "int on the target"):
        assert part in found["error"], found["error"]
    assert 'allow_lossy = ["n"]' in found["mend"]
    assert one.green.sql("SELECT COUNT(*) FROM shop.t")[0][0] == 1
    one.green.sql("ALTER TABLE shop.t MODIFY n BIGINT")
    one.same("SELECT id, n FROM shop.t ORDER BY id", "SELECT id, n FROM shop.t ORDER BY id", mended=True)
    one.blue.sql("UPDATE shop.t SET v = 'Ω' WHERE id = 2")
    found = one.stopped()
    for part in ("shop.t.v", "U+03A9 does not exist in latin1", "id = 2"):
        assert part in found["error"], found["error"]
    one.green.sql("ALTER TABLE shop.t MODIFY v VARCHAR(20) CHARACTER SET utf8mb4")
    one.same("SELECT v FROM shop.t ORDER BY id", "SELECT v FROM shop.t ORDER BY id", mended=True)
