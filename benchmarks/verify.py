"""How fast `segue verify` compares, against a copy of the same rows through a client, and what others say of planted rows.

Two servers hold the same tables, in buffer pools that hold them all. The rival for the rate is the plain copy that
anybody would write: SELECT in key order from one side, multi-row INSERT into an empty table on the other, as fast as
one connection to each side goes. The rival for the verdicts is pt-table-sync, which compares two hosts by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import asyncmy
import uvloop

from benchmarks import servers
from benchmarks.report import Cell, Report, ratio, times
from lab import LabError, Server
from lab.fetch import tool
from segue.config import Endpoint, Replicate, Verify
from segue.roles import mapping_from
from segue.verify.session import Order, Session

TABLES = {
    "narrow": ("id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT NOT NULL, b INT", "n, n * 7, n % 11"),
    "wide": (
        """id BIGINT PRIMARY KEY AUTO_INCREMENT, k INT NOT NULL, c VARCHAR(120) NOT NULL, pad VARCHAR(60),
           d DECIMAL(12,2), t DATETIME(6), j VARCHAR(200), e ENUM('a','b','c')""",
        """n, n * 7919 % 1000003, REPEAT(CONCAT(n, '-'), 12), REPEAT('x', n % 60), n / 7,
           TIMESTAMP('2020-01-01') + INTERVAL n MINUTE, CONCAT('{"n": ', n, '}'), 1 + n % 3""",
    ),
    "texts": (
        "a VARCHAR(30) NOT NULL, b INT NOT NULL, t TEXT, PRIMARY KEY (a, b)",
        "CONCAT('key ', n % 5000), n, REPEAT(CONCAT(n), 40)",
    ),
}


class Still:
    """Nothing is written meanwhile."""

    async def applied(self, position: str) -> None:
        pass


def fill(server: Server, rows: int) -> None:
    with server.connect() as conn, conn.cursor() as cursor:
        depth = "cte_max_recursion_depth" if server.flavour == "mysql" else "max_recursive_iterations"
        cursor.execute(f"SET SESSION {depth} = {rows + 10}")
        cursor.execute("CREATE DATABASE v")
        for name, (columns, values) in TABLES.items():
            cursor.execute(f"CREATE TABLE v.{name} ({columns})")
            cursor.execute(
                f"INSERT INTO v.{name} WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows})"
                f" SELECT {values} FROM s"
            )


def compare(source: Server, target: Server, table: str) -> dict[str, Any]:
    ends = [Endpoint(host=s.host, port=s.port, user="root") for s in (source, target)]
    order = Order("lab", ends[0], "blue", ends[1], "green", mapping_from("blue", Replicate(schemas=["v"])), Verify())
    return dict(uvloop.run(Session(order, Still()).run([f"v.{table}"])))


async def _copy(source: Server, target: Server, table: str, batch: int) -> None:
    settings: dict[str, Any] = {"user": "root", "charset": "utf8mb4", "autocommit": True}
    one = await asyncmy.connect(host=source.host, port=source.port, **settings)
    two = await asyncmy.connect(host=target.host, port=target.port, **settings)
    columns = [r[0] for r in source.sql(f"SHOW COLUMNS FROM v.{table}")]
    key = "a, b" if table == "texts" else "id"
    async with one.cursor() as read, two.cursor() as write:
        after: Any = None
        while True:
            where = "" if after is None else f"WHERE ({key}) > ({', '.join(['%s'] * len(after))})" if len(after) > 1 else f"WHERE {key} > %s"
            await read.execute(f"SELECT {', '.join(columns)} FROM v.{table} {where} ORDER BY {key} LIMIT {batch}", after)
            rows = await read.fetchall()
            if not rows:
                break
            literals = ",".join("(" + ",".join(two.literal(v) for v in row) + ")" for row in rows)
            await write.execute(f"INSERT INTO c.{table} VALUES {literals}")
            after = rows[-1][: 2 if table == "texts" else 1]
    await one.ensure_closed()
    await two.ensure_closed()


def copied(source: Server, target: Server, table: str) -> float:
    """Seconds that the plain copy takes."""
    with target.connect() as conn, conn.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS c")
        cursor.execute("CREATE DATABASE c")
        cursor.execute(f"CREATE TABLE c.{table} LIKE v.{table}")
    began = time.perf_counter()
    asyncio.run(_copy(source, target, table, 2000))
    return time.perf_counter() - began


def pt_table_sync(source: Server, target: Server, table: str) -> tuple[float, int | str, str]:
    """Seconds, how many rows it would change or why it cannot run, and its statements."""
    try:
        program = tool("pt-table-sync")
    except LabError as error:
        return 0.0, str(error), ""
    hosts = [f"h=127.0.0.1,P={s.port},u=root,D=v,t={table}" for s in (source, target)]
    began = time.perf_counter()
    done = subprocess.run([*program.argv, "--print", "--no-check-slave", "--no-check-triggers", *hosts],
                          capture_output=True, text=True, env=program.environment(), check=False, timeout=900)  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 2):
        return seconds, (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200], ""
    return seconds, len(re.findall(r"^(?:REPLACE|DELETE|INSERT|UPDATE) ", done.stdout, re.MULTILINE)), done.stdout


PLANTED = (
    "UPDATE v.wide SET c = CONCAT(c, ' ') WHERE id = 1000",
    "UPDATE v.wide SET pad = NULL WHERE id = 60",
    "UPDATE v.wide SET t = t + INTERVAL 1 MICROSECOND WHERE id = 3000",
    "DELETE FROM v.wide WHERE id = 4000",
    "INSERT INTO v.wide SELECT NULL, k, c, pad, d, t, j, e FROM v.wide WHERE id = 1",
    "UPDATE v.wide a JOIN v.wide b ON a.id = 5000 AND b.id = 5001 SET a.e = b.e, b.e = a.e WHERE a.e <> b.e",
)


def measure(flavour: Any, args: argparse.Namespace, report: Report) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    with servers.laboratory() as lab:
        source = servers.start(lab, flavour, "source", buffer_pool="256M", binlog=False)
        fill(source, args.rows)
        source.stop()
        target = servers.clone(lab, source, "target", buffer_pool="256M", binlog=False)
        source.start()
        report.version(flavour, source.version)
        for table in TABLES:
            compare(source, target, table)  # fills the buffer pools
            best = min((compare(source, target, table) for _ in range(args.rounds)), key=lambda d: d["seconds"])
            assert best["equal"], best
            copy = min(copied(source, target, table) for _ in range(args.rounds))
            speed, rival = best["rows"] / best["seconds"], best["rows"] / copy
            report.add(flavour=flavour, table=table, rows=best["rows"], verify_rows_per_second=speed, copy_rows_per_second=rival)
            rows.append([flavour, table, best["rows"], speed, rival, times(ratio(speed, rival))])
        with target.connect() as conn, conn.cursor() as cursor:
            for statement in PLANTED:
                cursor.execute(statement)
        document = compare(source, target, "wide")
        seconds, verdict, _ = pt_table_sync(source, target, "wide")
        report.add(flavour=flavour, planted=len(PLANTED), segue_differences=document["differences"],
                   segue_seconds=document["seconds"], pt_table_sync=verdict, pt_table_sync_seconds=seconds)  # fmt: skip
        print(f"{flavour}: {len(PLANTED)} planted statements; segue verify: {document['differences']} rows in"
              f" {document['seconds']:.2f} s; pt-table-sync: {verdict} in {seconds:.2f} s", flush=True)  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each table")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many counts, for both")
    args = parser.parse_args()
    report = Report("verify", "Comparing against copying, rows a second", vars(args))
    rows: list[list[Cell]] = []
    with contextlib.suppress(KeyboardInterrupt):
        for flavour in servers.flavours(args.flavour):
            rows += measure(flavour, args, report)
    report.show(("flavour", "table", "rows", "verify rows/s", "copy rows/s", "ratio"), rows)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
