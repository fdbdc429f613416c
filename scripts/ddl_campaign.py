"""DDL under load: `python -m ddl_campaign --flavour mysql --mode apply --seconds 60 --every 5`.

Clients work through the proxy while the source's tables are altered, indexed, copied, renamed and emptied. With
`apply` the replicator runs each statement on the standby; with `stop` an operator, who is this script, does so when
the status says that the stream stands there, and it is checked that it stands exactly there. At the end both sides
must hold the same rows, and the active one all that the clients were told.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql

import workload
from lab import Deployment, Lab, Server
from lab.deployment import APP_PASSWORD
from lab.fetch import LabError

STATEMENTS = (
    "ALTER TABLE shop.entries ADD COLUMN extra_{n} INT DEFAULT {n}",
    "ALTER TABLE shop.accounts ADD COLUMN in_the_middle_{n} VARCHAR(20) NOT NULL DEFAULT 'x' AFTER id",
    "CREATE INDEX by_note_{n} ON shop.entries (note)",
    "CREATE TABLE shop.copy_{n} LIKE shop.accounts",
    "INSERT INTO shop.copy_{n} SELECT * FROM shop.accounts",
    "ALTER TABLE shop.accounts DROP COLUMN in_the_middle_{n}",
    "RENAME TABLE shop.copy_{n} TO shop.moved_{n}",
    "ALTER TABLE shop.transfers MODIFY amount BIGINT NOT NULL, COMMENT 'round {n}'",
    "TRUNCATE TABLE shop.moved_{n}",
    "DROP INDEX by_note_{n} ON shop.entries",
    "ALTER TABLE shop.transfers MODIFY amount INT NOT NULL",
    "DROP TABLE shop.moved_{n}",
)


def statements() -> Iterator[str]:
    """Without end; each round has names of its own."""
    for number in itertools.count():
        yield from (text.replace("{n}", str(number)) for text in STATEMENTS)


class Operator(threading.Thread):
    """Runs on the standby what the stream waits at, and checks that it waits exactly there."""

    def __init__(self, deployment: Deployment, standby: Server) -> None:
        super().__init__(daemon=True)
        self.done: list[str] = []
        self.wrong: list[str] = []
        self._deployment = deployment
        self._standby = standby
        self._over = threading.Event()

    def run(self) -> None:
        last = ""
        while not self._over.wait(0.1):
            replication = self._deployment.status().get("replication", {})
            ddl = (replication.get("details") or {}).get("ddl")
            if not ddl or ddl["state"] != "waiting" or ddl["at"] == last:
                continue
            last = ddl["at"]
            if not _just_before(replication["applied_position"], last):
                self.wrong.append(f"it stands at {last}, but has applied {replication['applied_position']}")
            self._standby.sql(ddl["statement"])
            self.done.append(ddl["statement"])

    def stop(self) -> None:
        self._over.set()
        self.join(10)


def _just_before(applied: str, at: str) -> bool:
    """Whether exactly the transaction before `at` is the last one applied. GTIDs: uuid:n of MySQL, d-s-n of MariaDB."""
    separator = ":" if ":" in at else "-"
    own, _, number = at.rpartition(separator)
    last = next(p for p in applied.split(",") if p.strip().startswith(own))
    return int(last.replace("-", " ").replace(":", " ").split()[-1]) == int(number) - 1


def campaign(deployment: Deployment, blue: Server, green: Server, *, mode: str, seconds: float, every: float,
             clients: int = 6) -> dict[str, Any]:  # fmt: skip
    """Run it on a started deployment with the workload's tables. Raises LabError with what is wrong at the end."""
    operator = Operator(deployment, green)
    if mode == "stop":
        operator.start()
    load = subprocess.Popen(
        [sys.executable, str(Path(workload.__file__)), "--port", str(deployment.port), "--password", APP_PASSWORD,
         "--clients", str(clients), "--pause", "0.005"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    ran = 0
    try:
        end = time.monotonic() + seconds
        for text in statements():
            if time.monotonic() > end:
                break
            _insistent(blue, text)
            if not text.startswith("INSERT"):
                ran += 1
                time.sleep(every)
        told = json.loads(load.communicate(timeout=60)[0])
    finally:
        load.kill()
        load.wait()
    columns = shape(blue)
    wanted = digests(blue, columns)
    found: dict[str, Any] = {}

    def same(_status: dict[str, Any]) -> bool:
        nonlocal found
        found = digests(green, columns)
        # With `stop` a column or index of the target's own stops nothing, and stays.
        return found == wanted and (mode == "stop" or shape(green) == columns)

    try:
        deployment.wait_for(same, 60.0)
    except LabError as error:
        raise LabError(f"not equal: {wanted} and {found}; {error}") from None
    finally:
        if mode == "stop":
            operator.stop()
    verdict = workload.verify(green, told["clients"])
    if not verdict.good or operator.wrong:
        raise LabError(f"{verdict} {operator.wrong}")
    return {"statements": ran, "by_operator": len(operator.done), "acknowledged": verdict.acknowledged,
            "client_errors": told["errors"]}  # fmt: skip


def _insistent(server: Server, text: str) -> None:
    """Again after a deadlock with the clients."""
    for _ in range(20):
        try:
            server.sql(text)
        except pymysql.err.OperationalError as error:
            if error.args[0] not in (1205, 1213):
                raise
        else:
            return
    raise LabError(f"deadlocks without end: {text}")


def shape(server: Server) -> dict[str, list[str]]:
    """Columns of every table of the shop."""
    found: dict[str, list[str]] = {}
    for table, column in server.sql("SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop'"
                                    " ORDER BY TABLE_NAME, ORDINAL_POSITION"):  # fmt: skip
        found.setdefault(str(table), []).append(str(column))
    return found


def digests(server: Server, columns: dict[str, list[str]]) -> dict[str, tuple[Any, ...]]:
    """Number of rows and a sum over these columns, by table; an exception's text where one is missing."""
    found: dict[str, tuple[Any, ...]] = {}
    for table, names in columns.items():
        listed = ", ".join(f"COALESCE(`{n}`, 'NULL')" for n in names)
        try:
            found[table] = server.sql(f"SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', {listed}))) FROM shop.`{table}`")[0]
        except pymysql.MySQLError as error:
            found[table] = (str(error),)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--mode", choices=("apply", "stop"), default="apply")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0)
    args = parser.parse_args()
    with Lab() as lab, tempfile.TemporaryDirectory() as folder:
        blue, green = lab.pair(args.flavour, args.flavour)
        deployment = Deployment(Path(folder) / "deployment", blue, green, replicate=f'on_ddl = "{args.mode}"')
        for server in (blue, green):
            workload.create_tables(server)
        try:
            deployment.start()
            told = campaign(deployment, blue, green, mode=args.mode, seconds=args.seconds, every=args.every)
        finally:
            deployment.stop()
    print(f"{args.flavour}, {args.mode}: both sides equal, nothing lost or doubled; {told}")


if __name__ == "__main__":
    main()
