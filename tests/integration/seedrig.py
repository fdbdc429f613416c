"""A replicator process with a seed to run, without the rest of the daemon: for what only servers and process decide."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import Any

import pymysql

from lab import Server
from segue.config import Endpoint
from segue.copy import record
from segue.errors import PeerGone, SegueError
from segue.replicate import progress
from segue.sql import connect
from segue.supervisor import Child

TABLES = (
    """CREATE TABLE shop.big (id INT AUTO_INCREMENT PRIMARY KEY, a INT, v VARCHAR(100), d DOUBLE, KEY (a),
       UNIQUE KEY u (v, id)) ENGINE=InnoDB""",
    "CREATE TABLE shop.keyless (a INT, b VARCHAR(20), KEY (a)) ENGINE=InnoDB",
    """CREATE TABLE shop.multi (s VARCHAR(30) COLLATE utf8mb4_general_ci, n INT, b VARBINARY(9), t TIMESTAMP(3) NULL,
       PRIMARY KEY (s, n, b)) ENGINE=InnoDB""",
    "CREATE TABLE shop.swap (id INT PRIMARY KEY, u INT NOT NULL, pad CHAR(50), UNIQUE KEY (u)) ENGINE=InnoDB",
    "CREATE TABLE shop.parent (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
    """CREATE TABLE shop.child (id INT AUTO_INCREMENT PRIMARY KEY, p INT, CONSTRAINT c FOREIGN KEY (p)
       REFERENCES shop.parent (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB""",
)
NAMES = ("big", "keyless", "multi", "swap", "parent", "child")
FILL = {
    "big (a, v, d)": "({n} % 97, CONCAT(REPEAT('x', 60), '\\'\\n{n}'), {n} / 7)",
    "keyless": "({n} % 7, IF({n} % 3, NULL, 'k{n}'))",
    "multi": "('Ä {n} ', {n} % 50, 0x{n:08x}, NOW(3))",
    "swap": "({n}, {n}, 'p')",
    "parent": "({n}, 0)",
    "child (p)": "({n})",
}
CHURN = (
    "UPDATE shop.big SET v = CONCAT('moved ', id), a = a + 1 WHERE id % 50 = {n}",
    "UPDATE shop.big SET id = id + 1000000 WHERE id % 211 = {n}",
    "UPDATE shop.big SET id = id - 1000000 WHERE id > 1000000 AND id % 3 = {n} % 3",
    "DELETE FROM shop.big WHERE id % 97 = {n}",
    "INSERT INTO shop.big (a, v) SELECT a, v FROM shop.big WHERE id % 60 = {n}",
    "DELETE FROM shop.keyless WHERE a = {n} % 7 LIMIT 40",
    "UPDATE shop.keyless SET b = 'u{n}' WHERE a = {n} % 5 LIMIT 20",
    "INSERT INTO shop.keyless SELECT a, b FROM shop.keyless LIMIT 30",
    "UPDATE shop.multi SET n = n + 100000 WHERE n = {n}",
    "UPDATE shop.multi SET s = CONCAT(s, 'a') WHERE n = {n}",
    "DELETE FROM shop.multi WHERE n % 101 = {n}",
    "UPDATE shop.swap SET u = -u WHERE id % 40 = {n}",
    "UPDATE shop.swap SET u = u + 100000 WHERE id % 90 = {n}",
    "UPDATE shop.parent SET id = id + 10000 WHERE id % 83 = {n}",
    "DELETE FROM shop.parent WHERE id % 71 = {n}",
    "INSERT INTO shop.child (p) SELECT id FROM shop.parent WHERE id % 61 = {n}",
)


def fill(server: Server, rows: int) -> None:
    with server.connect() as conn, conn.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop")
        for statement in TABLES:
            cursor.execute(statement)
        for begin in range(0, rows, 2000):
            some = range(begin, min(rows, begin + 2000))
            for table, row in FILL.items():
                cursor.execute(f"INSERT INTO shop.{table} VALUES {', '.join(row.format(n=n) for n in some)}")


def churn(server: Server, dice: random.Random, count: int) -> None:
    """Changes all over the tables: of keys, of unique values, of many rows, with cascades."""
    with server.connect() as conn, conn.cursor() as cursor:
        for _ in range(count):
            with contextlib.suppress(pymysql.err.IntegrityError):
                cursor.execute(dice.choice(CHURN).format(n=dice.randrange(50)))


class Rig:
    """`start` begins; `status` asks; the process is started again when it dies, as control does."""

    def __init__(self, blue: Server, green: Server, **seed: Any) -> None:
        self.blue, self.green = blue, green
        self._seed = seed
        self._child = Child("replicator", "segue.replicate", self._begin, lambda _op, args: print("stream:", args))

    async def start(self, **options: Any) -> None:
        self.green.sql("SET GLOBAL read_only = 1")
        conn = await connect(Endpoint(host=self.green.host, port=self.green.port, user="root"))
        await progress.ensure(conn)
        await record.ensure(conn)
        await record.begin(conn, "rig", "new", options)
        await conn.close()
        self._child.start()

    async def _begin(self, channel: Any) -> None:
        ends = {}
        for role, label, server in (("source", "blue", self.blue), ("target", "green", self.green)):
            endpoint = Endpoint(host=server.host, port=server.port, user="root")
            ends[role] = {"name": label, **endpoint.message()}
        await channel.request("start", limit=60.0, deployment="rig", replicate={"schemas": ["shop"]}, epoch=1,
                              seed=self._seed, **ends)  # fmt: skip

    async def ask(self, op: str, **args: Any) -> dict[str, Any]:
        while True:
            try:
                await self._child.ready.wait()
                return await self._child.request(op, limit=30.0, **args)
            except PeerGone:
                await asyncio.sleep(0.1)

    async def status(self) -> dict[str, Any]:
        return await self.ask("status")

    async def until(self, condition: Any, limit: float = 100.0) -> dict[str, Any]:
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(limit):
                while True:
                    status = await self.status()
                    if condition(status):
                        return status
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not reached: {status}") from None

    async def done(self, limit: float = 200.0) -> dict[str, Any]:
        """The seed's document when it is done and the stream runs alone."""
        status = await self.until(
            lambda s: s["state"] in ("streaming", "stopped") and (s["seed"] is None or s["seed"]["state"] == "done"), limit)  # fmt: skip
        assert status["state"] == "streaming", status
        return dict(status["seed"] or {})

    async def kill(self) -> None:
        """SIGKILL to the replicator; comes back when another one runs."""
        await self._child.ready.wait()
        pid = self._child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while self._child.pid == pid:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        with contextlib.suppress(SegueError, TimeoutError):
            await self._child.request("stop", limit=5.0)
        await self._child.stop()

    def different(self) -> list[str]:
        """Tables that are not the same on both sides, by rows or by definition."""
        out = []
        for name in NAMES:
            sums = [s.sql(f"CHECKSUM TABLE shop.{name}")[0][1] for s in (self.blue, self.green)]
            made = [str(s.sql(f"SHOW CREATE TABLE shop.{name}")[0][1]).split("\n) ENGINE")[0] for s in (self.blue, self.green)]
            lines = [sorted(line.rstrip(",") for line in m.split("\n")) for m in made]
            if sums[0] != sums[1] or lines[0] != lines[1]:
                out.append(name)
        return out

    async def assert_equal(self, limit: float = 60.0) -> None:
        place = "gtid_executed" if self.blue.flavour == "mysql" else "gtid_binlog_pos"
        position = str(self.blue.sql(f"SELECT @@GLOBAL.{place}")[0][0]).replace("\n", "")
        await self.ask("drain", position=position, timeout=limit)
        assert self.different() == []
