"""How old the target is when Segue has caught up, while the source runs at half of its peak.

For each flavour sysbench oltp_write_only first finds the source's peak on its own. Then the target gets a copy of
the source's files, Segue's daemon starts, and sysbench runs again at half of that rate. Meanwhile one client
updates a heartbeat row on the source at a fixed interval, and another reads it on the target all the time.

The lag of a heartbeat is from just before its UPDATE was sent to the source until the first answer of the target
that holds it or a later one: the source's own commit, replication, and the question are all in it. Heartbeats that
were replaced before they were seen count too, with the time when a later one was seen. "behind commit" is the same
from the moment when the source had acknowledged the heartbeat's commit.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.processes import child, cpu_seconds
from benchmarks.report import Cell, Report, percentile
from benchmarks.sysbench import Outcome, Sysbench, Target, finish
from lab import Deployment, Lab, LabError, Server
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import Flavour

WORKLOAD = "oltp_write_only"
TABLE = f"{servers.DATABASE}.heartbeat"
SETTLE = 2.0
"""Seconds of load before the first heartbeat counts."""
CATCH_UP = 30.0


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat, seconds on this machine's clock."""

    number: int
    sent: float
    acknowledged: float


@dataclass(frozen=True, slots=True)
class Sight:
    """What the target answered: the number of the heartbeat it held."""

    number: int
    at: float


def lags(beats: Sequence[Beat], sights: Sequence[Sight], since: Callable[[Beat], float]) -> list[float]:
    """Milliseconds from `since(beat)` until the target held that heartbeat or a later one; in beat order.

    Raises ValueError when the last heartbeats were never seen. Numbers in `sights` do not fall.
    """
    numbers = [s.number for s in sights]
    found: list[float] = []
    for beat in beats:
        at = bisect_left(numbers, beat.number)
        if at == len(sights):
            raise ValueError(f"heartbeat {beat.number} never reached the target")
        found.append(max(0.0, sights[at].at - since(beat)) * 1000)
    return found


class Heart(threading.Thread):
    """Updates the row on the source until `stop`."""

    def __init__(self, source: Server, interval: float) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._interval = interval
        self._stopping = threading.Event()
        self.beats: list[Beat] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._source.connect() as conn, conn.cursor() as cursor:
                number = 0
                due = time.perf_counter()
                while not self._stopping.wait(max(0.0, due - time.perf_counter())):
                    due += self._interval
                    number += 1
                    sent = time.perf_counter()
                    cursor.execute(f"UPDATE {TABLE} SET number = {number} WHERE id = 1")
                    self.beats.append(Beat(number, sent, time.perf_counter()))
        except Exception as error:  # told by stop()
            self.error = error

    def stop(self) -> list[Beat]:
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise LabError(f"the heartbeat stopped: {self.error}")
        return self.beats


class Eye(threading.Thread):
    """Reads the row on the target until it holds the number that `finish` is given."""

    def __init__(self, target: Server, interval: float) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._interval = interval
        self._last = 1 << 62
        self._deadline = float("inf")
        self.sights: list[Sight] = []
        self.polls = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._target.connect() as conn, conn.cursor() as cursor:
                seen = 0
                while seen < self._last and time.perf_counter() < self._deadline:
                    cursor.execute(f"SELECT number FROM {TABLE} WHERE id = 1")
                    row: Any = cursor.fetchone()
                    self.polls += 1
                    if int(row[0]) != seen:
                        seen = int(row[0])
                        self.sights.append(Sight(seen, time.perf_counter()))
                    time.sleep(self._interval)
        except Exception as error:  # told by finish()
            self.error = error

    def finish(self, last: int) -> list[Sight]:
        self._deadline = time.perf_counter() + CATCH_UP
        self._last = last
        self.join()
        if self.error is not None:
            raise LabError(f"the target could not be read: {self.error}")
        return self.sights


def peak(source: Server, bench: Sysbench, args: argparse.Namespace) -> Outcome:
    """The source's own write rate, nothing beside it but sysbench."""
    goal = Target(source.port, "app", APP_PASSWORD)
    return bench.run(WORKLOAD, goal, threads=args.threads, time=args.peak_seconds, events=0)


def under_load(
    source: Server, target: Server, rate: float, bench: Sysbench, args: argparse.Namespace
) -> tuple[Outcome, list[Beat], list[Sight], int]:
    """Load at `rate` with heartbeats; sysbench's figures, beats, sights, and questions asked."""
    goal = Target(source.port, "app", APP_PASSWORD)
    load = bench.launch(WORKLOAD, goal, threads=args.threads, events=0, rate=max(1, round(rate)),
                        time=round(args.seconds + 2 * SETTLE))  # fmt: skip
    try:
        time.sleep(SETTLE)
        eye, heart = Eye(target, args.poll / 1000), Heart(source, args.interval / 1000)
        eye.start()
        heart.start()
        time.sleep(args.seconds)
        beats = heart.stop()
        sights = eye.finish(beats[-1].number)
        return finish(load, WORKLOAD), beats, sights, eye.polls
    finally:
        load.kill()
        load.wait()


def measure(flavour: Flavour, report: Report, args: argparse.Namespace, lab: Lab) -> list[Cell]:
    """One flavour; its row of the table."""
    bench = Sysbench(args.tables, args.size)
    source = servers.start(lab, flavour, "source")
    create_accounts(source, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=(servers.DATABASE,))
    bench.prepare(Target(source.port, "app", APP_PASSWORD))
    source.sql(f"CREATE TABLE {TABLE} (id INT PRIMARY KEY, number BIGINT NOT NULL)")
    source.sql(f"INSERT INTO {TABLE} VALUES (1, 0)")
    top = peak(source, bench, args)
    source.stop()
    target = servers.clone(lab, source, "target")
    source.start()
    report.version("MySQL" if flavour == "mysql" else "MariaDB", source.version)
    for server in (source, target):
        servers.checksums(server)
    daemon = Deployment(lab.folder / "daemon", source, target, schemas=(servers.DATABASE,), accounts=False)
    try:
        daemon.start()
        assert daemon.process is not None
        replicator = child(daemon.process.pid, "segue.replicate")
        cpu, began = cpu_seconds(replicator), time.perf_counter()
        rate = top.transactions_per_second * args.share
        outcome, beats, sights, polls = under_load(source, target, rate, bench, args)
        share = (cpu_seconds(replicator) - cpu) / (time.perf_counter() - began)
        _, status = daemon.segue("status")
    finally:
        daemon.stop()
    whole = lags(beats, sights, lambda beat: beat.sent)
    behind = lags(beats, sights, lambda beat: beat.acknowledged)
    figures = {part: {"p50": percentile(v, 0.5), "p99": percentile(v, 0.99), "max": max(v)}
               for part, v in (("lag_ms", whole), ("behind_commit_ms", behind))}  # fmt: skip
    report.add(flavour=flavour, peak_transactions_per_second=top.transactions_per_second,
               transactions_per_second=outcome.transactions_per_second, source_p95_ms=outcome.p95_ms,
               heartbeats=len(beats), sights=len(sights), polls=polls, replicator_cpu_share=share,
               batches=status["replication"]["details"]["batches"], **figures)  # fmt: skip
    one, two = figures["lag_ms"], figures["behind_commit_ms"]
    return [flavour, top.transactions_per_second, outcome.transactions_per_second, len(beats), one["p50"], one["p99"],
            one["max"], two["p50"], two["p99"], two["max"], f"{share:.0%}"]  # fmt: skip


HEADERS = ("flavour", "peak trx/s", "load trx/s", "heartbeats", "p50 ms", "p99 ms", "max ms",
           "behind commit p50", "p99", "max", "replicator CPU")  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long heartbeats are sent")
    parser.add_argument("--peak-seconds", type=int, default=8, help="how long the peak is measured")
    parser.add_argument("--share", type=float, default=0.5, help="part of the peak that is used as load")
    parser.add_argument("--interval", type=float, default=20.0, help="milliseconds between heartbeats")
    parser.add_argument("--poll", type=float, default=2.0, help="milliseconds between questions to the target")
    parser.add_argument("--threads", type=int, default=8, help="sysbench threads")
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--size", type=int, default=20_000, help="rows of each table")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    report = Report("lag", "Age of the target in ms under load at half of the source's peak", vars(args))
    table: list[list[Cell]] = []
    for flavour in servers.flavours(args.flavour):
        with servers.laboratory() as lab:
            table.append(measure(flavour, report, args, lab))
    report.show(HEADERS, table)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
