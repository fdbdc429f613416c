"""Differing schemas on real servers: re-written bytes, statements, and all four pairings of flavours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Deployment, Server

pytestmark = pytest.mark.servers

PAIRINGS = [("mysql", "mysql"), ("mariadb", "mariadb"), ("mariadb", "mysql"), ("mysql", "mariadb")]
Pairs = Callable[[str], tuple[Server, Server]]


class Rig:
    """A deployment whose two sides have tables of their own."""

    def __init__(self, folder: Path, blue: Server, green: Server, replicate: str) -> None:
        self.blue, self.green = blue, green
        self.deployment = Deployment(folder, blue, green, replicate=replicate)

    def same(self, one: str, two: str, limit: float = 20.0) -> list[tuple[Any, ...]]:
        """Both queries give the same rows, once the stream has caught up."""
        wanted = ask(self.blue, one)

        def equal(status: dict[str, Any]) -> bool:
            assert status["replication"]["state"] != "stopped", status["replication"]["error"]
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


@pytest.mark.parametrize("pairing", PAIRINGS, ids="-".join)
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
