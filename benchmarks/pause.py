"""What continuous verification adds to a switchover's pause, at a set rate of transactions.

Writers go through the proxy and connect again after a switchover. Every other switchover has the proof switched off, so
that both pauses are of one run; the time of the proof itself is in the switchover's report.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pymysql

from benchmarks import servers
from benchmarks.report import Cell, Report, percentile
from lab import Deployment, LabError, Server
from lab.deployment import APP_PASSWORD

ROWS = 20_000
QUICK: dict[str, str | int] = {"sync_binlog": 0, "innodb_flush_log_at_trx_commit": 2}
"""The rate is what counts here, not whether this machine's disk can follow."""


class Writer(threading.Thread):
    """Updates rows through the proxy at `rate` a second, connecting again whenever it has to."""

    def __init__(self, port: int, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._gap = 1.0 / rate
        self._rng = random.Random(seed)
        self.stopping = threading.Event()
        self.done = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with pymysql.connect(host="127.0.0.1", port=self._port, user="app", password=APP_PASSWORD, database="shop",
                                     autocommit=True, read_timeout=20) as conn, conn.cursor() as cursor:  # fmt: skip
                    self._work(cursor)
            except (pymysql.err.MySQLError, OSError):
                time.sleep(0.01)

    def _work(self, cursor: Any) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            row, value = self._rng.randrange(ROWS), self._rng.random()
            cursor.execute(f"UPDATE items SET v = {value}, note = 'n{value}' WHERE id = {row}")
            self.done += 1
            due = max(due + self._gap, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))


def fill(server: Server) -> None:
    with server.connect(database="shop") as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TABLE items (id INT PRIMARY KEY, v DOUBLE, note VARCHAR(60))")
        for start in range(0, ROWS, 2000):
            cursor.execute(f"INSERT INTO items VALUES {', '.join(f'({n}, 0, {n})' for n in range(start, start + 2000))}")


def proved(status: dict[str, Any]) -> bool:
    now = status["verify"]["continuous"]
    return bool(status["replication"]["state"] == "streaming" and now and now["running"] and not now["tables_in_doubt"])


def measure(flavour: Any, args: argparse.Namespace, report: Report) -> list[Cell]:
    with servers.laboratory() as lab:
        blue, green = lab.pair(flavour, flavour, buffer_pool="64M", options=QUICK)
        settings = "[verify]\ncontinuous = true\npause_budget_ms = 2000\nat_switchover = "
        daemon = Deployment(lab.folder / "daemon", blue, green, replicate=f'{settings}"report"')
        for server in (blue, green):
            fill(server)
        report.version(flavour, blue.version)
        daemon.start(limit=120.0)
        writers = [Writer(daemon.port, args.rate / 4, seed) for seed in range(4)]
        for writer in writers:
            writer.start()
        pauses: dict[str, list[float]] = {"report": [], "off": []}
        spent, rows, rates, told = [], [], [], 0
        try:
            for number in range(2 * args.switchovers):
                mode = ("report", "off")[number % 2]
                text = daemon.config.read_text()
                daemon.config.write_text(text.replace('"report"', f'"{mode}"').replace('"off"', f'"{mode}"'))
                daemon.segue("reload")
                daemon.wait_for(proved, 120.0)
                if args.verbose:
                    for _ in range(5):
                        status = daemon.segue("status")[1]
                        print(json.dumps({k: v for k, v in status["verify"]["continuous"].items() if k != "rows_that_differ"}),
                              status["replication"]["lag_seconds"], sum(w.done for w in writers), flush=True)  # fmt: skip
                before, began = sum(w.done for w in writers), time.monotonic()
                time.sleep(2.0)
                rates.append((sum(w.done for w in writers) - before) / (time.monotonic() - began))
                try:
                    found = daemon.segue("switchover")[1]
                except LabError as error:
                    print(str(error)[:300], flush=True)
                    continue
                pauses[mode].append(found["pause_ms"])
                if mode == "report":
                    proof = found["verification"]
                    print(json.dumps(proof)[:300], flush=True)
                    spent.append(proof["ms"])
                    rows.append(proof["rows"])
                    told += proof["outcome"] != "equal"
        finally:
            for writer in writers:
                writer.stopping.set()
            daemon.stop()
        report.add(flavour=flavour, transactions_per_second=rates, proof_ms=spent, rows_in_doubt=rows, pauses_ms=pauses)
        return [flavour, sum(rates) / len(rates), len(spent), told, percentile(rows, 0.5), percentile(spent, 0.5), max(spent),
                percentile(pauses["report"], 0.5), percentile(pauses["off"], 0.5)]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--rate", type=float, default=1000.0, help="transactions a second that are tried")
    parser.add_argument("--switchovers", type=int, default=5, help="of each kind")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    report = Report("pause", "A proof inside the pause, ms", vars(args))
    rows = [measure(flavour, args, report) for flavour in servers.flavours(args.flavour)]
    report.show(("flavour", "trx/s", "proofs", "not equal", "rows in doubt p50", "proof p50 ms", "max ms", "pause with p50", "without"), rows)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
