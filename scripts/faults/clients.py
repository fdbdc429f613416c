"""Clients that write down what they were told, and a watcher that writes to both sides past the proxy.

`python -m faults.clients FILE PORT CLIENTS BLUE GREEN` appends one JSON array a line to FILE:

    ["op", client, seq, kind, invoked, ended, "ok" | "fail" | "info"]   an append; info: nobody knows
    ["read", client, invoked, ended, count, highest]                    what a client sees of its own appends
    ["watch", side, sent, answered]                                     a direct write that a side accepted

Times are the system's monotonic seconds, the same for all processes. A sequence number is used once, whatever came
of it. Words on standard input: `hold` (answered by `held` when nothing is under way), `go`; its end ends the process.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import asyncmy
import pymysql
import uvloop
from asyncmy import errors

ACCOUNTS = 50
BALANCE = 1000
TABLES = (
    "CREATE TABLE IF NOT EXISTS accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB",
    """CREATE TABLE IF NOT EXISTS appends (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, seq BIGINT NOT NULL,
       kind VARCHAR(10) NOT NULL, KEY (client, seq)) ENGINE=InnoDB""",
)
OP_LIMIT = 15.0
KINDS = ("plain", "transfer", "prepared")
_NOT_RUN = (1290, 1836)
"""Read-only: the server says itself that it did not do it."""
_WAIT = 0.01


class History:
    """The file; one line a fact, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, *fact: Any) -> None:
        line = json.dumps(fact) + "\n"
        with self._lock:
            self._file.write(line)


class Client:
    """Appends with its own sequence numbers, and reads them back."""

    def __init__(self, number: int, port: int, history: History, gate: asyncio.Event) -> None:
        self.number = number
        self.busy = False
        self._kind = KINDS[number % len(KINDS)]
        self._settings = {"host": "127.0.0.1", "port": port, "user": "app", "password": "app-lab-password",
                          "database": "shop", "autocommit": True, "connect_timeout": 5, "charset": "utf8mb4"}  # fmt: skip
        self._history = history
        self._gate = gate
        self._conn: Any = None
        self._prepared: Any = None
        self._seq = 0
        self._dice = random.Random(number)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._gate.wait()
            self.busy = True
            try:
                if self._conn is None:
                    async with asyncio.timeout(OP_LIMIT):
                        await self._connect()
                await (self._read() if self._dice.random() < 0.2 else self._append())
            except (errors.MySQLError, OSError, EOFError, RuntimeError, TimeoutError):
                self._drop()
                await asyncio.sleep(0.02)
            finally:
                self.busy = False
            await asyncio.sleep(_WAIT)
        self._drop()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = self._prepared = None

    async def _connect(self) -> None:
        self._conn = await asyncmy.connect(**self._settings)
        if self._kind == "prepared":
            self._prepared = await self._conn.prepare("INSERT INTO appends (client, seq, kind) VALUES (?, ?, 'prepared')")

    async def _append(self) -> None:
        self._seq += 1
        seq, began, outcome = self._seq, time.monotonic(), "info"
        try:
            async with asyncio.timeout(OP_LIMIT):
                outcome = await self._do(seq)
        finally:
            self._history.add("op", self.number, seq, self._kind, began, time.monotonic(), outcome)

    async def _do(self, seq: int) -> str:
        values = f"({self.number}, {seq}, '{self._kind}')"
        sent_all = self._kind != "transfer"
        try:
            if self._prepared is not None:
                await self._prepared.execute((self.number, seq))
            elif self._kind == "plain":
                await self._conn.query(f"INSERT INTO appends (client, seq, kind) VALUES {values}")
            else:
                one, two = sorted(self._dice.sample(range(ACCOUNTS), 2))
                amount = self._dice.randint(1, 9)
                await self._conn.query("BEGIN")
                await self._conn.query(f"UPDATE accounts SET balance = balance - {amount} WHERE id = {one}")
                await self._conn.query(f"UPDATE accounts SET balance = balance + {amount} WHERE id = {two}")
                await self._conn.query(f"INSERT INTO appends (client, seq, kind) VALUES {values}")
                sent_all = True
                await self._conn.query("COMMIT")
        except errors.MySQLError as error:
            self._drop()
            code, text = (*error.args, "")[:2]
            refused = code in _NOT_RUN or "was not run" in str(text)
            return "fail" if refused or not sent_all else "info"
        except (OSError, EOFError, RuntimeError):
            self._drop()
            return "info" if sent_all else "fail"
        return "ok"

    async def _read(self) -> None:
        began = time.monotonic()
        async with asyncio.timeout(OP_LIMIT), self._conn.cursor() as cursor:
            await cursor.execute(f"SELECT COUNT(*), COALESCE(MAX(seq), 0) FROM appends WHERE client = {self.number}")
            count, highest = await cursor.fetchone()
        self._history.add("read", self.number, began, time.monotonic(), int(count), int(highest))


def watch(side: str, port: int, history: History, stop: threading.Event) -> None:
    """Write to one server directly, all the time, as an account without privileges."""
    conn: Any = None
    while not stop.is_set():
        try:
            if conn is None:
                conn = pymysql.connect(host="127.0.0.1", port=port, user="app", password="app-lab-password",
                                       autocommit=True, database="watch", connect_timeout=2, read_timeout=10)  # fmt: skip
            sent = time.monotonic()
            with conn.cursor() as cursor:
                cursor.execute("UPDATE t SET n = n + 1")
            history.add("watch", side, sent, time.monotonic())
        except (pymysql.err.MySQLError, OSError) as error:
            if not (error.args and error.args[0] in _NOT_RUN):
                conn = None
                stop.wait(0.02)
        stop.wait(0.003)


async def _main(path: Path, port: int, clients: int, blue: int, green: int) -> None:
    history, gate, stop, ended = History(path), asyncio.Event(), asyncio.Event(), threading.Event()
    gate.set()
    crew = [Client(n, port, history, gate) for n in range(clients)]
    watchers = [threading.Thread(target=watch, args=(side, p, history, ended), daemon=True)
                for side, p in (("blue", blue), ("green", green))]  # fmt: skip
    for thread in watchers:
        thread.start()
    tasks = [asyncio.create_task(c.run(stop)) for c in crew]
    loop = asyncio.get_running_loop()
    while word := await loop.run_in_executor(None, sys.stdin.readline):
        if word.strip() == "hold":
            gate.clear()
            while any(c.busy for c in crew):
                await asyncio.sleep(0.01)
            print("held", flush=True)
        else:
            gate.set()
    gate.set()
    stop.set()
    ended.set()
    await asyncio.wait(tasks, timeout=OP_LIMIT)


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:6])))
