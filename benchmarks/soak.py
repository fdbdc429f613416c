"""False alarms of `segue verify`: comparisons one after another for --minutes while both sides are written to.

The load is chosen to mislead: rows that toggle between two versions, rows deleted and put back, hot counters, a table
without key, rows appended at the end. Both sides are always equal, so that every difference told is a false alarm.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.report import Report, percentile
from lab import Deployment, Server

TABLES = (
    "CREATE TABLE shop.toggles (id INT PRIMARY KEY, flag TINYINT NOT NULL, KEY (flag))",
    "CREATE TABLE shop.comers (name VARCHAR(30) PRIMARY KEY, n INT)",
    "CREATE TABLE shop.counters (id INT PRIMARY KEY, n BIGINT NOT NULL)",
    "CREATE TABLE shop.bag (a INT, b VARCHAR(20))",
    """CREATE TABLE shop.log (id BIGINT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(100),
       at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))""",
)


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
        return rng.choice((
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
        cursor.execute(f"INSERT INTO counters VALUES {', '.join(f'({n}, 0)' for n in range(3))}")
        cursor.execute(f"INSERT INTO log VALUES {', '.join(f'({n}, {n}, NOW(6))' for n in range(1, 20_000))}".replace(
            "NOW(6)", "'2024-01-01'"))  # fmt: skip


def soak(deployment: Deployment, churns: list[Churn], minutes: float, pause: float) -> list[dict[str, Any]]:
    """Documents of all comparisons."""
    found = []
    deadline = time.monotonic() + minutes * 60
    while time.monotonic() < deadline:
        code, document = deployment.segue("verify", check=False, limit=600)
        if "tables" not in document:
            raise SystemExit(f"verify ended with {code}: {document}")
        found.append(document)
        for churn in churns:
            if churn.error is not None:
                raise SystemExit(f"the load stopped: {churn.error}")
        if not document["equal"]:
            print([t for t in document["tables"] if not t["equal"]], flush=True)
        time.sleep(pause)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--minutes", type=float, default=30.0, help="for each flavour")
    parser.add_argument("--rate", type=float, default=100.0, help="transactions a second of each of two writers")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two comparisons")
    args = parser.parse_args()
    report = Report("soak", "False alarms of comparisons under load", vars(args))
    rows: list[list[Any]] = []
    for flavour in servers.flavours(args.flavour):
        with servers.laboratory() as lab:
            blue, green = lab.pair(flavour, flavour, buffer_pool="64M")
            deployment = Deployment(lab.folder / "daemon", blue, green)
            for server in (blue, green):
                fill(server)
            report.version(flavour, blue.version)
            deployment.start(limit=120.0)
            churns = [Churn(blue, args.rate, seed) for seed in (1, 2)]
            for churn in churns:
                churn.start()
            try:
                documents = soak(deployment, churns, args.minutes, args.pause)
            finally:
                for churn in churns:
                    churn.stopping.set()
                deployment.stop()
            told = sum(d["differences"] for d in documents)
            unsettled = sum(d["unsettled"] for d in documents)
            again = sum(t["looked_again"] for d in documents for t in d["tables"])
            done = sum(c.done for c in churns)
            seconds = [d["seconds"] for d in documents]
            report.add(flavour=flavour, comparisons=len(documents), false_alarms=told, unsettled=unsettled,
                       looked_again=again, transactions=done, seconds=sum(seconds))  # fmt: skip
            rows.append([flavour, len(documents), done, again, told, unsettled, percentile(seconds, 0.5)])
    report.show(("flavour", "comparisons", "transactions", "looked again", "false alarms", "unsettled", "p50 s"), rows)
    report.write()
    return 0 if not any(r[4] or r[5] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
