"""Comparing real servers: planted differences of every type, tables of every kind of key, and all of it under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tests.amount import flavours
from tests.integration import planted

from lab import Lab, Server
from segue.config import Endpoint, Replicate, Verify
from segue.errors import SegueError
from segue.flavour import detect
from segue.replicate import progress
from segue.roles import mapping_from
from segue.sql import connect
from segue.verify import compare as compare_module
from segue.verify.compare import TableComparison
from segue.verify.continuous import Continuous
from segue.verify.reader import Reader
from segue.verify.session import Order, Session

pytestmark = pytest.mark.servers
MODE = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'"


class Stopped:
    """The stream between them stands still."""

    async def applied(self, position: str) -> None:
        raise SegueError(f"replication stopped before {position}")


class Still:
    """Nothing flows between the two servers of these tests."""

    async def applied(self, position: str) -> None:
        assert position


def order(source: Server, target: Server, **replicate: Any) -> Order:
    ends = [Endpoint(host=s.host, port=s.port, user="root") for s in (source, target)]
    rules = Replicate(**({"schemas": ["v*"]} | replicate))
    return Order("lab", ends[0], "blue", ends[1], "green", mapping_from("blue", rules), Verify())


async def compare(source: Server, target: Server, *tables: str, **replicate: Any) -> dict[str, Any]:
    return await Session(order(source, target, **replicate), Still()).run(list(tables))


def fill(server: Server, *statements: str) -> None:
    with server.connect() as conn, conn.cursor() as cursor:
        cursor.execute(MODE)
        cursor.execute("CREATE DATABASE IF NOT EXISTS v")
        for statement in statements:
            cursor.execute(statement)


async def test_every_planted_difference(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    blue, green = pairs(flavour)
    found = planted.cases(flavour)
    assert len(found) >= 200
    for server, side in ((blue, "source"), (green, "target")):
        rows = (planted.insert("v.t", n, getattr(case, side)) for n, case in enumerate(found))
        fill(server, planted.create("v.t"), *rows)
    fill(blue, planted.insert("v.t", 10_001, {"vc": "'lost'"}))
    fill(green, planted.insert("v.t", 10_002, {"vc": "'extra'"}))
    document = await compare(blue, green)
    (table,) = document["tables"]
    assert not table["error"]
    judged = {int(r["key"]["id"]): r for r in table["rows_that_differ"]}
    wrong = [c.what for n, c in enumerate(found) if (n in judged) != (c.verdict == "different")]
    assert wrong == []
    assert judged.pop(10_001)["kind"] == "missing"
    assert judged.pop(10_002)["kind"] == "extra"
    for number, row in judged.items():
        changed = {c for c in planted.COLUMNS if found[number].source.get(c) != found[number].target.get(c)}
        assert row["kind"] == "different"
        assert set(row["columns"]) == changed, found[number].what
    assert table["rows"] == len(found) + 1
    assert not document["equal"]


async def test_planted_differences_in_columns_that_cannot_be_null(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str
) -> None:
    """Their hash leaves out the question for NULL."""
    blue, green = pairs(flavour)
    found = planted.filled(planted.cases(flavour))
    assert len(found) > 120
    for server, side in ((blue, "source"), (green, "target")):
        rows = (planted.insert("v.t", n, getattr(case, side)) for n, case in enumerate(found))
        fill(server, planted.create("v.t", nullable=False), "START TRANSACTION", *rows, "COMMIT")
    (table,) = (await compare(blue, green))["tables"]
    judged = {int(r["key"]["id"]) for r in table["rows_that_differ"]}
    assert [c.what for n, c in enumerate(found) if (n in judged) != (c.verdict == "different")] == []
    assert (table["rows"], table["error"]) == (len(found), "")


async def test_a_large_table_is_compared_in_several_lanes(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is compared once, whichever lane takes it, and what differs is found in either."""
    monkeypatch.setattr(compare_module, "HELPED", 1000)
    monkeypatch.setattr(compare_module, "FIRST_STEP", 200)
    monkeypatch.setattr(compare_module, "MAX_STEP", 500)
    taken: list[tuple[int, int]] = []
    chunk = TableComparison._chunk

    async def counted(self: TableComparison, span: Any, readers: tuple[Reader, Reader]) -> None:
        before = len(self._suspects)
        await chunk(self, span, readers)
        taken.append((id(readers), len(self._suspects) - before))

    monkeypatch.setattr(TableComparison, "_chunk", counted)
    blue, green = pairs(flavour)
    for server in (blue, green):
        fill(server, "CREATE TABLE v.big (id INT PRIMARY KEY, a INT NOT NULL, b INT)",
             f"INSERT INTO v.big VALUES {', '.join(f'({n}, {n % 7}, NULL)' for n in range(12_000))}",
             "ANALYZE TABLE v.big")  # fmt: skip
    fill(green, "UPDATE v.big SET b = 0 WHERE id % 100 = 7", "DELETE FROM v.big WHERE id = 11999")
    (table,) = (await compare(blue, green))["tables"]
    assert (table["rows"], table["differences"], table["error"]) == (12_000, 121, "")
    assert table["chunks"] == len(taken) >= 12_000 / 500
    assert len({lane for lane, found in taken if found}) == 2


async def test_a_proof_that_ran_out_of_its_budget_does_not_spoil_the_next(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str
) -> None:
    """Its questions are cut off, and with them their connections."""
    blue, green = pairs(flavour)
    for server in (blue, green):
        fill(server, "CREATE TABLE v.bag (a INT)", "INSERT INTO v.bag VALUES (1), (2)")
    continuous = Continuous(order(blue, green), Still())
    task = asyncio.create_task(continuous.run())
    conn = await connect(Endpoint(host=blue.host, port=blue.port, user="root"))
    try:
        position = await (await detect(conn)).position(conn)
        async with asyncio.timeout(30):
            while (await continuous.settle(position, 5.0))["outcome"] != "equal":
                continuous.resume()
                await asyncio.sleep(0.05)
        with green.connect() as locker, locker.cursor() as cursor:
            cursor.execute("LOCK TABLES v.bag WRITE")
            found = await continuous.settle(position, 0.3)
            assert (found["outcome"], found["tables_in_doubt"]) == ("incomplete", ["v.bag"])
        async with asyncio.timeout(30):
            while (found := await continuous.settle(position, 5.0))["outcome"] != "equal":
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.wait({task})
        await conn.close()


KEYED = {
    "whole": ("id BIGINT UNSIGNED PRIMARY KEY, v INT", lambda n: f"{18446744073709551615 - n * 7}, {n}"),
    "negative": ("id INT PRIMARY KEY, v INT", lambda n: f"{n * 3 - 4000}, {n}"),
    "composite": ("a INT, b VARCHAR(20), c DATETIME(3), v INT, PRIMARY KEY (b, a, c)",
                  lambda n: f"{n % 3}, 'k{n // 9}', '2024-01-01 00:00:00.{n % 9:03d}', {n}"),
    "words": ("k VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY, v INT",
              lambda n: f"'{['é', 'E', 'ß', 'ss', '漢'][n % 5]}{n}#''', {n}"),
    "bytes": ("k VARBINARY(20) PRIMARY KEY, v INT", lambda n: f"0x{n * 2654435761 % (1 << 32):08x}00, {n}"),
    "reals": ("k DOUBLE PRIMARY KEY, v INT", lambda n: f"{(n - 1500) / 7!r}e0, {n}"),
    "labels": ("k ENUM('b','a'), n INT, v INT, PRIMARY KEY (k, n)", lambda n: f"'{'ab'[n % 2]}', {n}, {n}"),
    "unique_": ("id INT PRIMARY KEY AUTO_INCREMENT, u DECIMAL(20,4) NOT NULL UNIQUE, v INT", lambda n: f"{n}, {n}.5, {n}"),
    "prefix_": ("k TEXT NOT NULL, v INT, UNIQUE KEY (k(10))", lambda n: f"'{n}', {n}"),
    "names": ("k0 INT, b INT, h INT, n INT, s INT, v INT, PRIMARY KEY (h, k0)", lambda n: f"{n}, 1, {n % 7}, 1, 1, {n}"),
    "moments": ("k TIMESTAMP(6) PRIMARY KEY, v INT", lambda n: f"'2024-05-05 05:05:05.{n:06d}', {n}"),
}  # fmt: skip
ROWS = 3000


async def test_every_kind_of_key(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    """In chunks and narrowed: one row lost, one more, one changed, in tables that are otherwise equal."""
    blue, green = pairs(flavour)
    for server, gone, more in ((blue, None, 2000), (green, 1234, ROWS + 1)):
        statements = []
        for table, (columns, row) in KEYED.items():
            numbers = [*(n for n in range(1, ROWS) if n not in {gone, 2000}), more]
            statements += [f"CREATE TABLE v.{table} ({columns})",
                           f"INSERT INTO v.{table} VALUES {', '.join(f'({row(n)})' for n in numbers)}"]  # fmt: skip
        fill(server, *statements)
    fill(green, *(f"UPDATE v.{table} SET v = -1 WHERE v = 77" for table in KEYED))
    document = await compare(blue, green)
    assert len(document["tables"]) == len(KEYED)
    for table in document["tables"]:
        assert not table["error"], table
        kinds: dict[str, list[str]] = {}
        for row in table["rows_that_differ"]:
            values = row["source"] or row["target"]
            kinds.setdefault(row["kind"], []).append(values["v"])
        keyless = table["source"] == "v.prefix_"
        expected = {"missing": ["1234", "2000"], "extra": [str(ROWS + 1)], "different": ["77"]}
        if keyless:
            expected = {"missing": ["1234", "2000", "77"], "extra": ["-1", str(ROWS + 1)]}
        assert {k: sorted(v) for k, v in kinds.items()} == expected, table["source"]
    assert document["differences"] == 4 * (len(KEYED) - 1) + 5


async def test_tables_without_a_key_are_compared_as_bags(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    """Equal rows count: two of one and none of the other must not cancel, as they do in an XOR."""
    blue, green = pairs(flavour)
    create = ["CREATE TABLE v.bag (a INT, b VARCHAR(10))", "CREATE TABLE v.same (a INT, b VARCHAR(10))"]
    fill(blue, *create, "INSERT INTO v.bag VALUES (1, 'x'), (1, 'x'), (2, NULL), (3, ''), (3, '')",
         "INSERT INTO v.same VALUES (1, 'x'), (1, 'x'), (NULL, NULL)")  # fmt: skip
    fill(green, *create, "INSERT INTO v.bag VALUES (3, ''), (1, 'y'), (2, NULL), (1, 'y'), (3, ''), (3, '')",
         "INSERT INTO v.same VALUES (NULL, NULL), (1, 'x'), (1, 'x')")  # fmt: skip
    document = await compare(blue, green)
    bag, same = document["tables"]
    assert same["equal"]
    found = sorted((r["kind"], (r["source"] or r["target"])["b"], r.get("copies", 1)) for r in bag["rows_that_differ"])
    assert found == [("extra", "", 1), ("extra", "y", 2), ("missing", "x", 2)]


async def test_values_exchanged_between_rows_are_seen(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """What an XOR of CRC32 cannot see, being linear."""
    blue, green = pairs("mysql")
    create = "CREATE TABLE v.t (id INT PRIMARY KEY, a CHAR(1), b CHAR(1))"
    fill(blue, create, "INSERT INTO v.t VALUES (1, 'a', 'x'), (2, 'b', 'y')")
    fill(green, create, "INSERT INTO v.t VALUES (1, 'b', 'x'), (2, 'a', 'y')")
    crc = "SELECT BIT_XOR(CRC32(CONCAT_WS('#', id, a, b))) FROM v.t"
    assert blue.sql(crc) == green.sql(crc)
    assert (await compare(blue, green))["differences"] == 2


async def test_every_member_of_a_large_set_counts(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    """A number that a DOUBLE does not hold."""
    blue, green = pairs(flavour)
    members = ", ".join(f"'m{n}'" for n in range(64))
    for server, second in ((blue, "m0,m63"), (green, "m1,m63")):
        fill(server, f"CREATE TABLE v.t (id INT PRIMARY KEY, s SET({members}))",
             f"INSERT INTO v.t VALUES (1, 'm0,m63'), (2, '{second}'), (3, NULL), (4, '')")  # fmt: skip
    (table,) = (await compare(blue, green))["tables"]
    assert [(r["key"]["id"], r["columns"]) for r in table["rows_that_differ"]] == [("2", ["s"])]


async def test_suspects_are_named_when_the_stream_has_stopped(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    """The row that stopped it is among them, which is why somebody compares."""
    blue, green = pairs("mysql")
    create = "CREATE TABLE v.t (k VARCHAR(9) PRIMARY KEY, a INT)"
    fill(blue, create, "INSERT INTO v.t VALUES ('1', 1), ('zwei', 2)")
    fill(green, create, "INSERT INTO v.t VALUES ('1', 1)")
    document = await Session(order(blue, green), Stopped()).run([])
    (table,) = document["tables"]
    assert table["unsettled"] == [{"k": "zwei"}]
    orjson.dumps(document)
    assert "replication stopped" in table["error"]
    assert not table["equal"]


async def test_tables_that_cannot_be_compared_are_named(pairs: Callable[[str], tuple[Server, Server]]) -> None:
    blue, green = pairs("mysql")
    fill(blue, "CREATE TABLE v.a (id INT PRIMARY KEY, x INT)", "CREATE TABLE v.only_blue (id INT)",
         "CREATE TABLE v.c (id INT PRIMARY KEY)")  # fmt: skip
    fill(green, "CREATE TABLE v.a (id INT PRIMARY KEY)", "CREATE TABLE v.only_green (id INT)",
         "CREATE TABLE v.c (id INT PRIMARY KEY)")  # fmt: skip
    document = await compare(blue, green)
    errors = {t["source"] or t["target"]: t["error"] for t in document["tables"]}
    assert "column x" in errors["v.a"]
    assert "not there on the target" in errors["v.only_blue"]
    assert "only on the target" in errors["v.only_green"]
    assert not errors["v.c"]
    assert not document["equal"]


@pytest.mark.slow
@pytest.mark.parametrize("flavour", flavours("mariadb"))
def test_under_load_nothing_false_nothing_missed_and_repaired(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, start=False)
    for server in (shop.blue, shop.green):
        fill(server, "CREATE TABLE shop.quiet (id INT PRIMARY KEY, v VARCHAR(20))",
             f"INSERT INTO shop.quiet VALUES {', '.join(f'({n}, {n})' for n in range(5000))}")  # fmt: skip
    shop.deployment.start()
    load = shop.load(clients=4)
    try:
        for _ in range(3):
            code, document = shop.deployment.segue("verify", check=False)
            assert (code, document["equal"], document["differences"]) == (0, True, 0), document
        with shop.green.connect(database="shop") as conn, conn.cursor() as cursor:
            cursor.execute("UPDATE quiet SET v = '17 ' WHERE id = 17")
            cursor.execute("DELETE FROM quiet WHERE id = 4999")
        code, document = shop.deployment.segue("verify", check=False)
        assert code == 1
        rows = [r for t in document["tables"] for r in t["rows_that_differ"]]
        assert [(r["kind"], r["key"]["id"]) for r in rows] == [("different", "17"), ("missing", "4999")]
        assert (rows[0]["source"]["v"], rows[0]["target"]["v"]) == ("17", "17 ")
        code, answer = shop.deployment.segue("verify", "--table", "shop.nothing", check=False)
        assert code == 1
        assert "shop.nothing" in answer["error"]
        assert shop.deployment.segue("verify", "--table", "shop.acc*")[1]["equal"]
        # Rows among those that the load adds, where the stream runs meanwhile.
        shop.deployment.wait_for(lambda _: int(shop.green.sql("SELECT MAX(id) FROM shop.entries")[0][0] or 0) > 300)
        with shop.green.connect(database="shop") as conn, conn.cursor() as cursor:
            cursor.execute("UPDATE entries SET note = 'spoilt' WHERE id % 10 = 3 AND id < 200")
            cursor.execute("DELETE FROM entries WHERE id % 10 = 4 AND id < 200")
            cursor.execute("INSERT INTO transfers (id, client, seq, amount) VALUES (4000000000, 0, 0, 0)")
        code, document = shop.deployment.segue("verify", "--repair", check=False)
        assert (code, document["differences"]) == (0, document["repaired"]), document
        assert document["repaired"] > 30
        code, document = shop.deployment.segue("verify", check=False)
        assert (code, document["differences"]) == (0, 0)
    finally:
        load.stop()
    shop.assert_equal()


async def test_repair_of_every_type(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    blue, green = pairs(flavour)
    cases = planted.cases(flavour)
    for server, side in ((blue, "source"), (green, "target")):
        rows = (planted.insert("v.t", n, getattr(case, side)) for n, case in enumerate(cases))
        fill(server, planted.create("v.t"), "CREATE TABLE v.bag (a INT, b VARCHAR(10))",
             "CREATE TABLE v.made (id INT PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a + 1) STORED, u INT UNIQUE)",
             "CREATE TABLE v.guarded (id INT PRIMARY KEY, a INT)", *rows)  # fmt: skip
    fill(blue, "INSERT INTO v.bag VALUES (1, 'x'), (1, 'x'), (2, NULL)",
         "INSERT INTO v.made (id, a, u) VALUES (1, 1, 1), (2, 2, 2)", "INSERT INTO v.guarded VALUES (1, 1)")  # fmt: skip
    fill(green, "INSERT INTO v.bag VALUES (2, NULL), (3, 'y'), (3, 'y')",
         "INSERT INTO v.made (id, a, u) VALUES (1, 1, 3), (7, 9, 1)", "INSERT INTO v.guarded VALUES (1, 2)",
         "CREATE TRIGGER v.guard BEFORE UPDATE ON v.guarded FOR EACH ROW SET NEW.a = 5")  # fmt: skip
    conn = await connect(Endpoint(host=green.host, port=green.port, user="root"))
    await progress.ensure(conn)
    await progress.initialise(conn, "lab", "nobody", "0-1-1", 1)
    await conn.close()
    document = await Session(order(blue, green), Still(), repair=True).run([])
    rows_left = [(t["source"], r["key"], r["problem"]) for t in document["tables"] for r in t["rows_that_differ"]
                 if not r["repaired"]]  # fmt: skip
    assert len(rows_left) == 1, rows_left
    assert rows_left[0][0] == "v.guarded"
    assert "trigger guard" in rows_left[0][2]
    fill(green, "DROP TRIGGER v.guard")
    document = await Session(order(blue, green), Still(), repair=True).run(["v.guarded"])
    assert document["equal"]
    assert document["repaired"] == 1
    assert (await compare(blue, green))["equal"]


@pytest.mark.slow
@pytest.mark.parametrize("flavour", flavours("mysql"))
def test_continuous_comparison_proves_a_switchover(make_shop: Callable[..., Any], flavour: str) -> None:
    """Inside the pause only what is in doubt is compared; a planted row is found, stops the way back, and is repaired."""
    settings = '[verify]\ncontinuous = true\nload = 1\nat_switchover = "require"\npause_budget_ms = 5000'
    shop = make_shop(flavour, replicate=settings)
    deployment = shop.deployment

    def compared(status: dict[str, Any]) -> bool:
        now = status["verify"]["continuous"]
        return bool(now and now["running"] and not now["tables_in_doubt"])

    load = shop.load(clients=4)
    try:
        deployment.wait_for(compared)
        report = deployment.segue("switchover")[1]
        assert report["verification"]["outcome"] == "equal", report["verification"]
        deployment.wait_for(lambda s: compared(s) and s["active"] == "green")
        with shop.blue.connect(database="shop") as conn, conn.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")  # or the guardrail that looks for other writers would speak first
            cursor.execute("UPDATE entries SET note = 'spoilt' WHERE id = 3")
        status = deployment.wait_for(lambda s: compared(s) and s["verify"]["continuous"]["differences"] == 1)
        (row,) = status["verify"]["continuous"]["rows_that_differ"]
        assert (row["table"], row["key"], row["columns"]) == ("shop.entries", {"id": "3"}, ["note"])
        for _ in range(2):  # it is met again in each pass
            passed = time.time()
            deployment.wait_for(lambda s, after=passed: s["verify"]["continuous"]["oldest_pass"] > after)
        assert deployment.log.read_text().count("a row differs") == 1
        code, answer = deployment.segue("rollback", check=False)
        assert code == 1
        assert "1 rows differ" in answer["error"]
        code, document = deployment.segue("verify", "--repair", "--table", "shop.entries", check=False)
        assert (code, document["repaired"]) == (0, 1)
        deployment.wait_for(lambda s: compared(s) and s["verify"]["continuous"]["differences"] == 0)
        assert deployment.segue("rollback")[1]["verification"]["outcome"] == "equal"
    finally:
        load.stop()
    shop.assert_equal()


@pytest.fixture
def crossed(lab: Lab, pairs: Callable[[str], tuple[Server, Server]]) -> tuple[Server, Server]:
    """One server of each flavour."""
    return pairs("mysql")[0], pairs("mariadb")[0]


@pytest.mark.parametrize("source", ["mysql", "mariadb"])
async def test_planted_differences_between_flavours(crossed: tuple[Server, Server], source: str) -> None:
    """What is equal as the target stores it is equal, and what was planted is told, whichever way."""
    here, there = crossed if source == "mysql" else crossed[::-1]
    cases = [c for c in planted.cases("mysql") if "-0.0," not in c.what and "-0.0 in" not in c.what]
    if source == "mysql":
        # The stream writes the text that MySQL shows; another text of the same document is another value there.
        cases = [c for c in cases if not (c.verdict == "equal" and "js" in c.source)]
    for server, side in ((here, "source"), (there, "target")):
        rows = [planted.insert("v.t", n, getattr(case, side)) for n, case in enumerate(cases) if "js" not in case.source]
        for n, case in enumerate(cases):
            if "js" in case.source:
                values = getattr(case, side)
                if source == "mysql" and server is there:  # as the stream would have written it
                    (shown,) = here.sql(f"SELECT CAST(CAST({values['js']} AS JSON) AS CHAR)")[0]
                    values = {"js": "NULL" if shown is None else planted._text(shown)}
                rows.append(planted.insert("v.t", n, values))
        fill(server, planted.create("v.t"), *rows)
    (table,) = (await compare(here, there))["tables"]
    assert not table["error"]
    judged = {int(r["key"]["id"]) for r in table["rows_that_differ"]}
    assert [c.what for n, c in enumerate(cases) if (n in judged) != (c.verdict == "different")] == []


async def test_columns_that_differ_are_compared_as_the_target_stores_them(
    pairs: Callable[[str], tuple[Server, Server]], flavour: str
) -> None:
    blue, green = pairs(flavour)
    fill(blue, """CREATE TABLE v.t (id INT UNSIGNED PRIMARY KEY, gone INT, a TINYINT, old VARCHAR(20) CHARACTER SET latin1,
         d DATETIME, n INT, e ENUM('x','y'), f FLOAT, b BINARY(3), y YEAR, day DATE)""",
         "INSERT INTO v.t VALUES (1, 1, -5, 'é ', '2024-01-01 00:00:00', 42, 'y', 0.1, 0x01, 2024, '2024-02-29'),"
         " (2, 2, 5, 'ü', '0000-00-00', NULL, 'x', 1, 0x000102, 0, '2024-01-01'), (3, 3, 1, '', NULL, 1, NULL, 0, '', 1999, NULL)")  # fmt: skip
    fill(green, """CREATE TABLE v.u (more INT DEFAULT 7, id BIGINT PRIMARY KEY, a INT, new VARCHAR(200) CHARACTER SET utf8mb4,
         d DATETIME(3), n VARCHAR(30), e VARCHAR(10), f DOUBLE, b VARBINARY(9), y INT, day DATETIME)""",
         "INSERT INTO v.u VALUES (7, 1, -5, 'é ', '2024-01-01 00:00:00', '42', 'y', 0.10000000149011612e0, 0x010000, 2024,"
         " '2024-02-29'), (7, 2, 5, 'u', '0000-00-00', '', 'x', 1, 0x000102, 0, '2024-01-01 00:00:01'),"
         " (7, 3, 1, '', NULL, '01', 'x', 0.0001, '', 2000, NULL)")  # fmt: skip
    rule = {"source": "v.t", "target": "v.u", "rename": {"old": "new"}, "ignore_columns": ["gone"]}
    (table,) = (await compare(blue, green, table=[rule]))["tables"]
    assert not table["error"]
    assert {r["key"]["id"]: sorted(r["columns"]) for r in table["rows_that_differ"]} == {
        "2": ["day", "n", "old"], "3": ["b", "e", "f", "n", "y"],
    }  # fmt: skip
    assert table["left_out"] == ["column gone is not carried", "column more is only on the target"]
