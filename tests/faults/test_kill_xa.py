"""The replicator killed while XA transactions are prepared, ended and rolled back, within a flavour and across."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest
from tests.integration.test_schema_paths import PAIRINGS, ask

from lab import Deployment, Server

pytestmark = pytest.mark.servers
KILLS = int(os.environ.get("SEGUE_KILLS", "3"))
CHOSEN = PAIRINGS if KILLS > 3 else PAIRINGS[2:]
"""All four in `make campaign-kill`; otherwise those in which each flavour is once the source and once the target."""
TABLE = "CREATE TABLE shop.{} (id INT PRIMARY KEY, client INT NOT NULL, n INT NOT NULL, note VARCHAR(300))"
TABLES = ("one", "two")


class Client(threading.Thread):
    """XA transactions over two tables, some rolled back, some in one phase, plain ones between prepare and outcome."""

    def __init__(self, server: Server, number: int, over: threading.Event) -> None:
        super().__init__()
        self.server, self.number, self._over = server, number, over
        self.committed: list[int] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.error = error

    def _work(self) -> None:
        dice = random.Random(self.number)
        count = 0
        with self.server.connect() as conn, conn.cursor() as cursor, self.server.connect() as other, other.cursor() as plain:
            while not self._over.is_set():
                count += 1
                xid, row = f"'{self.number}','{count}'", self.number * 1_000_000 + count * 2
                cursor.execute(f"XA START {xid}")
                for table in TABLES:
                    cursor.execute(f"INSERT INTO shop.{table} VALUES ({row}, {self.number}, {count}, REPEAT('x', {count % 300}))")
                    for earlier in self.committed[-4:]:  # by key: a wider lock would hold up everybody until the outcome
                        cursor.execute(f"UPDATE shop.{table} SET n = n + 1 WHERE id = {earlier}")
                cursor.execute(f"XA END {xid}")
                way = dice.choice(("commit", "commit", "rollback", "one phase"))
                if way == "one phase":
                    cursor.execute(f"XA COMMIT {xid} ONE PHASE")
                else:
                    cursor.execute(f"XA PREPARE {xid}")
                    plain.execute(f"INSERT INTO shop.one VALUES ({row + 1}, -1, 0, NULL)")
                    self.committed.append(row + 1)
                    cursor.execute(f"XA {way.upper()} {xid}")
                if way != "rollback":
                    self.committed.append(row)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pairing", CHOSEN, ids="-".join)
def test_killed_with_prepared_transactions(
    pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path, pairing: tuple[str, str]
) -> None:
    blue, green = pairs(pairing[0])[0], pairs(pairing[1])[1]
    deployment = Deployment(tmp_path / "deployment", blue, green)
    for server in (blue, green):
        for table in TABLES:
            server.sql(TABLE.format(table))
    green.sql("ALTER TABLE shop.two MODIFY n BIGINT NOT NULL AFTER id")
    over = threading.Event()
    clients = [Client(blue, number, over) for number in range(1, 4)]
    dice = random.Random(7)
    # Prepared before all kills and ended behind them: kept on the target over every restart.
    long = blue.connect()
    try:
        deployment.start()
        with long.cursor() as cursor:
            cursor.execute("XA START 'long'")
            cursor.execute("INSERT INTO shop.one VALUES (1, 0, 0, 'long')")
            cursor.execute("XA END 'long'")
            cursor.execute("XA PREPARE 'long'")
        for client in clients:
            client.start()
        for _ in range(KILLS):
            begin = deployment.wait_for(lambda s: s["replication"]["state"] in ("streaming", "catching_up"), 60.0)
            wanted = (begin["replication"]["rows"] or 0) + dice.randint(20, 300)
            deployment.wait_for(lambda s, more=wanted: (s["replication"]["rows"] or 0) >= more, 60.0)
            victim = deployment.pids()["replicate"]
            os.kill(victim, signal.SIGKILL)
            deployment.wait_for(lambda s, old=victim: s["replication"]["details"].get("pid", old) != old, 60.0)
        over.set()
        for client in clients:
            client.join()
        assert not [c.error for c in clients if c.error]
        kept = [("X'6C6F6E67',X'',1",)]
        deployment.wait_for(lambda _s: ask(green, "SELECT xid FROM segue.held") == kept, 60.0)
        with long.cursor() as cursor:
            cursor.execute("XA COMMIT 'long'")
        deployment.wait_for(lambda _s: ask(green, "SELECT COUNT(*) FROM segue.held") == [(0,)], 60.0)
        for table in TABLES:
            rows = ask(blue, f"SELECT id, client, n, note FROM shop.{table} ORDER BY id")
            deployment.wait_for(lambda _s, t=table, w=rows: ask(green, f"SELECT id, client, n, note FROM shop.{t} ORDER BY id") == w, 60.0)
        committed = {1, *(row for client in clients for row in client.committed)}
        assert {r[0] for r in ask(green, "SELECT id FROM shop.one")} == committed
        assert len(committed) > KILLS * 10
    finally:
        over.set()
        long.close()
        deployment.stop()
        with contextlib.suppress(pymysql.MySQLError):  # it was committed
            blue.sql("XA ROLLBACK 'long'")
