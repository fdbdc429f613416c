"""A seed through a mapping, and between flavours, while rows are written: both sides hold the same rows afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest
from tests.amount import WHOLE

from lab import Deployment, Server

pytestmark = pytest.mark.servers
PAIRINGS = [("mysql", "mysql"), ("mariadb", "mariadb"), ("mariadb", "mysql"), ("mysql", "mariadb")]
"""The suite takes the last two through the mapping and the first two through the sample databases; make test-long all."""
Pairs = Callable[[str], tuple[Server, Server]]

SOURCE = (
    # Its counterpart is made by hand, in another schema, with other columns in another order.
    """CREATE TABLE shop.users (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) CHARACTER SET latin1, old TEXT,
       age TINYINT, made DATETIME NULL, price DECIMAL(8,2), kind ENUM('a','b'), note VARCHAR(200), f FLOAT, g DOUBLE,
       KEY by_age (age))""",
    # These are made by the seed, under other names of table and columns, one of them in the key.
    """CREATE TABLE shop.orders (code VARCHAR(20) NOT NULL, line INT NOT NULL, amount DECIMAL(10,3), at TIMESTAMP(3) NULL, gone INT,
       PRIMARY KEY (code, line), KEY by_amount (amount), UNIQUE KEY u (line, code))""",
    "CREATE TABLE shop.bag (a INT, b VARCHAR(20), secret VARCHAR(20), KEY (a))",
    "CREATE TABLE shop.plain (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(60), d VARBINARY(16), KEY (v))",
    # Its primary key is another one there: it goes by statements, so it is copied whole.
    "CREATE TABLE shop.coded (id INT PRIMARY KEY, code VARCHAR(10) NOT NULL, v VARCHAR(20))",
    "CREATE TABLE arch.log (id BIGINT PRIMARY KEY AUTO_INCREMENT, line TEXT, n INT DEFAULT 7)",
)
TARGET = (
    """CREATE TABLE store.people (age INT, note TEXT CHARACTER SET utf8mb4, extra VARCHAR(10) NOT NULL DEFAULT 'x',
       full_name VARCHAR(100) CHARACTER SET utf8mb4, id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, made DATETIME(6) NULL, n INT,
       price DECIMAL(14,4), kind ENUM('b','c','a'), origin CHAR(5) NOT NULL, g DOUBLE, f FLOAT, KEY by_name (full_name))""",
    """CREATE TABLE shop.coded (n BIGINT AUTO_INCREMENT PRIMARY KEY, id INT NOT NULL UNIQUE, code VARCHAR(10) NOT NULL,
       v VARCHAR(20))""",
)
MAPPING = """
[[replicate.table]]
source = "shop.users"
target = "store.people"
rename = { name = "full_name" }
ignore_columns = ["old"]
default = { origin = "web" }
[[replicate.table]]
source = "shop.orders"
target = "shop.order_lines"
rename = { code = "order_code", amount = "total" }
ignore_columns = ["gone"]
[[replicate.table]]
source = "shop.bag"
target = "store.sack"
rename = { b = "c" }
ignore_columns = ["secret"]
[[replicate.table]]
source = "arch.*"
target = "archive.*"
[seed]
turn = 0.3
chunk_bytes = 20000
max_rate_mb = 0.5
lanes = 2
"""
ROWS = 4000
FILL = {
    "shop.users (name, old, age, made, price, kind, note, f, g)":
        "(CONCAT('M\u00fcller {n}'), REPEAT('o', 40), {n} % 100, '2024-01-01', {n} / 3, ELT(1 + {n} % 2, 'a', 'b'), 'it''s\\n {n}', {n} / 7, {n} / 9)",
    "shop.orders": "('code {n}', {n} % 50, {n} / 9, '2024-02-29 12:00:00.123', {n})",
    "shop.bag": "({n} % 9, IF({n} % 3, NULL, 'b{n}'), 'hidden')",
    "shop.plain (v, d)": "(REPEAT('{n} ', 10), UNHEX(LPAD('{n}', 16, '0')))",
    "shop.coded": "({n}, 'c{n}', 'v')",
    "arch.log (line)": "(REPEAT('l{n}', 20))",
}  # fmt: skip
CHURN = (
    "UPDATE shop.users SET name = CONCAT(name, '.'), age = -age WHERE id % 40 = {n}",
    "UPDATE shop.users SET id = id + 100000 WHERE id % 97 = {n}",
    "UPDATE shop.users SET old = 'only here' WHERE id % 30 = {n}",
    "DELETE FROM shop.users WHERE id % 89 = {n}",
    "UPDATE shop.orders SET amount = amount + 1 WHERE line = {n}",
    "UPDATE shop.orders SET code = CONCAT('z', code) WHERE line = {n}",
    "DELETE FROM shop.orders WHERE line = {n} LIMIT 20",
    "INSERT INTO shop.orders (code, line) SELECT CONCAT('n', code), line + 100 FROM shop.orders WHERE line = {n}",
    "UPDATE shop.bag SET b = 'u{n}' WHERE a = {n} % 9 LIMIT 10",
    "DELETE FROM shop.bag WHERE a = {n} % 9 LIMIT 10",
    "INSERT INTO shop.bag VALUES ({n}, 'new', 'hidden')",
    "UPDATE shop.plain SET v = CONCAT('moved ', id) WHERE id % 45 = {n}",
    "UPDATE shop.plain SET id = id + 200000 WHERE id % 93 = {n}",
    "UPDATE shop.coded SET v = 'w{n}' WHERE id % 70 = {n}",
    "UPDATE shop.coded SET code = CONCAT('d', {n}) WHERE id % 77 = {n}",
    "DELETE FROM shop.coded WHERE id % 83 = {n}",
    "INSERT INTO arch.log (line) VALUES ('late {n}')",
    "DELETE FROM arch.log WHERE id % 71 = {n}",
)


def fill(server: Server, schemas: tuple[str, ...], tables: tuple[str, ...], rows: dict[str, str], count: int) -> None:
    with server.connect(charset="utf8mb4") as conn, conn.cursor() as cursor:
        for schema in schemas:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {schema}")
        for statement in tables:
            cursor.execute(f"{statement} ENGINE=InnoDB")
        for table, row in rows.items():
            for begin in range(0, count, 2000):
                some = range(begin, min(count, begin + 2000))
                cursor.execute(f"INSERT INTO {table} VALUES {', '.join(row.format(n=n) for n in some)}")


def seeded_under_load(deployment: Deployment, statements: tuple[str, ...], dice: random.Random) -> None:
    """Seed while statements run, and a few more afterwards; then both sides must be proven equal."""
    deployment.launch()
    deployment.wait_for(lambda s: s["phase"] == "unseeded", 90)
    deployment.segue("seed", "--detach")
    with deployment.blue.connect(charset="utf8mb4") as conn, conn.cursor() as cursor:

        def churn() -> None:
            with contextlib.suppress(pymysql.err.IntegrityError):
                cursor.execute(dice.choice(statements).format(n=dice.randrange(50)))

        def done(status: dict) -> bool:  # type: ignore[type-arg]
            churn()
            assert status["replication"]["state"] != "stopped", status["replication"]["error"]
            assert not (status["seed"] or {}).get("error"), status["seed"]
            return bool(status["phase"] == "steady" and status["replication"]["state"] == "streaming")

        deployment.wait_for(done, 150)
        for _ in range(10):
            churn()
    code, document = deployment.segue("verify", check=False)
    different = [(t["source"], t["error"], t["rows_that_differ"][:3], t["unsettled"][:3]) for t in document["tables"] if not t["equal"]]
    assert code == 0, different


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("pairing", PAIRINGS if WHOLE else PAIRINGS[2:], ids="-".join)
def test_a_mapped_seed_under_writes_ends_equal(pairs: Pairs, tmp_path: Path, pairing: tuple[str, str]) -> None:
    blue, green = pairs(pairing[0])[0], pairs(pairing[1])[1]
    fill(blue, ("shop", "arch"), SOURCE, FILL, ROWS)
    fill(green, ("shop", "store"), TARGET, {}, 0)
    deployment = Deployment(tmp_path / "d", blue, green, schemas=("shop", "arch"), replicate=MAPPING)
    try:
        seeded_under_load(deployment, CHURN, random.Random(11))
        assert green.sql("SELECT COUNT(*), MIN(origin), MAX(origin), MIN(extra) FROM store.people") == [
            (blue.sql("SELECT COUNT(*) FROM shop.users")[0][0], "web", "web", "x")]  # fmt: skip
        made = str(green.sql("SHOW CREATE TABLE shop.order_lines")[0][1])
        assert "PRIMARY KEY (`order_code`,`line`)" in made
        assert "KEY `by_amount` (`total`)" in made
        assert "gone" not in made
    finally:
        deployment.stop()
