"""One backlog by each path of the replicator, and by decoding every row in Python and applying it row by row.

A source filled by sysbench, and targets with the same data (copies of its files): one with the same tables (rows are
passed on), one whose columns are reordered, one renamed, one dropped, one widened and two added in the middle (row
images are re-written), one whose account may not use BINLOG (rows go by statements), and one for the rival:
mysql-replication decodes, PyMySQL applies one statement a row, a commit every 100 transactions so that flushing to disk does not
decide. Each target runs alone beside the source. Times and CPU as in apply.py; rows must be equal at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.apply import backlog, cut_dumps, measure, micros
from benchmarks.processes import cpu_seconds
from benchmarks.report import Cell, Report, times
from benchmarks.rivals import Segue
from benchmarks.sysbench import Sysbench, Target
from lab import Lab, LabError, Server
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import Flavour

COMMIT_EVERY = 100
ALTER = (
    "ALTER TABLE sbtest.{} CHANGE c text CHAR(120) NOT NULL DEFAULT '' FIRST, ADD COLUMN origin INT NOT NULL DEFAULT 5 AFTER text,"
    " MODIFY k BIGINT NOT NULL DEFAULT 0 AFTER origin, ADD COLUMN note VARCHAR(20) NULL AFTER k, DROP COLUMN pad"
)
RULE = '[[replicate.table]]\nsource = "sbtest.{}"\nrename = {{ c = "text" }}\nignore_columns = ["pad"]\n'
NO_BINLOG = {"mysql": "REVOKE REPLICATION_APPLIER ON *.* FROM segue@'%'", "mariadb": "REVOKE BINLOG REPLAY ON *.* FROM segue@'%'"}


@dataclass(frozen=True, slots=True)
class Result:
    path: str
    seconds: float
    own_cpu: float
    target_cpu: float
    equal: bool


class OnePath(Segue):
    """Segue on one target under a deployment's name of its own, since each owns its servers by name."""

    def __init__(self, source: Server, target: Server, folder: Path, start: str) -> None:
        super().__init__(source, target, folder, start)
        self._name = folder.name
        self._rewrite('name = "lab"', f'name = "{self._name}"')

    def _rewrite(self, old: str, new: str) -> None:
        config = self.deployment.config
        config.write_text(config.read_text().replace(old, new, 1))

    def map(self, rules: str) -> None:
        """Add sections to the configuration."""
        self._rewrite("[proxy]", rules + "[proxy]")

    @property
    def position_query(self) -> str:
        return f"SELECT position FROM segue.progress WHERE deployment = '{self._name}'"


def digest(server: Server, table: str, text: str) -> Any:
    """A number for all rows of the columns that every target has."""
    return server.sql(f"SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#', id, k, {text}))) FROM sbtest.{table}")[0]


def equal(source: Server, target: Server) -> bool:
    """Whether id, k and c agree in all tables, c by whatever name."""
    for table in servers.tables(source):
        columns = {str(r[0]) for r in target.sql(f"SHOW COLUMNS FROM sbtest.{table}")}
        if digest(source, table, "c") != digest(target, table, "c" if "c" in columns else "text"):
            return False
    return True


def row_by_row(source: Server, target: Server, start: str, transactions: int) -> Result:
    """The rival, in this process, until it has seen so many.

    It blocks at the end of the binlog: a MariaDB that ends a dump by itself resets the connection, and the library, which loses
    what was on its way, begins again and again.
    """
    cut_dumps(source)
    settings = {"host": source.host, "port": source.port, "user": "segue", "passwd": SEGUE_PASSWORD}
    reader = BinLogStreamReader(
        connection_settings=settings, server_id=4242, auto_position=start, is_mariadb=source.flavour == "mariadb",
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent, XidEvent], only_schemas=["sbtest"], blocking=True,
    )  # fmt: skip
    began, own, there = time.perf_counter(), time.process_time(), cpu_seconds(target.pid)
    count = 0
    with target.connect() as conn, conn.cursor() as cursor:
        conn.autocommit(False)
        for event in reader:
            if isinstance(event, XidEvent):
                count += 1
                if count % COMMIT_EVERY == 0:
                    conn.commit()
                if count == transactions:
                    break
            else:
                apply_rows(cursor, event)
        conn.commit()
    reader.close()
    seconds = time.perf_counter() - began
    used = time.process_time() - own, cpu_seconds(target.pid) - there
    return Result("mysql-replication, row by row", seconds, *used, equal(source, target))


def apply_rows(cursor: Any, event: Any) -> None:
    table = f"`{event.schema}`.`{event.table}`"
    for row in event.rows:
        if isinstance(event, WriteRowsEvent):
            values = row["values"]
            names = ", ".join(f"`{n}`" for n in values)
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(values))})", tuple(values.values()))
        elif isinstance(event, UpdateRowsEvent):
            values = row["after_values"]
            sets = ", ".join(f"`{n}` = %s" for n in values)
            cursor.execute(f"UPDATE {table} SET {sets} WHERE id = %s", (*values.values(), row["before_values"]["id"]))
        else:
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", (row["values"]["id"],))


def build(lab: Lab, flavour: Flavour, bench: Sysbench) -> tuple[Server, dict[str, Server]]:
    """Source running; targets stopped, by path."""
    source = servers.start(lab, flavour, f"{flavour}-source")
    create_accounts(source, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=(servers.DATABASE,))
    bench.prepare(Target(source.port, "app", APP_PASSWORD))
    source.stop()
    targets = {}
    for path in ("pass", "transcode", "sql", "rival"):
        target = targets[path] = servers.clone(lab, source, f"{flavour}-{path}")
        if path == "transcode":
            for table in servers.tables(target):
                target.sql(ALTER.format(table))
        if path == "sql":
            target.sql(NO_BINLOG[flavour])
        target.stop()
    source.start()
    return source, targets


def run(flavour: Flavour, report: Report, args: argparse.Namespace, lab: Lab, stack: contextlib.ExitStack) -> list[list[Cell]]:
    bench = Sysbench(args.tables, args.size)
    source, targets = build(lab, flavour, bench)
    report.version("MySQL" if flavour == "mysql" else "MariaDB", source.version)
    start = servers.position(source)
    # The daemon makes its schema on both sides at its first start, which must not count as part of the backlog.
    end, transactions, _ = backlog(source, bench, "oltp_write_only", args.events, args.threads)
    names = servers.tables(source)
    results: list[Result] = []
    rows = 0
    for path in ("pass", "transcode", "sql"):
        target = targets[path]
        target.start()
        servers.checksums(target)
        segue = OnePath(source, target, lab.folder / f"{flavour}-{path}-daemon", start)
        if path == "transcode":
            segue.map("".join(RULE.format(n) for n in names))
        stack.callback(segue.deployment.stop)
        one = measure(segue, source, end)
        rows = int(one.details["rows"])
        results.append(Result(path, one.seconds, one.own_cpu, one.target_cpu, equal(source, target)))
        target.stop()
    targets["rival"].start()
    servers.checksums(targets["rival"])
    results.append(row_by_row(source, targets["rival"], start, transactions))
    targets["rival"].stop()
    passed, rival = results[0].seconds, results[-1].seconds
    for r in results:
        report.add(flavour=flavour, path=r.path, transactions=transactions, row_events=rows, seconds=r.seconds,
                   transactions_per_second=transactions / r.seconds, of_passthrough=passed / r.seconds,
                   of_row_by_row=rival / r.seconds, own_cpu_us_per_row_event=micros(r.own_cpu, rows),
                   target_cpu_us_per_row_event=micros(r.target_cpu, rows), equal=r.equal)  # fmt: skip
    return [[flavour, r.path, transactions, rows, transactions / r.seconds, times(passed / r.seconds), times(rival / r.seconds),
             micros(r.own_cpu, rows), micros(r.target_cpu, rows), "yes" if r.equal else "NO"] for r in results]  # fmt: skip


HEADERS = ("flavour", "path", "trx", "row events", "trx/s", "of passthrough", "of row by row", "own us/row", "server us/row", "equal")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--events", type=int, default=20_000, help="transactions of the backlog")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--size", type=int, default=10_000)
    args = parser.parse_args()
    report = Report("transcode", "One backlog by each path, and decoded and applied row by row", vars(args))
    table: list[list[Cell]] = []
    for flavour in servers.flavours(args.flavour):
        with servers.laboratory() as lab, contextlib.ExitStack() as stack:
            try:
                table += run(flavour, report, args, lab, stack)
            except pymysql.MySQLError as error:
                raise LabError(f"{flavour}: {error}") from error
    report.show(HEADERS, table)
    report.write()
    return 1 if any(row[-1] == "NO" for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
