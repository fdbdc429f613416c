"""An application that would notice a lost, doubled or changed row: `python -m workload --port P ...`.

It runs until its standard input closes, then prints one JSON document with what it was told. Three kinds of clients:
transfers between accounts whose total must stay constant (transactions of several statements), inserts with
client-side sequence numbers into a table that would keep a double, and the same by server-side prepared statements.
After an error a client connects again and asks whether its last work is there before it repeats it, as a careful
application does. `verify` compares a server with what the clients were told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncmy
import uvloop
from asyncmy import errors

ACCOUNTS = 200
BALANCE = 1000
KINDS = ("transfer", "insert", "prepared")
TABLES = (
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB",
    """CREATE TABLE transfers (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, seq BIGINT NOT NULL,
       amount INT NOT NULL, KEY (client, seq)) ENGINE=InnoDB""",
    """CREATE TABLE entries (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, seq BIGINT NOT NULL,
       note VARCHAR(100), at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), KEY (client, seq)) ENGINE=InnoDB""",
)


@dataclass
class Told:
    """What one client knows."""

    client: int
    kind: str
    done: int = 0
    """Sequence numbers 1 to `done` were acknowledged."""
    statements: int = 0
    errors: int = 0
    reconnects: int = 0
    longest: float = 0.0
    """Seconds of the longest statement."""
    messages: list[str] = field(default_factory=list)


class Client:
    def __init__(self, number: int, kind: str, settings: dict[str, Any], pause: float, latencies: list[float]) -> None:
        self.told = Told(number, kind)
        self._settings = settings
        self._pause = pause
        self._latencies = latencies
        self._conn: Any = None
        self._prepared: Any = None

    async def run(self, stop: asyncio.Event) -> None:
        unsure = False
        while not stop.is_set() or unsure:
            try:
                if self._conn is None:
                    await self._connect()
                if unsure and await self._is_there(self.told.done + 1):
                    self.told.done += 1
                    unsure = False
                    continue
                unsure = True
                await self._work(self.told.done + 1)
                self.told.done += 1
                unsure = False
            except (errors.MySQLError, OSError, EOFError, RuntimeError) as error:  # asyncmy's words for a closed peer
                self._failed(error)
                await asyncio.sleep(0.002)
            if self._pause:
                await asyncio.sleep(self._pause)
        if self._conn is not None:
            self._conn.close()

    def _failed(self, error: BaseException) -> None:
        if self._conn is not None:
            self.told.errors += 1
            if len(self.told.messages) < 5:
                self.told.messages.append(str(error))
            self._conn.close()
        self._conn = self._prepared = None

    async def _connect(self) -> None:
        self._conn = await asyncmy.connect(**self._settings)
        if self.told.done or self.told.errors:
            self.told.reconnects += 1
        if self.told.kind == "prepared":
            self._prepared = await self._conn.prepare("INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)")

    async def _query(self, sql: str) -> None:
        began = time.perf_counter()
        await self._conn.query(sql)
        self._took(time.perf_counter() - began)

    def _took(self, seconds: float) -> None:
        self.told.statements += 1
        self.told.longest = max(self.told.longest, seconds)
        self._latencies.append(seconds)

    async def _work(self, seq: int) -> None:
        me = self.told.client
        if self.told.kind == "transfer":
            one, two = random.sample(range(ACCOUNTS), 2)
            amount = random.randint(1, 50)
            one, two = sorted((one, two))  # one order of locks: no deadlocks
            await self._query("BEGIN")
            await self._query(f"UPDATE accounts SET balance = balance - {amount} WHERE id = {one}")
            await self._query(f"UPDATE accounts SET balance = balance + {amount} WHERE id = {two}")
            await self._query(f"INSERT INTO transfers (client, seq, amount) VALUES ({me}, {seq}, {amount})")
            await self._query("COMMIT")
        elif self.told.kind == "insert":
            await self._query(f"INSERT INTO entries (client, seq, note) VALUES ({me}, {seq}, 'note {seq}')")
        else:
            began = time.perf_counter()
            await self._prepared.execute((me, seq, f"prepared {seq}"))
            self._took(time.perf_counter() - began)

    async def _is_there(self, seq: int) -> bool:
        table = "transfers" if self.told.kind == "transfer" else "entries"
        async with self._conn.cursor() as cursor:
            await cursor.execute(f"SELECT 1 FROM {table} WHERE client = {self.told.client} AND seq = {seq}")
            return await cursor.fetchone() is not None


async def run(settings: dict[str, Any], clients: int, pause: float, stop: asyncio.Event) -> dict[str, Any]:
    """Run until `stop`; what the clients were told, and latencies in milliseconds."""
    latencies: list[float] = []
    crew = [Client(n, KINDS[n % len(KINDS)], settings, pause, latencies) for n in range(clients)]
    began = time.perf_counter()
    await asyncio.gather(*(c.run(stop) for c in crew))
    seconds = time.perf_counter() - began
    told = [asdict(c.told) for c in crew]
    ordered = sorted(latencies) or [0.0]

    def pick(part: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000, 2)

    return {
        "clients": told,
        "seconds": round(seconds, 2),
        "statements": len(latencies),
        "errors": sum(t["errors"] for t in told),
        "reconnects": sum(t["reconnects"] for t in told),
        "latency_ms": {"p50": pick(0.5), "p99": pick(0.99), "p999": pick(0.999), "max": pick(1.0)},
    }


def create_tables(server: Any, schema: str = "shop") -> None:
    """Tables and first rows on one lab server."""
    with server.connect(database=schema) as conn, conn.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
        rows = ", ".join(f"({n}, {BALANCE})" for n in range(ACCOUNTS))
        cursor.execute(f"INSERT INTO accounts VALUES {rows}")


def create_history(server: Any, rows: int, schema: str = "shop") -> None:
    """A table of many rows that the workload leaves alone."""
    with server.connect(database=schema) as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TABLE history (id INT AUTO_INCREMENT PRIMARY KEY, account INT NOT NULL, amount DECIMAL(10,2),"
                       " note VARCHAR(120), at DATETIME, KEY (account), KEY (at)) ENGINE=InnoDB")  # fmt: skip
        for begin in range(0, rows, 5000):
            some = range(begin, min(rows, begin + 5000))
            values = ", ".join(f"({n % ACCOUNTS}, {n % 1000}.25, 'it was the {n}th', '2026-01-01' + INTERVAL {n} SECOND)"
                               for n in some)  # fmt: skip
            cursor.execute(f"INSERT INTO history (account, amount, note, at) VALUES {values}")


@dataclass
class Verdict:
    """What a server holds against what clients were told."""

    lost: int
    doubled: int
    sum_is_right: bool
    acknowledged: int

    @property
    def good(self) -> bool:
        return self.lost == 0 and self.doubled == 0 and self.sum_is_right


def verify(server: Any, told: list[dict[str, Any]], schema: str = "shop") -> Verdict:
    """Count acknowledged work that is missing and work that is there twice."""
    lost = doubled = acknowledged = 0
    with server.connect(database=schema) as conn, conn.cursor() as cursor:
        have: dict[tuple[str, int], tuple[int, int]] = {}
        for table in ("transfers", "entries"):
            cursor.execute(f"SELECT client, COUNT(*), COUNT(DISTINCT seq) FROM {table} GROUP BY client")
            for client, rows, distinct in cursor.fetchall():
                have[table, client] = rows, distinct
        for one in told:
            rows, distinct = have.get(("transfers" if one["kind"] == "transfer" else "entries", one["client"]), (0, 0))
            acknowledged += one["done"]
            lost += max(0, one["done"] - distinct)
            doubled += rows - distinct
        cursor.execute("SELECT SUM(balance) FROM accounts")
        total = int(cursor.fetchone()[0])
    return Verdict(lost, doubled, total == ACCOUNTS * BALANCE, acknowledged)


def checksums(server: Any, schema: str = "shop") -> dict[str, int]:
    """CHECKSUM TABLE of every table of the workload."""
    return {t: int(server.sql(f"CHECKSUM TABLE {schema}.{t}")[0][1]) for t in ("accounts", "transfers", "entries")}


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("host", "127.0.0.1"), ("user", "app"), ("password", ""), ("database", "shop")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two pieces of work of a client")
    args = parser.parse_args()
    settings = {k: getattr(args, k) for k in ("host", "port", "user", "password", "database")}
    settings |= {"autocommit": True, "connect_timeout": 15, "charset": "utf8mb4"}
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader = loop.run_in_executor(None, sys.stdin.read)
    reader.add_done_callback(lambda _: stop.set())
    result = await run(settings, args.clients, args.pause, stop)
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(_main())
