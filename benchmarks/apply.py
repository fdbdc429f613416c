"""The same backlog applied by the server's own parallel replication and by Segue.

For each flavour: a source filled by sysbench, and two targets with the same data (copies of its files), all with
sync_binlog = 1 and innodb_flush_log_at_trx_commit = 1. For each workload sysbench writes a backlog to the source
while both targets are stopped. Then one target after the other is started, its buffer pool filled by reading all
rows, and made to catch up, with only the source beside it.

Apply time is from the moment the source's process list shows the dump connection that feeds the target (so START
REPLICA and the daemon's start-up do not count) until the position that the target has applied contains the source's
end. Both are asked for every few milliseconds, in the same way for both rivals. A rate is what the backlog holds,
divided by that time. CPU is what /proc says of the processes between the same two moments.

At the end of each run CHECKSUM TABLE of all tables must agree on source and target; otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pymysql

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.processes import cpu_seconds
from benchmarks.report import Cell, Report, median, ratio, times
from benchmarks.rivals import Native, Rival, Segue
from benchmarks.sysbench import Sysbench, Target
from lab import Lab, LabError, Server
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import Flavour
from segue.binlog.positions import parse

EVENTS = {"oltp_write_only": 30_000, "oltp_update_non_index": 60_000, "oltp_insert": 60_000}
DUMPS = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"
POLL = 0.005
GIVE_UP = 900.0
LOOK = 5.0
"""Seconds between questions whether a rival has stopped with an error."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rival through one backlog."""

    rival: str
    seconds: float
    """Apply time, as the module says."""
    whole_seconds: float
    """The same from the command to begin."""
    target_cpu: float
    source_cpu: float
    own_cpu: float
    """CPU seconds of the rival's own processes: Segue's replicator."""
    equal: bool
    details: dict[str, Any]


def measure(rival: Rival, source: Server, end: str) -> Run:
    """Let one rival catch up with `end`. Its target runs and is warm; the source serves no dump."""
    mariadb = source.flavour == "mariadb"
    goal = parse(end, mariadb=mariadb)
    with source.connect() as at_source, rival.target.connect() as at_target:
        feeding, applied = at_source.cursor(), at_target.cursor()
        cut_dumps(source)
        told = time.perf_counter()
        rival.begin()
        deadline, look = told + GIVE_UP, told + LOOK
        began = 0.0
        before = (0.0, 0.0, 0.0)
        while True:
            if not began:
                feeding.execute(DUMPS)
                if feeding.fetchone():
                    began = time.perf_counter()
                    before = _cpu(rival, source)
            else:
                applied.execute(rival.position_query)
                row = applied.fetchone()
                if row and parse(str(row[0]).replace("\n", ""), mariadb=mariadb).contains(goal):
                    break
            now = time.perf_counter()
            if now > look:
                look = now + LOOK
                if reason := rival.trouble():
                    raise LabError(f"{rival.name} stopped: {reason}")
            if now > deadline:
                raise LabError(f"{rival.name} did not reach {end} within {GIVE_UP:.0f} s; it has {row}")
            time.sleep(POLL)
        done = time.perf_counter()
        after = _cpu(rival, source)
    details = rival.end()
    used = [b - a for a, b in zip(before, after, strict=True)]
    equal = servers.checksums(rival.target) == servers.checksums(source)
    return Run(rival.name, done - began, done - told, used[0], used[1], used[2], equal, details)


def _cpu(rival: Rival, source: Server) -> tuple[float, float, float]:
    return cpu_seconds(rival.target.pid), cpu_seconds(source.pid), rival.own_cpu()


def cut_dumps(source: Server) -> None:
    """End dump connections that a target left behind when it was stopped, and wait until they are gone."""
    deadline = time.monotonic() + 30
    while found := source.sql(DUMPS):
        if time.monotonic() > deadline:
            raise LabError("a dump connection of an earlier run does not end")
        for (number,) in found:
            with contextlib.suppress(pymysql.MySQLError):  # it may have ended by itself meanwhile
                source.sql(f"KILL {number}")
        time.sleep(0.1)


def build(
    lab: Lab, flavour: Flavour, bench: Sysbench, workers: int, stack: contextlib.ExitStack
) -> tuple[Server, Native, Segue, dict[str, Any]]:
    """Source running, both targets stopped, all three with the same rows. `stack` gets what must end with them."""
    source = servers.start(lab, flavour, f"{flavour}-source")
    create_accounts(source, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=(servers.DATABASE,))
    Native.create_account(source)
    bench.prepare(Target(source.port, "app", APP_PASSWORD))
    source.stop()
    target = servers.clone(lab, source, f"{flavour}-segue")
    source.start()
    segue = Segue(source, target, lab.folder / f"{flavour}-daemon", servers.position(source))
    stack.callback(segue.deployment.stop)
    # The very first start writes the schema segue to both; with that behind it, the third copy is made.
    segue.deployment.start()
    segue.end()
    target.stop()
    source.stop()
    native = Native(source, servers.clone(lab, source, f"{flavour}-native"), workers)
    source.start()
    settings = native.configure(servers.position(source))
    native.target.stop()
    return source, native, segue, settings


def backlog(source: Server, bench: Sysbench, workload: str, events: int, threads: int) -> tuple[str, int, float]:
    """Load for the source; its end position, transactions in the binlog, and how many a second it took."""
    before = servers.transactions(servers.position(source))
    outcome = bench.run(workload, Target(source.port, "app", APP_PASSWORD), threads=threads, events=events, time=0)
    end = servers.position(source)
    return end, servers.transactions(end) - before, outcome.transactions_per_second


def compare(
    flavour: Flavour, report: Report, args: argparse.Namespace, lab: Lab, stack: contextlib.ExitStack
) -> list[list[Cell]]:
    """All workloads of one flavour; the rows of the table."""
    bench = Sysbench(args.tables, args.size)
    source, native, segue, settings = build(lab, flavour, bench, args.workers, stack)
    report.version("MySQL" if flavour == "mysql" else "MariaDB", source.version)
    report.note(**{f"{flavour}_settings": settings})
    table: list[list[Cell]] = []
    for workload in args.workload:
        ratios: list[float] = []
        for number in range(args.rounds):
            events = args.events or EVENTS[workload]
            end, transactions, source_rate = backlog(source, bench, workload, events, args.threads)
            runs: dict[str, Run] = {}
            order: tuple[Rival, ...] = (native, segue) if number % 2 == 0 else (segue, native)
            for rival in order:
                rival.target.start()
                servers.checksums(rival.target)
                runs[rival.name] = measure(rival, source, end)
                rival.target.stop()
            one, two = runs["native"], runs["segue"]
            rows = int(two.details["rows"])
            ratios.append(one.seconds / two.seconds)
            report.add(flavour=flavour, workload=workload, round=number + 1, transactions=transactions,
                       row_events=rows, source_transactions_per_second=source_rate, ratio=ratios[-1],
                       native=figures(one, transactions, rows), segue=figures(two, transactions, rows))  # fmt: skip
            table.append(line((flavour, workload), transactions, rows, one, two))
        if args.rounds > 1:
            table.append([flavour, workload, None, None, None, None, times(median(ratios)), None, None, None, "median"])
    return table


def figures(run: Run, transactions: int, rows: int) -> dict[str, Any]:
    """A run with its rates, for the JSON."""
    return asdict(run) | {
        "transactions_per_second": transactions / run.seconds,
        "row_events_per_second": rows / run.seconds,
        "target_cpu_us_per_row_event": micros(run.target_cpu, rows),
        "own_cpu_us_per_row_event": micros(run.own_cpu, rows),
    }


def micros(seconds: float, count: int) -> float:
    return seconds / count * 1e6 if count else 0.0


HEADERS = ("flavour", "workload", "trx", "row events", "native trx/s", "segue trx/s", "ratio", "native server us/row",
           "segue server us/row", "replicator us/row", "rows equal")  # fmt: skip


def line(names: tuple[str, str], transactions: int, rows: int, one: Run, two: Run) -> list[Cell]:
    return [
        *names, transactions, rows, transactions / one.seconds, transactions / two.seconds,
        times(ratio(one.seconds, two.seconds)), micros(one.target_cpu, rows), micros(two.target_cpu, rows),
        micros(two.own_cpu, rows), "yes" if one.equal and two.equal else "NO",
    ]  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--workload", type=lambda text: text.split(","), default=list(EVENTS),
                        help=f"comma-separated, of {', '.join(EVENTS)}")  # fmt: skip
    parser.add_argument("--events", type=int, default=0, help="transactions of each backlog (0: by workload)")
    parser.add_argument("--rounds", type=int, default=1, help="backlogs of each workload; rivals take turns in going first")
    parser.add_argument("--workers", type=int, default=4, help="parallel workers of native replication")
    parser.add_argument("--threads", type=int, default=16, help="sysbench threads that write the backlog")
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--size", type=int, default=20_000, help="rows of each table")
    args = parser.parse_args()
    if unknown := set(args.workload) - set(EVENTS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    return args


def main() -> int:
    args = arguments()
    report = Report("apply", "A backlog applied by native parallel replication and by Segue", vars(args))
    table: list[list[Cell]] = []
    for flavour in servers.flavours(args.flavour):
        with servers.laboratory() as lab, contextlib.ExitStack() as stack:
            table += compare(flavour, report, args, lab, stack)
    report.show(HEADERS, table)
    report.write()
    if any(row[-1] == "NO" for row in table):
        print("rows differ after catching up: see `equal` in the JSON", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
