"""DDL in the stream on real servers: stop, ignore and apply, and what a killed replicator makes of it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from tests.amount import WHOLE
from tests.conftest import FLAVOURS

import ddl_campaign
import workload
from lab import Server, tool

pytestmark = pytest.mark.servers


def run(server: Server, *statements: str) -> None:
    """Statements on one connection, in schema shop."""
    with server.connect(database="shop") as conn, conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def tables(server: Server) -> dict[str, int | None]:
    """CHECKSUM TABLE of every table of the shop."""
    names = [r[0] for r in server.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
                                      " AND TABLE_SCHEMA = 'shop' ORDER BY 1")]  # fmt: skip
    quoted = {n: n.replace("`", "``") for n in names}
    return {n: server.sql(f"CHECKSUM TABLE shop.`{q}`")[0][1] for n, q in quoted.items()}


def same(shop: Any) -> None:
    """All tables are on both sides with equal rows."""
    wanted = tables(shop.blue)
    last: dict[str, Any] = {}

    def equal(status: dict[str, Any]) -> bool:
        last["green"], last["status"] = tables(shop.green), status["replication"]
        return bool(last["green"] == wanted)

    try:
        shop.deployment.wait_for(equal, 60.0)
    except Exception as error:
        raise AssertionError(f"{wanted} and {last}") from error


def stopped(shop: Any) -> dict[str, Any]:
    status: dict[str, Any] = shop.deployment.wait_for(lambda s: s["replication"]["state"] == "stopped")
    return dict(status["replication"])


MANY = (
    "CREATE TABLE one (id INT PRIMARY KEY, v VARCHAR(20))",
    "ALTER TABLE one PARTITION BY RANGE (id) (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE)",
    "INSERT INTO one VALUES (1, 'a'), (2, 'b'), (20, 'c')",
    "ALTER TABLE one ADD COLUMN born TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP AFTER id, ADD INDEX (v)",
    "INSERT INTO one (id, v) VALUES (3, 'd')",
    "ALTER TABLE one DROP PARTITION low",
    "CREATE TABLE two LIKE one",
    "ALTER TABLE two REMOVE PARTITIONING",
    "INSERT INTO two SELECT * FROM one",
    "CREATE TABLE three (PRIMARY KEY (id)) SELECT id, balance FROM accounts WHERE id < 50",
    "DELETE FROM three WHERE id < 20",
    "ALTER TABLE three MODIFY balance DECIMAL(20,2) NOT NULL, RENAME TO four",
    "UPDATE four SET balance = balance / 3",
    "RENAME TABLE one TO gone, two TO one, gone TO two",
    "INSERT INTO one (id, v) VALUES (4, 'e')",
    "TRUNCATE TABLE two",
    "INSERT INTO two (id, v) VALUES (5, 'f')",
    "CREATE TABLE `we``ird näme` (a INT, `b``c` INT)",
    "INSERT INTO `we``ird näme` VALUES (1, 2)",
    "CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (1, 1)",
    "CREATE UNIQUE INDEX only_once ON child (id, p)",
    "DROP INDEX only_once ON child",
    "DROP TABLE child, parent",
    "CREATE TABLE child (id INT PRIMARY KEY)",
    "SET sql_mode = 'ANSI_QUOTES'",
    'ALTER TABLE "child" ADD "rename" INT DEFAULT 7, COMMENT \'x, RENAME TO y\'',
    "SET sql_mode = DEFAULT",
    "INSERT INTO child (id) VALUES (1)",
    "CREATE VIEW seen AS SELECT id FROM child",
    "CREATE TEMPORARY TABLE t (a INT)",
    "DROP TEMPORARY TABLE t",
    "CREATE DATABASE elsewhere",
    "CREATE TABLE elsewhere.t (a INT)",
    "DROP DATABASE elsewhere",
    "ANALYZE TABLE child",
)


def test_apply_follows_everything(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    run(shop.blue, *[one for many in MANY for one in many.split("; ")])
    same(shop)
    assert shop.deployment.status()["replication"]["state"] != "stopped"
    for table in ("one", "two", "four", "child"):
        texts = [str(s.sql(f"SHOW CREATE TABLE shop.{table}")[0][1]) for s in (shop.blue, shop.green)]
        assert texts[0] == texts[1]


GHOST = (
    "CREATE TABLE _accounts_ghc (id INT PRIMARY KEY, v VARCHAR(30))",
    "CREATE TABLE _accounts_gho LIKE accounts",
    "ALTER TABLE _accounts_gho ADD COLUMN note VARCHAR(10) DEFAULT 'x' AFTER id",
    "INSERT INTO _accounts_gho (id, balance) SELECT id, balance FROM accounts",
    "INSERT INTO _accounts_ghc VALUES (1, 'copied')",
    "CREATE TABLE _accounts_del (id INT) COMMENT='sentry'",
    "DROP TABLE IF EXISTS _accounts_del",
    "RENAME TABLE accounts TO _accounts_del, _accounts_gho TO accounts",
    "UPDATE accounts SET note = 'y' WHERE id < 50",
    "DROP TABLE _accounts_ghc",
    "DROP TABLE _accounts_del",
)
TRIGGER = (
    "CREATE TRIGGER pt_ins AFTER INSERT ON entries FOR EACH ROW"
    " REPLACE INTO _entries_new VALUES (NEW.id, NEW.client, NEW.seq, NEW.note, NEW.at)"
)
PERCONA = (
    "CREATE TABLE _entries_new LIKE entries",
    "ALTER TABLE _entries_new MODIFY note VARCHAR(200) CHARACTER SET latin1",
    TRIGGER,
    "INSERT INTO entries (client, seq, note) VALUES (1, 1, 'by trigger'), (1, 2, 'too')",
    "INSERT IGNORE INTO _entries_new SELECT * FROM entries",
    "RENAME TABLE entries TO _entries_old, _entries_new TO entries",
    "DROP TABLE IF EXISTS _entries_old",
    "DROP TRIGGER IF EXISTS pt_ins",
    "INSERT INTO entries (client, seq, note) VALUES (1, 3, 'behind')",
)


def test_online_schema_changes(make_shop: Callable[..., Any], flavour: str) -> None:
    """What gh-ost and pt-online-schema-change do to the source, followed by `apply`."""
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    run(shop.blue, *GHOST, *PERCONA)
    same(shop)
    assert shop.green.sql("SELECT COUNT(*), COUNT(DISTINCT seq) FROM shop.entries")[0] == (3, 3)
    assert shop.green.sql("SELECT COUNT(*) FROM shop.accounts WHERE note = 'y'")[0][0] == 50


def test_the_real_online_schema_change_under_load(make_shop: Callable[..., Any], flavour: str) -> None:
    """Percona's own program on the source, clients writing meanwhile."""
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    load = shop.load(clients=4)
    program = tool("pt-online-schema-change")
    try:
        done = subprocess.run(
            [*program.argv, "--execute", "--alter", "ADD COLUMN extra INT NOT NULL DEFAULT 7", "--no-check-replication-filters",
             "--recursion-method", "none",
             f"h=127.0.0.1,P={shop.blue.port},u=root,D=shop,t=accounts"],
            env=program.environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        told = load.stop()
    finally:
        load.kill()
    same(shop)
    assert workload.verify(shop.green, told["clients"]).good
    assert shop.green.sql("SELECT DISTINCT extra FROM shop.accounts") == [(7,)]


def test_stop_waits_for_each_kind(make_shop: Callable[..., Any], flavour: str) -> None:
    """Exactly at the statement, until the target shows that it was done there too; then on, by itself."""
    shop = make_shop(flavour, replicate='exclude = ["shop.scratch_*"]')
    run(shop.blue, "CREATE TABLE scratch_1 (a INT)", "ALTER TABLE scratch_1 ADD b INT", "DROP TABLE scratch_1",
        "CREATE VIEW seen AS SELECT 1", "CREATE INDEX quick ON accounts (balance)")  # fmt: skip
    same(shop)
    assert shop.deployment.status()["replication"]["state"] != "stopped"
    code, answer = shop.deployment.segue("skip-ddl", check=False)
    assert (code, "waits at no DDL" in answer["error"]) == (1, True)
    for statement, sign in (
        ("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "does not exist"),
        ("ALTER TABLE t ADD b INT", "b"),
        ("TRUNCATE TABLE t", "has rows"),
        ("ALTER TABLE t RENAME TO u", "still there"),
        ("RENAME TABLE u TO t", "still there"),
        ("DROP TABLE t", "still there"),
    ):
        if statement.startswith("TRUNCATE"):
            run(shop.blue, "INSERT INTO t VALUES (1, 2, 3)")
        run(shop.blue, statement)
        told = stopped(shop)
        assert statement.split(" t", 1)[0] in told["error"]  # the server writes DROP TABLE anew
        assert sign in told["error"]
        assert told["details"]["ddl"]["state"] == "waiting"
        run(shop.blue, f"UPDATE accounts SET balance = balance + 1 WHERE id = {len(statement)}")
        assert tables(shop.green)["accounts"] != tables(shop.blue)["accounts"]
        run(shop.green, statement)
        same(shop)


def test_stop_when_the_source_is_far_ahead(make_shop: Callable[..., Any], flavour: str) -> None:
    """Several statements in a row, with rows of each definition between them; one is made anew, one skipped."""
    shop = make_shop(flavour)
    statements = (
        "ALTER TABLE accounts ADD a INT",
        "ALTER TABLE accounts ADD b INT AFTER id",
        "ALTER TABLE accounts MODIFY a VARCHAR(10)",
        "DROP TABLE transfers",
        "CREATE TABLE transfers (id INT PRIMARY KEY)",
    )
    for number, statement in enumerate(statements):
        run(shop.blue, statement, f"UPDATE accounts SET balance = {number}")
    run(shop.blue, "INSERT INTO transfers VALUES (7)")
    for statement in statements:
        head = f": {statement.split(' transfers', 1)[0]}"
        shop.deployment.wait_for(lambda s, now=head: now in str(s["replication"]["error"]))
        run(shop.green, statement)
    same(shop)
    run(shop.blue, "ALTER TABLE accounts ADD only_here INT")
    assert "only_here" in stopped(shop)["error"]
    assert "only_here" in shop.deployment.segue("skip-ddl")[1]["skipped"]
    run(shop.blue, "ALTER TABLE accounts DROP only_here", "UPDATE accounts SET balance = 5")
    same(shop)


def test_ignore_passes(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, replicate='on_ddl = "ignore"')
    run(shop.blue, "TRUNCATE TABLE entries", "CREATE TABLE more (a INT)", "INSERT INTO accounts VALUES (999, 1)")
    shop.deployment.wait_for(lambda _s: tables(shop.green)["accounts"] == tables(shop.blue)["accounts"])
    assert "more" not in tables(shop.green)


def test_a_statement_that_cannot_be_applied_waits(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    run(shop.blue, "CREATE TABLE keyless (a INT)", "INSERT INTO keyless VALUES (3), (1), (2)",
        "ALTER TABLE keyless ADD id INT AUTO_INCREMENT PRIMARY KEY")  # fmt: skip
    assert "order of the server's own" in stopped(shop)["error"]
    run(shop.green, "ALTER TABLE keyless ADD id INT AUTO_INCREMENT PRIMARY KEY")
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    same(shop)
    run(shop.green, "INSERT INTO accounts VALUES (998, 1)")
    run(shop.blue, "ALTER TABLE accounts ADD UNIQUE KEY rich (balance, id)", "UPDATE accounts SET balance = id",
        "ALTER TABLE accounts ADD UNIQUE KEY poor (balance)")  # fmt: skip
    assert "Duplicate" in stopped(shop)["error"]
    run(shop.green, "DELETE FROM accounts WHERE id = 998", "ALTER TABLE accounts ADD UNIQUE KEY poor (balance)")
    same(shop)


@pytest.mark.slow
def test_killed_around_ddl(make_shop: Callable[..., Any], flavour: str) -> None:
    """SIGKILL at any moment around a statement: it takes effect exactly once, and every row behind it is right."""
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    dice = random.Random(5)
    for number in range(8):
        run(shop.blue, f"ALTER TABLE accounts ADD c{number} INT DEFAULT {number}", f"UPDATE accounts SET balance = {number}")
        run(shop.blue, f"CREATE TABLE made_{number} LIKE accounts", f"INSERT INTO made_{number} SELECT * FROM accounts")
        if number:
            run(shop.blue, f"RENAME TABLE made_{number - 1} TO spare, made_{number} TO made_{number - 1}, spare TO made_{number}",
                f"DELETE FROM made_{number} WHERE id < 10", f"TRUNCATE made_{number - 1}")  # fmt: skip
        old = shop.deployment.pids().get("replicate")
        threading.Event().wait(dice.uniform(0.0, 0.25))  # where around the statements is left to chance
        if old is not None:
            os.kill(old, signal.SIGKILL)
    same(shop)


def test_killed_while_the_target_still_runs_it(make_shop: Callable[..., Any], flavour: str) -> None:
    """The statement waits for a lock on the target when the replicator dies: it takes effect once all the same."""
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    run(shop.blue, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    same(shop)
    with shop.green.connect(database="shop", autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT * FROM t")
        run(shop.blue, "ALTER TABLE t ADD n INT NOT NULL DEFAULT 4", "INSERT INTO t (id) VALUES (2)")

        def waits(_status: dict[str, Any]) -> bool:
            rows = shop.green.sql("SELECT STATE FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE t%%'")
            return any("metadata lock" in str(r[0]) for r in rows)

        shop.deployment.wait_for(waits)
        victim = shop.deployment.pids()["replicate"]
        os.kill(victim, signal.SIGKILL)
        # The server may end the statement when its client is gone; then the next one waits for the same lock.
        shop.deployment.wait_for(lambda s: s["replication"]["details"].get("pid", victim) != victim
                                 and s["replication"]["details"]["ddl"] is not None)  # fmt: skip
        holder.rollback()
    same(shop)
    assert shop.green.sql("SELECT state FROM segue.ddl") == [("done",)]


EXCHANGES = {
    "swap": "RENAME TABLE one TO spare, two TO one, spare TO two",
    "plain `names`": "RENAME TABLE one TO `a b-c`, two TO one, `a b-c` TO two",
    "partitioned": "RENAME TABLE parted TO spare, alike TO parted, spare TO alike",
    "partition": "ALTER TABLE parted EXCHANGE PARTITION low WITH TABLE `one-low`",
}


EVERY = [(f, b) for b in ("done", "not done") for f in FLAVOURS]


@pytest.mark.slow
@pytest.mark.parametrize(("flavour", "begun"), EVERY if WHOLE else [EVERY[0], EVERY[3]])
def test_killed_while_tables_are_exchanged(make_shop: Callable[..., Any], flavour: str, begun: str) -> None:
    """Of the same definition and with the same names before and behind: only the tables themselves tell whether it
    has happened. The target is left by a replicator that died between the statement and its note, and before it."""
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    d = shop.deployment
    parts = "PARTITION BY RANGE (id) (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE)"
    run(shop.blue, "CREATE TABLE one (id INT PRIMARY KEY, v INT)", "CREATE TABLE two LIKE one", "CREATE TABLE `one-low` LIKE one",
        f"CREATE TABLE parted (id INT PRIMARY KEY, v INT) {parts}", "CREATE TABLE alike LIKE parted",
        "INSERT INTO one VALUES (1, 1)", "INSERT INTO two VALUES (1, 2)", "INSERT INTO `one-low` VALUES (3, 3)",
        "INSERT INTO parted VALUES (4, 4), (14, 4)", "INSERT INTO alike VALUES (4, 5)")  # fmt: skip
    same(shop)
    for statement in EXCHANGES.values():
        with shop.green.connect(database="shop", autocommit=False) as holder, holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM one, parted LIMIT 1")  # what the statement waits for
            run(shop.blue, statement)
            d.wait_for(lambda _s: waits_for_a_lock(shop.green))
            assert d.process is not None
            os.kill(d.process.pid, signal.SIGSTOP)  # starts no other one meanwhile
            os.kill(d.pids()["replicate"], signal.SIGKILL)
            for _ in iter(lambda: end_what_waits(shop.green), 0):
                threading.Event().wait(0.05)
        if begun == "done":
            run(shop.green, "SET SESSION sql_log_bin = 0", statement)
        run(shop.blue, "INSERT INTO one VALUES (100, 1) ON DUPLICATE KEY UPDATE v = v + 7", "UPDATE parted SET v = v + 1 WHERE id < 10")
        os.kill(d.process.pid, signal.SIGCONT)
        same(shop)


def waits_for_a_lock(server: Server) -> list[int]:
    rows = server.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%'")
    return [int(r[0]) for r in rows]


def end_what_waits(server: Server) -> int:
    """Ends statements that wait for a table; how many connections of the replicator's DDL there were still."""
    for number in waits_for_a_lock(server):
        with contextlib.suppress(pymysql.err.MySQLError):  # ended by itself
            server.sql(f"KILL {number}")
    return len(server.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'segue' AND INFO REGEXP '^(RENAME|ALTER)'"))


def test_stop_sees_that_tables_were_exchanged(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    for statement in ("CREATE TABLE one (id INT PRIMARY KEY, v INT)", "CREATE TABLE two LIKE one"):
        run(shop.blue, statement)
        stopped(shop)
        run(shop.green, statement)
        same(shop)
    run(shop.blue, "INSERT INTO one VALUES (1, 1)", "INSERT INTO two VALUES (1, 2)")
    same(shop)
    run(shop.blue, EXCHANGES["swap"], "UPDATE one SET v = 5")
    assert "cannot be seen from outside" in stopped(shop)["error"]
    run(shop.green, EXCHANGES["swap"])
    same(shop)
    assert shop.deployment.status()["replication"]["state"] != "stopped"


@pytest.mark.parametrize(("flavour", "mode"), [("mysql", "stop"), ("mariadb", "apply")])
def test_ddl_under_load(make_shop: Callable[..., Any], flavour: str, mode: str) -> None:
    """The short form of `make campaign-ddl`."""
    shop = make_shop(flavour, replicate=f'on_ddl = "{mode}"')
    told = ddl_campaign.campaign(shop.deployment, shop.blue, shop.green, mode=mode, seconds=6.0, every=0.5, clients=3)
    assert told["statements"] > 0
    assert told["acknowledged"] > 0
