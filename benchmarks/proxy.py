"""Queries per second of sysbench directly and through HAProxy, MySQL Router and Segue's proxy, to one MySQL server.

Every rival has one thread (Segue: one worker process) and TLS is off on both of its hops. With --tls clients use TLS:
Router and Segue end it and speak plainly to the server, HAProxy passes it on to the server unread. All of them run the whole
time, idle when it is not their turn. In each round sysbench runs once through each of them, a round's order being
the last one's turned by one, and the figure is the median over the rounds. Logging in is part of a run, but is a
few milliseconds of it: the account's password is in the server's cache from an earlier login.

"bare" is no rival: a forwarder in C that reads nothing of what it sends on, hence about the most that one thread can do
with two TCP connections a client.

p95 is sysbench's 95th percentile of a whole event: one query in oltp_point_select, a transaction of 16 in
oltp_read_only. CPU per query is what /proc says of the rival's own process during a run, by sysbench's queries.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.report import Cell, Report, median, number, ratio, times
from benchmarks.routes import ALL, Route, Tls
from benchmarks.sysbench import Outcome, Sysbench, Target
from lab import Lab, LabError
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD

WORKLOADS = ("oltp_point_select", "oltp_read_only")
CLIENTS = (8, 64)
LOGINS = 10
"""Runs begun with TLS until all clients are in: through Router, MariaDB's client library, which sysbench has here, gets
a packet now and then that it cannot read."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of sysbench through one route."""

    route: str
    outcome: Outcome
    cpu: float

    @property
    def cpu_us_per_query(self) -> float:
        return self.cpu / self.outcome.queries * 1e6


@dataclass(frozen=True, slots=True)
class Figures:
    """One route's medians over the rounds."""

    queries_per_second: float
    p95_ms: float
    cpu_us_per_query: float
    rounds: list[float]


def medians(turns: list[Turn], route: str) -> Figures:
    own = [t for t in turns if t.route == route]
    rates = [t.outcome.queries_per_second for t in own]
    return Figures(median(rates), median([t.outcome.p95_ms for t in own]), median([t.cpu_us_per_query for t in own]),
                   [round(r, 1) for r in rates])  # fmt: skip


def turned(routes: list[Route], by: int) -> list[Route]:
    """The same in another order, so that nobody always follows the same rival."""
    by %= len(routes)
    return routes[by:] + routes[:by]


async def turn(route: Route, bench: Sysbench, workload: str, clients: int, seconds: int) -> Turn:
    goal = Target(route.port, "app", APP_PASSWORD, tls=route.tls.folder if route.tls else None)
    for _ in range(LOGINS if route.tls else 1):
        before = route.cpu()
        try:
            outcome = await asyncio.to_thread(bench.run, workload, goal, threads=clients, time=seconds, events=0)
        except LabError as error:
            failed = error
        else:
            return Turn(route.name, outcome, route.cpu() - before)
    raise failed


async def measure(args: argparse.Namespace, report: Report, lab: Lab) -> None:
    """All workloads; the tables."""
    tls = Tls.make(lab.folder / "certificates") if args.tls else None
    own: dict[str, str | int] = {"ssl_ca": str(tls.cert), "ssl_cert": str(tls.cert), "ssl_key": str(tls.key)} if tls else {}
    server = servers.start(lab, "mysql", "server", own, buffer_pool="256M")
    create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=(servers.DATABASE,))
    bench = Sysbench(args.tables, args.size)
    bench.prepare(Target(server.port, "app", APP_PASSWORD))
    servers.checksums(server)
    report.version("MySQL", server.version)
    async with contextlib.AsyncExitStack() as stack:
        routes: list[Route] = []
        for kind in ALL:
            route = kind(lab.folder, server, tls)
            stack.push_async_callback(route.close)
            await route.open()
            routes.append(route)
            if version := route.version():
                report.version(route.name, version)
        for workload in args.workload:
            for clients in args.clients:
                turns = [
                    await turn(route, bench, workload, clients, args.seconds)
                    for one in range(args.rounds)
                    for route in turned(routes, one)
                ]
                show(report, workload, clients, turns)


HEADERS = ("route", "queries/s", "p95 ms", "proxy CPU us/query", "of direct", "segue is", "rounds")


def show(report: Report, workload: str, clients: int, turns: list[Turn]) -> None:
    """One table: a workload with a number of clients."""
    all_figures = {kind.name: medians(turns, kind.name) for kind in ALL}
    segue = all_figures["segue"].queries_per_second
    rows: list[list[Cell]] = []
    for name, f in all_figures.items():
        against = ratio(segue, f.queries_per_second)
        rows.append([
            name, f.queries_per_second, f.p95_ms, f.cpu_us_per_query if name != "direct" else None,
            times(ratio(f.queries_per_second, all_figures["direct"].queries_per_second)),
            times(against) if name != "segue" else "-", " ".join(number(r) for r in f.rounds),
        ])  # fmt: skip
        report.add(workload=workload, clients=clients, route=name, queries_per_second=f.queries_per_second,
                   p95_ms=f.p95_ms, cpu_us_per_query=f.cpu_us_per_query, rounds=f.rounds,
                   segue_ratio=against)  # fmt: skip
    how = " with TLS" if report.value["settings"]["tls"] else ""
    report.show(HEADERS, rows, heading=f"{workload}, {clients} clients{how}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workload", type=lambda text: text.split(","), default=list(WORKLOADS),
                        help=f"comma-separated, of {', '.join(WORKLOADS)}")  # fmt: skip
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=list(CLIENTS),
                        help="comma-separated numbers of clients")  # fmt: skip
    parser.add_argument("--seconds", type=int, default=6, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--size", type=int, default=20_000, help="rows of each table")
    parser.add_argument("--tls", action="store_true", help="clients use TLS")
    args = parser.parse_args()
    if unknown := set(args.workload) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    return args


def main() -> int:
    args = arguments()
    report = Report("proxy", "sysbench through one proxy thread", vars(args))
    with servers.laboratory() as lab:
        asyncio.run(measure(args, report, lab))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
