"""`make bench-pause`: how long clients are held, by number of clients, on real servers.

Counted from the end of the last transaction that was open at the hold to the release. Every client checks its own
session after each switchover (`scripts/checker.py`), so a pause that was bought with a wrong answer does not count.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import checker
import workload
from lab import Deployment, Lab
from lab.deployment import APP_PASSWORD

CASES = ((16, 0), (64, 0), (64, 250), (64, 1000))
say = Console(highlight=False)


def measure(deployment: Deployment, busy: int, idle: int, rounds: int, tls: int) -> dict[str, Any]:
    load = subprocess.Popen(
        [sys.executable, str(Path(checker.__file__)), "--port", str(deployment.port), "--password", APP_PASSWORD,
         "--clients", str(busy), "--idle", str(idle), "--tls", str(tls)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert load.stdout is not None
    load.stdout.readline()
    whole, after, dropped, refused = [], [], 0, []
    try:
        for _ in range(rounds):
            deployment.wait_for(lambda s: s["replication"]["state"] == "streaming", 60)
            code, report = deployment.segue("switchover", "--timeout", "60", check=False)
            if code:
                refused.append(report["error"])
                continue
            whole.append(float(report["pause_ms"]))
            hold = next(s["ms"] for s in report["steps"] if s["step"] == "hold")
            after.append(float(report["pause_ms"]) - float(hold))
            dropped += int(report["dropped"])
            time.sleep(0.5)
        told = json.loads(load.communicate(timeout=120)[0])
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    return {
        "busy": busy, "idle": idle, "switchovers": len(whole), "pause": sorted(after), "with_drain": sorted(whole),
        "dropped": dropped + told["dropped"], "failed": len(told["errors"]), "wrong": len(told["wrong"]) + told["idle_wrong"],
        "longest_ms": told["longest_ms"], "statements": told["statements"], "refused": refused, "examples": told["errors"][:3] + told["wrong"][:3],
    }  # fmt: skip


def at(values: list[float], part: float) -> str:
    return f"{values[min(len(values) - 1, int(len(values) * part))]:.0f}" if values else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--rounds", type=int, default=20, help="switchovers for each number of clients")
    parser.add_argument("--case", action="append", help="BUSY+IDLE, for example 64+1000")
    parser.add_argument("--tls", type=int, default=0, help="so many of the busy clients come with TLS")
    parser.add_argument("--workers", type=int, default=1, help="proxy processes")
    args = parser.parse_args()
    cases = [tuple(int(n) for n in c.split("+")) for c in args.case] if args.case else CASES
    folder = Path(tempfile.mkdtemp(prefix="segue-pause-"))
    table = Table(box=None)
    for name in ("busy", "idle", "switchovers", "pause ms p50", "p99", "with drain p50", "p99", "longest statement ms",
                 "dropped", "failed", "wrong"):  # fmt: skip
        table.add_column(name, justify="right")
    bad = 0
    try:
        with Lab() as lab:
            blue, green = lab.pair(args.flavour, args.flavour)
            deployment = Deployment(folder, blue, green, workers=args.workers)
            for server in (blue, green):
                workload.create_tables(server)
                checker.create(server)
            try:
                deployment.start(90)
                for busy, idle in cases:
                    r = measure(deployment, busy, idle, args.rounds, args.tls)
                    bad += r["dropped"] + r["failed"] + r["wrong"]
                    table.add_row(
                        str(busy), str(idle), str(r["switchovers"]), at(r["pause"], 0.5), at(r["pause"], 0.99),
                        at(r["with_drain"], 0.5), at(r["with_drain"], 0.99), f"{r['longest_ms']:.0f}",
                        str(r["dropped"]), str(r["failed"]), str(r["wrong"]),
                    )
                    for text in r["refused"] + r["examples"]:
                        say.print(f"  {text}", markup=False)
            finally:
                deployment.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say.print(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
