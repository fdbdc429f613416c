"""`make bench-seed`: filling an empty server from one in use, against mydumper+myloader and the server's own dump into its client.

Ten tables from wide to narrow, one with a composite string key, one without a key, under a write load. Each contender
gets a fresh server; the load's latency is taken before and during each. Rates are of the source's DATA_LENGTH.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.processes import cpu_seconds
from benchmarks.report import Report, percentile, ratio, times
from benchmarks.servers import BOTH, laboratory
from lab import Deployment, Lab, Server
from lab.fetch import tool
from lab.server import die_with_owner

SCHEMA = "shop"
WIDE = ", ".join(f"c{n} VARCHAR(80), d{n} INT, e{n} DECIMAL(12,2), f{n} DATETIME" for n in range(8))
TABLES = {
    "wide1": f"id INT AUTO_INCREMENT PRIMARY KEY, {WIDE}, KEY (d0), KEY (c1), KEY (f2)",
    "wide2": f"id INT AUTO_INCREMENT PRIMARY KEY, {WIDE}, KEY (d0, d1), UNIQUE KEY (c0, id)",
    "docs": "id BIGINT AUTO_INCREMENT PRIMARY KEY, body TEXT, tag VARCHAR(40), KEY (tag)",
    "blobs": "id BIGINT AUTO_INCREMENT PRIMARY KEY, data BLOB, size INT",
    "strings": "country CHAR(2) NOT NULL, code VARCHAR(40) NOT NULL, name VARCHAR(60), n INT, PRIMARY KEY (country, code), KEY (name)",
    "orders": "id BIGINT AUTO_INCREMENT PRIMARY KEY, customer INT, total DECIMAL(10,2), at DATETIME, state TINYINT, KEY (customer), KEY (at), KEY (state, at)",
    "order_lines": "id BIGINT AUTO_INCREMENT PRIMARY KEY, order_id BIGINT, item INT, qty INT, price DECIMAL(8,2), KEY (order_id), KEY (item)",
    "floats": "id INT AUTO_INCREMENT PRIMARY KEY, a DOUBLE, b DOUBLE, c FLOAT",
    "keyless": "a INT, b VARCHAR(30), c DATETIME",
    "narrow": "id INT AUTO_INCREMENT PRIMARY KEY, v INT",
}
_ROW = {
    "wide1": "NULL" + ", REPEAT(CONCAT('x', n), 9), n * 7 % 100003, n / 7, '2020-01-01' + INTERVAL n MINUTE" * 8,
    "docs": "NULL, REPEAT(CONCAT('lorem ', n, ' ipsum\\n'), 90), CONCAT('tag', n % 500)",
    "blobs": "NULL, REPEAT(UNHEX(LPAD(HEX(n), 8, '0')), 400), n",
    "strings": "CONCAT(CHAR(65 + n % 26), 'X'), CONCAT('code ', n), CONCAT('name ', n), n",
    "orders": "NULL, n % 50021, n / 3, '2020-01-01' + INTERVAL n SECOND, n % 5",
    "order_lines": "NULL, n / 4, n % 9973, n % 11, n / 9",
    "floats": "NULL, n / 7, n * 1.5e10, n / 3",
    "keyless": "n, CONCAT('row ', n), '2020-01-01' + INTERVAL n SECOND",
    "narrow": "NULL, n",
}
_ROW["wide2"] = _ROW["wide1"]
SHARE = {"wide1": 25, "wide2": 20, "docs": 18, "blobs": 12, "strings": 5, "orders": 6, "order_lines": 6, "floats": 3, "keyless": 3, "narrow": 2}
"""Percent of the bytes."""
WEIGHT = {"wide1": 700, "wide2": 700, "docs": 1700, "blobs": 1700, "strings": 70, "orders": 60, "order_lines": 55, "floats": 45, "keyless": 50, "narrow": 33}
"""Bytes of a row, about."""


def fill(server: Server, megabytes: int) -> None:
    """Rows made by the server itself, so many that each table has its share; not in the binlog, which nobody reads yet."""
    for name, columns in TABLES.items():
        rows = int(megabytes * 1e6 * SHARE[name] / 100 / WEIGHT[name])
        with server.connect(database=SCHEMA) as conn, conn.cursor() as cursor:
            depth = "cte_max_recursion_depth" if server.flavour == "mysql" else "max_recursive_iterations"
            cursor.execute(f"SET sql_log_bin = 0, {depth} = 100000")
            cursor.execute(f"CREATE TABLE {name} ({columns}) ENGINE=InnoDB")
            for begin in range(0, rows, 20_000):
                last = min(rows, begin + 20_000) - 1
                cursor.execute(f"INSERT INTO {name} WITH RECURSIVE s (n) AS (SELECT {begin} UNION ALL SELECT n + 1 FROM s"
                               f" WHERE n < {last}) SELECT {_ROW[name]} FROM s")  # fmt: skip
            cursor.execute(f"ANALYZE TABLE {name}")


class Load(threading.Thread):
    """Writers with a rest between statements; remembers how long each statement took, and when."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._end = threading.Event()
        self.took: list[tuple[float, float]] = []

    def run(self) -> None:
        with self._server.connect(database=SCHEMA) as conn, conn.cursor() as cursor:
            number = 0
            while not self._end.wait(0.01):
                number += 1
                for statement in (
                    f"UPDATE orders SET state = state + 1, total = total + 1 WHERE id = {number * 37 % 5000 + 1}",
                    f"INSERT INTO narrow (v) VALUES ({number})",
                    f"UPDATE wide1 SET d0 = d0 + 1 WHERE id = {number * 11 % 5000 + 1}",
                    f"DELETE FROM strings WHERE country = 'AX' AND code = 'code {number * 26}'",
                ):
                    began = time.monotonic()
                    cursor.execute(statement)
                    self.took.append((began, time.monotonic() - began))

    def since(self, began: float) -> list[float]:
        return [t for at, t in self.took if at >= began]

    def end(self) -> None:
        self._end.set()
        self.join()


def run_program(*argv: str, env: dict[str, str] | None = None, **kw: Any) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=env, preexec_fn=die_with_owner, **kw)
    if done.returncode:
        raise SystemExit(f"{Path(argv[0]).name} failed: {(done.stderr or done.stdout)[-2000:]}")


def unseeded(blue: Server, green: Server, folder: Path, throttle: str) -> Deployment:
    """Segue between both, as its operator starts it."""
    blue.sql("DROP DATABASE IF EXISTS segue")  # of the run before: this is another deployment
    deployment = Deployment(folder, blue, green, replicate=f"[seed]\n{throttle}")
    text = deployment.config.read_text()
    deployment.config.write_text(text.replace('user = "segue"', 'user = "segue"\ntls = "disabled"'))  # nor has mydumper
    deployment.launch()
    deployment.wait_for(lambda s: s["phase"] == "unseeded", 120)
    return deployment


def segue(_lab: Lab, blue: Server, green: Server, folder: Path, throttle: str) -> Callable[[], None]:
    deployment = unseeded(blue, green, folder, throttle)

    def go() -> None:
        try:
            deployment.segue("seed", limit=3600)
        finally:
            deployment.stop()

    return go


def clone(_lab: Lab, blue: Server, green: Server, folder: Path, throttle: str) -> Callable[[], None]:
    """Until the standby is fed again. It shuts itself down in between and is started as a supervisor would."""
    for server in (blue, green):
        if not server.sql("SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'"):
            server.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    deployment = unseeded(blue, green, folder, throttle)

    def go() -> None:
        try:
            deployment.segue("seed", "--clone", "--detach")
            while green.running:
                time.sleep(0.05)
            green.start()
            deployment.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "streaming", 600)
        finally:
            deployment.stop()

    return go


def mydumper(_lab: Lab, blue: Server, green: Server, folder: Path, _throttle: str) -> Callable[[], None]:
    out = folder / "dump"
    dump, load = tool("mydumper"), tool("myloader")
    ends = [["--host", s.host, "--port", str(s.port), "--user", "root", "--threads", "4"] for s in (blue, green)]

    def go() -> None:
        run_program(*dump.argv, *ends[0], "--database", SCHEMA, "--outputdir", str(out), "--trx-consistency-only",
                    "--rows", "50000", "--long-query-guard", "3600", env=dump.environment())  # fmt: skip
        run_program(*load.argv, *ends[1], "--directory", str(out), "--overwrite-tables", env=load.environment())

    return go


def dump(_lab: Lab, blue: Server, green: Server, _folder: Path, _throttle: str) -> Callable[[], None]:
    mysql = blue.flavour == "mysql"
    one, other = (tool("mysqldump"), tool("mysql")) if mysql else (tool("mariadb-dump"), tool("mariadb"))
    plain = ["--ssl-mode=DISABLED"] if mysql else ["--skip-ssl"]
    own = ["--set-gtid-purged=OFF"] if mysql else []

    def go() -> None:
        first = subprocess.Popen(
            [*one.argv, *(["--no-defaults"] if mysql else []), *plain, "--host=127.0.0.1", f"--port={blue.port}", "--user=root", "--single-transaction", *own, SCHEMA],
            stdout=subprocess.PIPE, env=one.environment(),
        )  # fmt: skip
        second = subprocess.run([*other.argv, *plain, "--host=127.0.0.1", f"--port={green.port}", "--user=root", SCHEMA],
                                stdin=first.stdout, env=other.environment(), check=False)  # fmt: skip
        assert first.stdout is not None
        first.stdout.close()  # so that it ends, too, when the client has
        if first.wait() or second.returncode:
            raise SystemExit("the dump or its client failed")

    return go


CONTENDERS = {"segue": segue, "segue --clone": clone, "mydumper+myloader": mydumper, "dump | client": dump}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=BOTH, default="mysql")
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--throttle", default="", help="lines of [seed] for one more run of Segue")
    parser.add_argument("--rounds", type=int, default=1, help="of all contenders in turn; the median by seconds counts")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTENDERS), default=tuple(CONTENDERS), help="without the others")
    args = parser.parse_args()
    report = Report("seed", f"Filling an empty server with {args.megabytes} MB", vars(args))
    runs: list[tuple[str, str]] = [(name, "") for name in args.only if args.flavour == "mysql" or name != "segue --clone"]
    if args.throttle:
        runs.insert(1, ("segue", args.throttle))
    with laboratory() as lab:
        big: dict[str, Any] = {"buffer_pool": "512M", "max_disk": (args.megabytes * 6 << 20) + (4 << 30)}
        blue = lab.start(args.flavour, "blue", **big)
        report.version(args.flavour, blue.version)
        blue.sql(f"CREATE DATABASE {SCHEMA}")
        fill(blue, args.megabytes)
        size = int(blue.sql(f"SELECT SUM(DATA_LENGTH) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{SCHEMA}'")[0][0])
        found = [[measure(lab, blue, run, size, big) for run in runs] for _ in range(args.rounds)]
    for row in itertools.chain(*found):
        report.add(**row)
    rows = [sorted(of_one, key=lambda r: float(r["seconds"]))[len(of_one) // 2] for of_one in zip(*found, strict=True)]
    first, cpu = rows[0]["seconds"], rows[0]["servers_cpu"] + rows[0]["own_cpu"]
    report.show(
        ("contender", "seconds", "MB/s", "Segue is", "servers' CPU s", "own CPU s", "of Segue's", "p99 before ms", "p99 during ms"),
        [
            (r["name"], r["seconds"], r["rate"], times(ratio(r["seconds"], first)), r["servers_cpu"], r["own_cpu"],
             times(ratio(r["servers_cpu"] + r["own_cpu"], cpu)), r["p99_before"], r["p99_during"])
            for r in rows
        ],
    )
    report.write()


def measure(lab: Lab, blue: Server, run: tuple[str, str], size: int, big: dict[str, Any]) -> dict[str, Any]:
    name, throttle = run
    green = lab.start(blue.flavour, f"green-{time.monotonic_ns()}", **big)
    green.sql(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
    green.sql("SET GLOBAL local_infile = 1")
    folder = lab.folder / f"work-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    load = Load(blue)
    try:
        go = CONTENDERS[name](lab, blue, green, folder, throttle)
        load.start()
        time.sleep(8.0)
        before = percentile(load.since(0.0), 0.99)
        pid = green.pid
        used = cpu_seconds(blue.pid, green.pid), sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        began = time.monotonic()
        go()
        seconds = time.monotonic() - began
        servers = cpu_seconds(blue.pid, green.pid) - used[0]
        own = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - used[1]
        if green.pid != pid:  # the one that ended counts as our child now, beside our own processes
            servers, own = servers + own, 0.0
        during = percentile(load.since(began), 0.99)
        with contextlib.suppress(pymysql.err.MySQLError):
            blue.sql("PURGE BINARY LOGS BEFORE NOW()")
    finally:
        if load.is_alive():
            load.end()
        green.destroy()
        lab.servers.remove(green)
        shutil.rmtree(folder, ignore_errors=True)
    label = f"{name} ({throttle})" if throttle else name
    return {"name": label, "seconds": seconds, "rate": size / seconds / 1e6, "servers_cpu": servers,
            "own_cpu": own, "p99_before": before * 1000, "p99_during": during * 1000}  # fmt: skip


if __name__ == "__main__":
    main()
