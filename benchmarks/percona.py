"""Planted differences between a server and its real replica: what `segue verify` says of each, and Percona's tools.

pt-table-checksum writes checksum statements on the source that the replica repeats, so it needs the servers' own replication
between both; pt-table-sync looks where that found something, or compares the two hosts itself. All three look at the same rows.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.report import Cell, Report
from benchmarks.rivals import Native
from benchmarks.verify import compare, fill, pt_table_sync
from lab import Lab, LabError, Server
from lab.fetch import tool

TABLE = "wide"
CHUNK = 500
"""Rows of a chunk of pt-table-checksum: each planted difference is in another one."""
PLANTED = (
    ("a trailing space", "UPDATE v.wide SET c = CONCAT(c, ' ') WHERE id = 1000", (1000,)),
    ("NULL for ''", "UPDATE v.wide SET pad = NULL WHERE id = 1620", (1620,)),
    ("a microsecond", "UPDATE v.wide SET t = t + INTERVAL 1 MICROSECOND WHERE id = 3100", (3100,)),
    ("a row lost", "DELETE FROM v.wide WHERE id = 4100", (4100,)),
    ("a row too many", "INSERT INTO v.wide SELECT 9000000, k, c, pad, d, t, j, e FROM v.wide WHERE id = 1", (9000000,)),
    ("two rows exchange an ENUM", "UPDATE v.wide a JOIN v.wide b ON a.id = 5100 AND b.id = 5101 SET a.e = b.e, b.e = a.e", (5100, 5101)),
    ("two rows exchange a number", "UPDATE v.wide a JOIN v.wide b ON a.id = 6100 AND b.id = 6101 SET a.k = b.k, b.k = a.k", (6100, 6101)),
    ("case of a letter", "UPDATE v.wide SET j = UPPER(j) WHERE id = 7100", (7100,)),
)  # fmt: skip


@dataclass
class Outcome:
    """What one of them found, or why it does not run."""

    seconds: float
    found: set[int]
    """Ids among the planted that it points at."""
    trouble: str = ""
    more: int = 0
    """What it tells beside those."""


def pair(lab: Lab, flavour: Any, rows: int) -> tuple[Server, Server]:
    """A source with rows, and its replica by the server's own replication, caught up; the planted rows differ there."""
    source = servers.start(lab, flavour, "source", buffer_pool="256M")
    fill(source, rows)
    Native.create_account(source)
    position = servers.position(source)
    source.stop()
    replica = servers.clone(lab, source, "replica", buffer_pool="256M")
    source.start()
    native = Native(source, replica, 1)
    native.configure(position)
    native.begin()
    with replica.connect() as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        for _, statement, _ in PLANTED:
            if not cursor.execute(statement):
                raise SystemExit(f"nothing was planted by: {statement}")
    return source, replica


def by_segue(source: Server, replica: Server, rounds: int) -> Outcome:
    best = min((compare(source, replica, TABLE) for _ in range(rounds)), key=lambda d: float(d["seconds"]))
    ids = {int(row["key"]["id"]) for table in best["tables"] for row in table["rows_that_differ"]}
    wanted = planted_ids()
    return Outcome(best["seconds"], ids & wanted, more=len(ids - wanted))


def planted_ids() -> set[int]:
    return {n for _, _, ids in PLANTED for n in ids}


def by_checksum(source: Server, replica: Server) -> Outcome:
    """A chunk that differs counts for the planted rows within it."""
    source.sql("CREATE DATABASE IF NOT EXISTS percona")
    source.sql("CREATE TABLE percona.dsns (id INT AUTO_INCREMENT PRIMARY KEY, parent_id INT, dsn VARCHAR(255) NOT NULL)")
    source.sql("INSERT INTO percona.dsns (dsn) VALUES (%s)", (f"h=127.0.0.1,P={replica.port},u=root",))
    program = tool("pt-table-checksum")
    began = time.perf_counter()
    done = subprocess.run(
        [*program.argv, "--databases", "v", "--tables", TABLE, "--chunk-size", str(CHUNK), "--chunk-time", "0", "--no-check-binlog-format",
         "--no-version-check", "--replicate", "percona.checksums", "--recursion-method", "dsn=D=percona,t=dsns", "--max-load", "",
         f"h=127.0.0.1,P={source.port},u=root"],
        capture_output=True, text=True, env=program.environment(), check=False, timeout=900, stdin=subprocess.DEVNULL)  # fmt: skip
    seconds = time.perf_counter() - began
    if "Can't" in done.stderr or not re.search(rf"v\.{TABLE}$", done.stdout, re.MULTILINE):
        return Outcome(seconds, set(), reason(done.stderr))
    chunks = replica.sql("SELECT lower_boundary, upper_boundary FROM percona.checksums WHERE tbl = %s AND"
                         " (this_cnt <> master_cnt OR this_crc <> master_crc OR ISNULL(this_crc) <> ISNULL(master_crc))", (TABLE,))  # fmt: skip
    bounds = [(int(low or 0), int(high or 1 << 60)) for low, high in chunks]
    inside = {n for n in planted_ids() if any(low <= n <= high for low, high in bounds)}
    return Outcome(seconds, inside, more=sum(not any(low <= n <= high for n in planted_ids()) for low, high in bounds))


def reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    lines = [re.sub(r" at /\S+.*", "", line) for line in lines]
    return next((line for line in lines if re.search("error|Can't|syntax|Cannot", line)), lines[-1] if lines else "no reason given")[:300]


def by_sync(source: Server, replica: Server) -> Outcome:
    seconds, verdict, statements = pt_table_sync(source, replica, TABLE)
    if isinstance(verdict, str):
        return Outcome(seconds, set(), verdict)
    ids = {int(n) for n in re.findall(r"(?:VALUES \('|`id`='?)(\d+)", statements)}
    return Outcome(seconds, ids & planted_ids(), more=len(ids - planted_ids()))


def measure(flavour: Any, args: argparse.Namespace, report: Report) -> None:
    with servers.laboratory() as lab:
        source, replica = pair(lab, flavour, args.rows)
        report.version(flavour, source.version)
        outcomes: dict[str, Outcome] = {"segue verify": by_segue(source, replica, args.rounds)}
        for name, run in (("pt-table-checksum", by_checksum), ("pt-table-sync --print", by_sync)):
            try:
                outcomes[name] = run(source, replica)
            except LabError as error:
                outcomes[name] = Outcome(0.0, set(), str(error))
        rows: list[list[Cell]] = []
        for what, _, ids in PLANTED:
            rows.append([what, *("does not run" if o.trouble else "seen" if set(ids) <= o.found else "NOT SEEN" for o in outcomes.values())])
        rows.append(["told beside those", *(None if o.trouble else o.more for o in outcomes.values())])
        rows.append(["seconds", *(o.seconds for o in outcomes.values())])
        report.show(("planted", *outcomes), rows, heading=f"{flavour}, {args.rows} rows: what each says of planted differences")
        for name, outcome in outcomes.items():
            report.add(flavour=flavour, tool=name, seconds=outcome.seconds, found=sorted(outcome.found), more=outcome.more, trouble=outcome.trouble)
            if outcome.trouble:
                print(f"{name}: {outcome.trouble}\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--flavour", choices=(*servers.BOTH, "both"), default="both")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many, for segue verify, whose first one warms the pools")
    args = parser.parse_args()
    report = Report("percona", "What each says of planted differences", vars(args))
    for flavour in servers.flavours(args.flavour):
        measure(flavour, args, report)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
