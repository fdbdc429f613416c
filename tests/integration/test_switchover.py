"""Switchovers on real servers under load: nothing lost, nothing doubled, never two writable sides."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from tests.amount import WHOLE

import workload
from lab import Server
from lab.deployment import APP_PASSWORD

pytestmark = pytest.mark.servers
SWITCHOVERS = 20 if WHOLE else 4


class Watcher(threading.Thread):
    """Writes to both servers directly, all the time, each with its own table, as an account without privileges.

    A write that is accepted carries when it was sent and answered; two accepted writes that overlap in time, one on
    each side, or a write on one side between two of the other without a switchover, prove both were writable.
    """

    def __init__(self, *servers: Server) -> None:
        super().__init__(daemon=True)
        self._servers = servers
        self._end = threading.Event()
        self.accepted: list[tuple[int, float, float]] = []
        """(server's number, sent, answered), monotonic seconds."""
        self.refused = 0
        for server in servers:
            server.sql("CREATE DATABASE IF NOT EXISTS watch")
            server.sql("CREATE TABLE IF NOT EXISTS watch.t (n INT PRIMARY KEY)")
            server.sql("REPLACE INTO watch.t VALUES (0)")
            server.sql("GRANT ALL ON watch.* TO app@'%'")

    def run(self) -> None:
        settings = {"user": "app", "password": APP_PASSWORD, "autocommit": True, "database": "watch"}
        conns = [pymysql.connect(host=s.host, port=s.port, **settings) for s in self._servers]
        while not self._end.is_set():
            for number, conn in enumerate(conns):
                sent = time.monotonic()
                try:
                    with conn.cursor() as cursor:
                        cursor.execute("UPDATE t SET n = n + 1")
                except pymysql.err.MySQLError as error:
                    if error.args[0] not in (1290, 1836):
                        raise
                    self.refused += 1
                else:
                    self.accepted.append((number, sent, time.monotonic()))
            self._end.wait(0.0005)
        for conn in conns:
            conn.close()

    def stop(self) -> None:
        self._end.set()
        self.join(10)

    def changes(self) -> int:
        """How often the side that accepts changed."""
        sides = [a[0] for a in self.accepted]
        return sum(1 for one, two in itertools.pairwise(sides) if one != two)


@pytest.mark.slow
@pytest.mark.timeout(40 * SWITCHOVERS + 140)
def test_switchovers_in_a_row_under_load(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    watcher = Watcher(shop.blue, shop.green)
    load = shop.load(clients=12)
    try:
        watcher.start()
        pauses = []
        for number in range(SWITCHOVERS):
            shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
            before = shop.deployment.segue("status")[1]
            code, report = shop.deployment.segue("switchover", "--timeout", "60")
            assert code == 0
            assert report["outcome"] == "done"
            status = shop.deployment.segue("status")[1]
            assert status["active"] != before["active"], number
            assert status["phase"] == "steady"
            assert status["last_switchover"]["dropped"] == 0
            pauses.append(report["pause_ms"])
        told = load.stop()
    finally:
        watcher.stop()
        load.kill()
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    active = shop.side(shop.deployment.segue("status")[1]["active"])
    verdict = workload.verify(active, told["clients"])
    print(flavour, "pauses ms", sorted(pauses), verdict, told["statements"], told["errors"], told["latency_ms"])
    assert verdict.good, verdict
    assert verdict.acknowledged > 1000
    shop.assert_equal()
    # Writes alternate in the log only when the active side did: never both in one period.
    assert watcher.changes() == SWITCHOVERS
    assert watcher.refused > SWITCHOVERS
    assert all(one[2] <= two[1] or one[0] == two[0] for one, two in itertools.pairwise(watcher.accepted))


def test_an_open_transaction_beyond_drain_timeout_aborts(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, drain_timeout=1.0)
    settings = {"host": "127.0.0.1", "port": shop.deployment.port, "user": "app", "password": APP_PASSWORD, "database": "shop"}
    conn = pymysql.connect(**settings)
    other = pymysql.connect(**settings, autocommit=True)
    with conn.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 1")
        code, answer = shop.deployment.segue("switchover", check=False)
        assert code == 1
        assert "app" in answer["error"]
        assert str(conn.thread_id()) in answer["error"]
        assert "open transaction" in answer["error"]
        assert "drain_timeout" in answer["mend"]
        status = shop.deployment.segue("status")[1]
        assert status["active"] == "blue"
        assert status["phase"] == "steady"
        assert status["last_switchover"]["outcome"] == "aborted"
        assert status["last_switchover"]["dropped"] == 0
        cursor.execute("UPDATE accounts SET balance = balance - 1 WHERE id = 2")
        conn.commit()
    with other.cursor() as cursor:
        cursor.execute("SELECT SUM(balance) FROM accounts")
        assert int(cursor.fetchone()[0]) == workload.ACCOUNTS * workload.BALANCE
    assert shop.blue.sql("SELECT @@GLOBAL.read_only")[0][0] == 0
    assert shop.green.sql("SELECT @@GLOBAL.read_only")[0][0] != 0
    shop.assert_equal()


def test_a_statement_that_waits_in_the_pause_runs_once(make_shop: Callable[..., Any], flavour: str) -> None:
    """Held by `pause`, sent meanwhile, released: it runs, one time."""
    shop = make_shop(flavour)
    conn = pymysql.connect(
        host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD, database="shop", autocommit=True
    )
    shop.deployment.segue("pause")
    done = threading.Event()

    def insert() -> None:
        with conn.cursor() as cursor:
            cursor.execute("INSERT INTO entries (client, seq, note) VALUES (1, 1, 'held')")
        done.set()

    threading.Thread(target=insert, daemon=True).start()
    assert not done.wait(0.3)
    assert shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 0
    shop.deployment.segue("resume")
    assert done.wait(5)
    assert shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 1


def test_dry_run_changes_nothing_and_refusals_name_the_reason(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    code, answer = shop.deployment.segue("switchover", "--dry-run")
    assert (code, answer["outcome"]) == (0, "possible")
    shop.green.sql("SET GLOBAL event_scheduler = OFF")
    with shop.green.connect(database="shop") as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("ALTER TABLE entries ADD COLUMN more INT NOT NULL, MODIFY note INT")
    code, answer = shop.deployment.segue("switchover", check=False)
    assert code == 1
    assert "shop.entries" in answer["error"]
    assert "note" in answer["error"]
    assert shop.deployment.segue("status")[1]["active"] == "blue"
    assert shop.blue.sql("SELECT @@GLOBAL.read_only")[0][0] == 0


def test_rollback_returns_with_all_writes(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    assert shop.deployment.segue("rollback", check=False)[0] == 1
    load = shop.load(clients=6, pause=0.002)
    try:
        shop.deployment.segue("switchover")
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming" and s["replication"]["rows"] > 50)
        report = shop.deployment.segue("rollback")[1]
        assert report["outcome"] == "done"
        told = load.stop()
    finally:
        load.kill()
    assert shop.deployment.segue("status")[1]["active"] == "blue"
    assert workload.verify(shop.blue, told["clients"]).good
    shop.assert_equal()
