"""What idle clients cost: memory of the proxy worker for each of them, CPU of the daemon while nobody does anything.

A whole daemon runs between two MySQL servers. One after another, clients log in through it and each runs one query,
as a connection pool does to see that its connection is good; then they stay idle. Memory per client is the growth
of the worker's proportional set size (PSS, from smaps_rollup) divided by the number of clients, RSS beside it. It is
measured without and with TLS on the client's hop, each time with a daemon of its own. With `preferred` towards the
server, TLS on the client's hop means TLS on the server's hop too.

CPU while idle is what control, replicator and worker use, in per cent of one core, with all clients connected.
"""

from __future__ import annotations

import argparse
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import pymysql

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.processes import child, cpu_seconds, memory_kb
from benchmarks.report import Cell, Report
from lab import Deployment, Lab, Server
from lab.deployment import APP_PASSWORD

SETTLE = 1.0
_SPARE_FILES = 200


def connect(port: int, *, tls: bool) -> pymysql.Connection[Any]:
    """One client, logged in, with its first query behind it."""
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    conn: pymysql.Connection[Any] = pymysql.connect(
        host="127.0.0.1", port=port, user="app", password=APP_PASSWORD, database=servers.DATABASE,
        ssl=context, ssl_disabled=not tls,
    )  # fmt: skip
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    return conn


def measure(folder: Path, pair: tuple[Server, Server], args: argparse.Namespace, *, tls: bool) -> dict[str, Any]:
    """A daemon with `args.clients` idle clients; its figures."""
    daemon = Deployment(folder, *pair, schemas=(servers.DATABASE,))
    clients: list[pymysql.Connection[Any]] = []
    try:
        daemon.start()
        assert daemon.process is not None
        control = daemon.process.pid
        worker, replicator = child(control, "segue.proxy"), child(control, "segue.replicate")
        # The first clients pay for what is shared: imports, caches, the worker's own buffers.
        warm = [connect(daemon.port, tls=tls) for _ in range(10)]
        time.sleep(SETTLE)
        before = memory_kb(worker)
        clients += warm
        began = time.perf_counter()
        while len(clients) < args.clients + len(warm):
            clients.append(connect(daemon.port, tls=tls))
        took = time.perf_counter() - began
        time.sleep(SETTLE)
        after = memory_kb(worker)
        parts = {"control": control, "replicator": replicator, "worker": worker}
        used = {name: cpu_seconds(pid) for name, pid in parts.items()}
        began = time.perf_counter()
        time.sleep(args.seconds)
        passed = time.perf_counter() - began
        shares = {name: (cpu_seconds(pid) - used[name]) / passed * 100 for name, pid in parts.items()}
        _, status = daemon.segue("status")
    finally:
        for conn in clients:
            conn.close()
        daemon.stop()
    return {
        "tls": tls,
        "clients": args.clients,
        "clients_of_status": status["proxy"]["clients"],
        "logins_per_second": args.clients / took,
        "worker_kb_before": before,
        "worker_kb_after": after,
        "pss_kb_per_client": (after["pss"] - before["pss"]) / args.clients,
        "rss_kb_per_client": (after["rss"] - before["rss"]) / args.clients,
        "idle_cpu_percent": shares,
    }


HEADERS = ("clients", "TLS", "PSS kB/client", "RSS kB/client", "worker MB", "logins/s", "control CPU %",
           "replicator CPU %", "worker CPU %")  # fmt: skip


def line(found: dict[str, Any]) -> list[Cell]:
    shares = found["idle_cpu_percent"]
    return [
        found["clients"], "on" if found["tls"] else "off", found["pss_kb_per_client"], found["rss_kb_per_client"],
        found["worker_kb_after"]["rss"] / 1024, found["logins_per_second"], shares["control"], shares["replicator"],
        shares["worker"],
    ]  # fmt: skip


def run(args: argparse.Namespace, report: Report, lab: Lab) -> list[list[Cell]]:
    """Without and with TLS; the rows of the table."""
    pair = lab.pair("mysql", "mysql")
    report.version("MySQL", pair[0].version)
    rows: list[list[Cell]] = []
    for tls in (False, True):
        found = measure(lab.folder / f"daemon-{'tls' if tls else 'plain'}", pair, args, tls=tls)
        for server in pair:
            server.sql("DROP SCHEMA segue")  # the next daemon knows nothing of this one's state
        pair[1].sql("SET GLOBAL super_read_only = OFF")
        pair[1].sql("SET GLOBAL read_only = OFF")
        report.add(**found)
        rows.append(line(found))
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the CPU of idleness is measured")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 2 * args.clients + _SPARE_FILES:
        print(f"{args.clients} clients need more than the {hard} open files that are allowed here: ulimit -Hn",
              file=sys.stderr)  # fmt: skip
        return 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = Report("idle", "Idle clients through Segue's proxy, one worker", vars(args))
    with servers.laboratory() as lab:
        rows = run(args, report, lab)
    report.show(HEADERS, rows)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
