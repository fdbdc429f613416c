"""False alarms of `segue verify`: comparisons one after another for --minutes while both sides are written to.

The load is chosen to mislead: rows that toggle between two versions, rows deleted and put back, hot counters, a table
without key, rows appended at the end. The continuous comparison runs beside it. Both sides are equal, so that every
difference told is a false alarm, but for one row that is planted every --plant seconds by a write to the standby
past its binlog: the continuous comparison must find it, and a repair must name it and nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.report import Report
from lab import Deployment, LabError, Server

TABLES = (
    "CREATE TABLE shop.toggles (id INT PRIMARY KEY, flag TINYINT NOT NULL, KEY (flag))",
    "CREATE TABLE shop.comers (name VARCHAR(30) PRIMARY KEY, n INT)",
    "CREATE TABLE shop.counters (id INT PRIMARY KEY, n BIGINT NOT NULL)",
    "CREATE TABLE shop.bag (a INT, b VARCHAR(20))",
    """CREATE TABLE shop.log (id BIGINT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(100),
       at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))""",
    "CREATE TABLE shop.quiet (id INT PRIMARY KEY, note VARCHAR(40), at DATETIME(6) NOT NULL, v DOUBLE NOT NULL)",
)
QUIET = 5000
"""Rows of `quiet`; the load leaves the last thousand alone, where differences are planted."""
PLANTED = (
    "UPDATE quiet SET note = CONCAT(note, ' ') WHERE id = {n}",
    "UPDATE quiet SET note = NULL WHERE id = {n}",
    "UPDATE quiet SET at = at + INTERVAL 1 MICROSECOND WHERE id = {n}",
    "UPDATE quiet SET v = v + 1e-13 WHERE id = {n}",
    "DELETE FROM quiet WHERE id = {n}",
    "INSERT INTO quiet SELECT id + 100000, note, at, v FROM quiet WHERE id = {n}",
)
FIND_WITHIN = 120.0


class Churn(threading.Thread):
    """One writer; `rate` transactions a second."""

    def __init__(self, server: Server, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._pause = 1.0 / rate
        self._rng = random.Random(seed)
        self.stopping = threading.Event()
        self.done = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._server.connect(database="shop", autocommit=False) as conn, conn.cursor() as cursor:
                due = time.monotonic()
                while not self.stopping.is_set():
                    for statement in self._work():
                        cursor.execute(statement)
                    conn.commit()
                    self.done += 1
                    due = max(due + self._pause, time.monotonic() - 1.0)
                    time.sleep(max(0.0, due - time.monotonic()))
        except Exception as error:  # told by the main thread
            self.error = error

    def _work(self) -> list[str]:
        rng = self._rng
        n = rng.randrange(20)
        quiet = rng.randrange(QUIET - 1000)
        return rng.choice((
            [f"UPDATE quiet SET note = CONCAT('', {n}), v = v + 1 WHERE id = {quiet}"],
            [f"UPDATE toggles SET flag = 1 - flag WHERE id = {n}"],
            [f"DELETE FROM comers WHERE name = 'row {n}'", f"INSERT INTO comers VALUES ('row {n}', {n})"],
            [f"DELETE FROM comers WHERE name = 'comer {n}'"],
            [f"REPLACE INTO comers VALUES ('comer {n}', 1)"],
            [f"UPDATE counters SET n = n + 1 WHERE id = {rng.randrange(3)}"],
            [f"INSERT INTO bag VALUES ({n}, 'x')"],
            [f"DELETE FROM bag WHERE a = {n} LIMIT 1"],
            [f"INSERT INTO log (note) VALUES ('{rng.random()}')", f"UPDATE log SET note = 'again' WHERE id = {rng.randrange(2000)}"],
            [f"DELETE FROM log WHERE id < 100000 AND id % 97 = {rng.randrange(97)} LIMIT 3"],
        ))  # fmt: skip


def fill(server: Server) -> None:
    with server.connect(database="shop") as conn, conn.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
        cursor.execute(f"INSERT INTO toggles VALUES {', '.join(f'({n}, 0)' for n in range(5000))}")
        quiet = ", ".join(f"({n}, '', '2024-01-01', 0.5)" for n in range(QUIET))
        cursor.execute(f"INSERT INTO quiet VALUES {quiet}")
        cursor.execute(f"INSERT INTO counters VALUES {', '.join(f'({n}, 0)' for n in range(3))}")
        cursor.execute(f"INSERT INTO log VALUES {', '.join(f'({n}, {n}, NOW(6))' for n in range(1, 20_000))}".replace(
            "NOW(6)", "'2024-01-01'"))  # fmt: skip


@dataclass(slots=True)
class Found:
    """What one flavour's soak saw."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    """Of all comparisons while both sides were equal."""
    planted: int = 0
    seconds: list[float] = field(default_factory=list)
    """Until the continuous comparison told each planted row."""
    missed: int = 0
    alarms: int = 0
    """Differences told that were none: by `segue verify`, or by the continuous comparison."""


def planted_row(deployment: Deployment, number: int, found: Found) -> None:
    """Plant one difference, wait until it is told, repair it, wait until it is told no more."""
    row = QUIET - 1000 + number % 1000
    began = time.monotonic()
    with deployment.green.connect(database="shop") as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute(PLANTED[number % len(PLANTED)].format(n=row))
    found.planted += 1
    name = str(row + 100_000 if number % len(PLANTED) == len(PLANTED) - 1 else row)
    try:
        deployment.wait_for(lambda s: told(s) > 0, FIND_WITHIN)
        found.seconds.append(time.monotonic() - began)
    except LabError:
        found.missed += 1
    document = compared(deployment, "--repair")
    rows = [(t["source"], r["key"].get("id"), r["repaired"]) for t in document["tables"] for r in t["rows_that_differ"]]
    if ("shop.quiet", name, True) not in rows:
        found.missed += 1
    if len(rows) > 1:
        found.alarms += len(rows) - 1
        print(rows, flush=True)
    deployment.wait_for(lambda s: told(s) == 0, FIND_WITHIN)


def told(status: dict[str, Any]) -> int:
    return int((status["verify"]["continuous"] or {}).get("differences", 0))


def compared(deployment: Deployment, *how: str) -> dict[str, Any]:
    code, document = deployment.segue("verify", *how, check=False, limit=600)
    if "tables" not in document:
        raise SystemExit(f"verify ended with {code}: {document}")
    return document


def soak(deployment: Deployment, churns: list[Churn], args: argparse.Namespace) -> Found:
    """Compare for --minutes."""
    found = Found()
    began = time.monotonic()
    while time.monotonic() < began + args.minutes * 60:
        document = compared(deployment)
        found.documents.append(document)
        if not document["equal"]:
            print([t for t in document["tables"] if not t["equal"]], flush=True)
        status = deployment.status()
        if told(status):
            print(status["verify"]["continuous"]["rows_that_differ"], flush=True)
        found.alarms += document["differences"] + told(status)
        if args.plant and time.monotonic() > began + args.plant * (found.planted + 1):
            planted_row(deployment, found.planted, found)
        for churn in churns:
            if churn.error is not None:
                raise SystemExit(f"the load stopped: {churn.error}")
        time.sleep(args.pause)
    for line in deployment.log.read_text().splitlines():
        if '"a row differs"' in line and (row := json.loads(line))["table"] != "shop.quiet":
            found.alarms += 1
            print(row, flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--minutes", type=float, default=30.0, help="for each flavour")
    parser.add_argument("--rate", type=float, default=100.0, help="transactions a second of each of two writers")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two comparisons")
    parser.add_argument("--plant", type=float, default=180.0, help="seconds between two planted differences; 0 for none")
    args = parser.parse_args()
    report = Report("soak", "False alarms of comparisons under load", vars(args))
    rows: list[list[Any]] = []
    for flavour in servers.flavours(args.flavour):
        with servers.laboratory() as lab:
            blue, green = lab.pair(flavour, flavour, buffer_pool="64M")
            deployment = Deployment(lab.folder / "daemon", blue, green, replicate="[verify]\ncontinuous = true\n")
            for server in (blue, green):
                fill(server)
            report.version(flavour, blue.version)
            deployment.start(limit=120.0)
            churns = [Churn(blue, args.rate, seed) for seed in (1, 2)]
            for churn in churns:
                churn.start()
            try:
                found = soak(deployment, churns, args)
                looked = deployment.status()["verify"]["continuous"]["rows_looked_at_again"]
            finally:
                for churn in churns:
                    churn.stopping.set()
                deployment.stop()
            documents = found.documents
            unsettled = sum(d["unsettled"] for d in documents)
            tables = [t for d in documents for t in d["tables"]]
            again = sum(t["looked_again"] for t in tables)
            done = sum(c.done for c in churns)
            report.add(flavour=flavour, comparisons=len(documents), false_alarms=found.alarms, unsettled=unsettled,
                       chunks=sum(t["chunks"] for t in tables), rows=sum(t["rows"] for t in tables), looked_again=again,
                       looked_again_continuously=looked, planted=found.planted, missed=found.missed,
                       found_after_seconds=found.seconds, transactions=done)  # fmt: skip
            rows.append([flavour, len(documents), sum(t["rows"] for t in tables), done, again, looked, found.alarms, unsettled,
                         found.planted, found.missed, max(found.seconds, default=0.0)])  # fmt: skip
    report.show(("flavour", "comparisons", "rows", "transactions", "looked again", "and continuously", "false alarms", "unsettled",
                 "planted", "missed", "found within s"), rows)  # fmt: skip
    report.write()
    return 0 if not any(r[6] or r[7] or r[9] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
