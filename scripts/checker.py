"""Clients that check themselves: `python -m checker --port P ...` until its standard input closes, then one JSON document.

Each kind of client puts something into its session (variables, prepared statements, a lock, ...), waits a moment, and
asks whether it is still there; a wrong answer is written down, an error or a lost connection too. None ever connects
again: one dropped connection ends its client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncmy
import uvloop
from asyncmy import errors

TABLES = (
    """CREATE TABLE IF NOT EXISTS checks (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, seq BIGINT NOT NULL,
       small TINYINT, note VARCHAR(100), KEY (client, seq)) ENGINE=InnoDB""",
    "CREATE TABLE IF NOT EXISTS numbers (n INT PRIMARY KEY, square INT NOT NULL) ENGINE=InnoDB",
)
FIRST = time.time_ns() // 1_000_000
"""Clients of a run count from here on: an earlier run's rows are not theirs."""
FUNCTION = "CREATE FUNCTION remember(x INT) RETURNS INT NO SQL BEGIN SET @remembered = x; RETURN x; END"
VARIABLES = {
    "sort_buffer_size": 300032, "join_buffer_size": 300032, "read_buffer_size": 139264, "read_rnd_buffer_size": 270336,
    "max_sort_length": 2000, "group_concat_max_len": 4321, "wait_timeout": 4321, "net_read_timeout": 44,
    "net_write_timeout": 66, "lock_wait_timeout": 77, "tmp_table_size": 20971520, "max_heap_table_size": 20971520,
    "div_precision_increment": 6, "default_week_format": 2, "sql_select_limit": 1000000, "max_seeks_for_key": 100000,
    "eq_range_index_dive_limit": 123, "optimizer_search_depth": 30, "long_query_time": 5.5, "sql_safe_updates": 0,
}  # fmt: skip


ONLY: set[str] = set()
"""Kinds that are wanted, all when empty."""


class Wrong(Exception):  # noqa: N818 - the word for it
    """An answer that is not what this client's session must give."""


@dataclass
class Told:
    client: int
    kind: str
    rounds: int = 0
    statements: int = 0
    longest: float = 0.0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    dropped: bool = False


class Checker:
    def __init__(self, number: int, settings: dict[str, Any], pause: float, latencies: list[float]) -> None:
        kinds = [k for k in KINDS if not ONLY or k in ONLY]
        self.told = Told(number, kinds[number % len(kinds)])
        self._settings = settings
        self._pause = pause
        self._latencies = latencies
        self.conn: Any = None
        self.number = number
        self.kept: dict[str, Any] = {}

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        told = self.told
        try:
            try:
                self.conn = await asyncmy.connect(**self._settings)
                work = KINDS[told.kind]
                await work(self)
            finally:
                ready()
            while not stop.is_set():
                await work(self)
                told.rounds += 1
                await self.wait()
        except Wrong as error:
            told.wrong.append(str(error))
        except errors.OperationalError as error:
            told.dropped = error.args[0] in (2006, 2013, 1053)
            told.errors.append(str(error))
        except (errors.MySQLError, OSError, EOFError, RuntimeError) as error:
            told.dropped = not isinstance(error, errors.MySQLError)
            told.errors.append(repr(error))
        if self.conn is not None:
            self.conn.close()

    async def wait(self) -> None:
        if self._pause:
            await asyncio.sleep(random.random() * 2 * self._pause)

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        began = time.perf_counter()
        await self.conn.query(sql)
        self.took(began)
        return list(self.conn._result.rows or ())

    def took(self, began: float) -> None:
        seconds = time.perf_counter() - began
        self.told.statements += 1
        self.told.longest = max(self.told.longest, seconds)
        self._latencies.append(seconds)

    async def must(self, sql: str, *wanted: Any) -> None:
        rows = await self.query(sql)
        if not rows or rows[0] != wanted:
            raise Wrong(f"{self.told.kind} {self.number}: {sql}: {rows} instead of {wanted}")

    def first(self) -> bool:
        if "begun" in self.kept:
            return False
        self.kept["begun"] = True
        return True

    async def insert(self, note: str = "x") -> int:
        seq = self.kept["seq"] = self.kept.get("seq", FIRST) + 1
        await self.query(f"INSERT INTO checks (client, seq, note) VALUES ({self.number}, {seq}, '{note}')")
        return int(seq)


async def plain(c: Checker) -> None:
    await c.query("BEGIN")
    seq = await c.insert("in a transaction")
    await c.must(f"SELECT COUNT(*) FROM checks WHERE client = {c.number} AND seq = {seq}", 1)
    await c.query("COMMIT")


async def prepared(c: Checker) -> None:
    if c.first():
        c.kept["square"] = await c.conn.prepare("SELECT square FROM numbers WHERE n = ?")
        c.kept["sum"] = await c.conn.prepare("SELECT ? + ?, CONCAT(?, 'é')")
        c.kept["none"] = await c.conn.prepare("SELECT COUNT(*) FROM numbers")
    n = random.randrange(100)
    extra = await c.conn.prepare(f"SELECT {n}, ?") if n % 5 == 0 else None
    await c.wait()
    for statement, args, wanted in (
        (c.kept["square"], (n,), (n * n,)), (c.kept["sum"], (n, 5, "a"), (n + 5, "aé")), (c.kept["none"], (), (100,)),
        (extra, ("z",), (n, "z")),
    ):  # fmt: skip
        if statement is not None:
            began = time.perf_counter()
            result = await statement.execute(args)
            rows = await result.fetchall() if hasattr(result, "fetchall") else result.rows
            c.took(began)
            if [tuple(r) for r in rows] != [wanted]:
                raise Wrong(f"prepared {c.number}: {list(rows)} instead of {wanted}")
    if extra is not None:
        await extra.close()


async def user_variables(c: Checker) -> None:
    n = c.kept["n"] = c.kept.get("n", 0) + 1
    await c.query(f"SET @i = {n}, @d = {n}.50, @f = {n}e0 / 3, @s = 'text {n}', @n = NULL, @b = _binary 0xff00{n % 256:02x},"
                  f" @l = _latin1 'a{n}' COLLATE latin1_german1_ci, @u = CAST({(1 << 63) + n} AS UNSIGNED)")  # fmt: skip
    await c.wait()
    await c.must(
        "SELECT @i, CAST(@d AS CHAR), @f, @s, @n, HEX(@b), @l, COLLATION(@l), @u, @i + 1, @never IS NULL",
        n, f"{n}.50", n / 3, f"text {n}", None, f"FF00{n % 256:02X}", f"a{n}", "latin1_german1_ci", (1 << 63) + n, n + 1, 1,
    )  # fmt: skip


async def hidden_variables(c: Checker) -> None:
    n = c.kept["n"] = c.kept.get("n", 0) + 1
    await c.query(f"SELECT {n} INTO @into")
    await c.query(f"SELECT remember({n})")
    await c.query(f"SELECT @assigned := {n} + 1")
    await c.wait()
    await c.must("SELECT @into, @remembered, @assigned", n, n, n + 1)


async def twenty_variables(c: Checker) -> None:
    if c.first():
        for name, value in VARIABLES.items():
            await c.query(f"SET SESSION {name} = {value}")
        await c.query("SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'")
    await c.wait()
    await c.must("SELECT " + ", ".join(f"CAST(@@{n} AS DOUBLE)" for n in VARIABLES), *(float(v) for v in VARIABLES.values()))
    await c.must("SELECT @@sql_mode, 'a' || 'b'", "PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION", "ab")


async def charset_and_zone(c: Checker) -> None:
    if c.first():
        await c.query("SET NAMES latin1 COLLATE latin1_german1_ci")
        await c.query("SET time_zone = '+05:30'")
    await c.wait()
    await c.must("SELECT @@character_set_client, @@character_set_results, @@collation_connection, @@time_zone",
                 "latin1", "latin1", "latin1_german1_ci", "+05:30")  # fmt: skip
    await c.must("SELECT FROM_UNIXTIME(0) = '1970-01-01 05:30:00', HEX(CAST(_utf8mb4 0xC3A9 AS CHAR))", 1, "E9")


async def no_autocommit(c: Checker) -> None:
    if c.first():
        await c.query("SET autocommit = 0")
    seq = await c.insert("no autocommit")
    await c.must(f"SELECT COUNT(*) FROM checks WHERE client = {c.number} AND seq = {seq}", 1)
    await c.query("ROLLBACK" if seq % 3 == 0 else "COMMIT")
    await c.wait()
    await c.must("SELECT @@autocommit", 0)
    await c.query("ROLLBACK")


async def last_insert_id(c: Checker) -> None:
    await c.insert("id")
    number = c.conn._result.insert_id
    await c.wait()
    await c.must("SELECT LAST_INSERT_ID()", number)


async def counts(c: Checker) -> None:
    if c.first():
        await c.query("SET sql_mode = ''")
    await c.query("INSERT INTO checks (client, seq, small) VALUES (-1, 1, 1000), (-1, 2, 2000)")
    await c.wait()
    await c.must("SELECT ROW_COUNT()", 2)
    await c.query("SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n < 37 LIMIT 2")
    await c.wait()
    await c.must("SELECT FOUND_ROWS()", 37)
    await c.query("INSERT INTO checks (client, seq, small) VALUES (-1, 3, 1000)")
    await c.wait()
    await c.must("SHOW WARNINGS", "Warning", 1264, "Out of range value for column 'small' at row 1")


async def text_prepare(c: Checker) -> None:
    if c.first():
        await c.query("PREPARE twice FROM 'SELECT ? * 2, ?'")
    n = random.randrange(1000)
    await c.query(f"SET @x = {n}, @y = 'y{n}'")
    await c.wait()
    await c.must("EXECUTE twice USING @x, @y", n * 2, f"y{n}")


async def role(c: Checker) -> None:
    if c.first():
        await c.query("SET ROLE checker")
    await c.wait()
    await c.must("SELECT CURRENT_ROLE() LIKE '%checker%'", 1)


async def lock(c: Checker) -> None:
    n = c.kept["n"] = c.kept.get("n", 0) + 1
    await c.must(f"SELECT GET_LOCK('lock {c.number}', 1)", 1)
    await c.wait()
    await c.must(f"SELECT IS_USED_LOCK('lock {c.number}') = CONNECTION_ID()", 1)
    if n % 4 == 0:
        await c.must(f"SELECT RELEASE_LOCK('lock {c.number}')", 1)


async def other_schema(c: Checker) -> None:
    n = c.kept["n"] = c.kept.get("n", 0) + 1
    name = ("information_schema", c._settings["database"])[n % 2]
    await c.query(f"USE {name}")
    await c.wait()
    await c.must("SELECT DATABASE()", name)


async def one_shot(c: Checker) -> None:
    await c.query("SET TRANSACTION READ ONLY")
    await c.wait()
    await c.query("BEGIN")
    try:
        await c.insert("must not be")
    except errors.MySQLError as error:
        if error.args[0] != 1792:
            raise
    else:
        raise Wrong(f"one_shot {c.number}: the transaction could write")
    await c.query("ROLLBACK")
    await c.wait()
    await c.query("BEGIN")
    await c.insert("may be")
    await c.query("COMMIT")


KINDS: dict[str, Callable[[Checker], Awaitable[None]]] = {
    "plain": plain, "prepared": prepared, "user_variables": user_variables, "twenty_variables": twenty_variables,
    "charset_and_zone": charset_and_zone, "no_autocommit": no_autocommit, "last_insert_id": last_insert_id,
    "counts": counts, "text_prepare": text_prepare, "role": role, "lock": lock, "other_schema": other_schema,
    "hidden_variables": hidden_variables, "one_shot": one_shot,
}  # fmt: skip


def create(server: Any, schema: str = "shop") -> None:
    """Tables, function and role on one lab server, outside its binlog."""
    with server.connect(database=schema) as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        for statement in TABLES:
            cursor.execute(statement)
        cursor.execute("INSERT IGNORE INTO numbers VALUES " + ", ".join(f"({n}, {n * n})" for n in range(100)))
        cursor.execute("DROP FUNCTION IF EXISTS remember")
        if server.flavour == "mysql":
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        cursor.execute(FUNCTION)
        if server.flavour == "mysql":
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = 0")
        cursor.execute("CREATE ROLE IF NOT EXISTS checker")
        cursor.execute(f"GRANT SELECT ON `{schema}`.* TO checker")
        cursor.execute("GRANT checker TO app@'%'")


async def run(
    settings: dict[str, Any], clients: int, pause: float, stop: asyncio.Event, *, idle: int = 0, tls: int = 0
) -> dict[str, Any]:
    """Until `stop`; what all clients were told. `idle` more connections do nothing but ask once at the end. The last `tls`
    clients come with TLS."""
    latencies: list[float] = []
    sealed = settings | {"ssl": {"check_hostname": False, "verify_mode": "none"}}
    crew = [Checker(n, settings if n < clients - tls else sealed, pause, latencies) for n in range(clients)]
    left = clients

    def ready() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            print("ready", flush=True)

    sleepers = []
    for number in range(idle):
        conn = await asyncmy.connect(**settings)
        await conn.query(f"SET @me = {number}, time_zone = '+01:00'")
        sleepers.append(conn)
    began = time.perf_counter()
    await asyncio.gather(*(c.run(stop, ready) for c in crew))
    seconds = time.perf_counter() - began
    asleep = {"dropped": 0, "wrong": 0}
    for number, conn in enumerate(sleepers):
        try:
            await conn.query("SELECT @me, @@time_zone")
            asleep["wrong"] += list(conn._result.rows) != [(number, "+01:00")]
        except (errors.MySQLError, OSError, EOFError, RuntimeError):
            asleep["dropped"] += 1
    ordered = sorted(latencies) or [0.0]
    told = [asdict(c.told) for c in crew]
    return {
        "clients": told, "seconds": round(seconds, 2), "statements": len(latencies),
        "errors": [e for t in told for e in t["errors"]], "wrong": [w for t in told for w in t["wrong"]],
        "dropped": sum(t["dropped"] for t in told) + asleep["dropped"], "idle_wrong": asleep["wrong"],
        "longest_ms": round(ordered[-1] * 1000, 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }  # fmt: skip


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("host", "127.0.0.1"), ("user", "app"), ("password", ""), ("database", "shop")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=len(KINDS))
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--tls", type=int, default=0, help="so many of the clients come with TLS")
    parser.add_argument("--pause", type=float, default=0.005, help="mean seconds of a wait")
    parser.add_argument("--only", nargs="*", default=[], choices=list(KINDS), help="these kinds alone")
    args = parser.parse_args()
    ONLY.update(args.only)
    settings = {k: getattr(args, k) for k in ("host", "port", "user", "password", "database")}
    settings |= {"autocommit": True, "connect_timeout": 30, "charset": "utf8mb4"}
    stop = asyncio.Event()
    reader = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    reader.add_done_callback(lambda _: stop.set())
    print(json.dumps(await run(settings, args.clients, args.pause, stop, idle=args.idle, tls=args.tls)))


if __name__ == "__main__":
    uvloop.run(_main())
