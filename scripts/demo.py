"""`make demo`: a filled server and an empty one, the daemon between them, busy clients; the empty one is filled, both are
compared, a switchover there and back, the count, and the end of the way back.

Exits 0 only when nothing was lost, nothing doubled, both sides are equal, no connection was dropped, no statement failed, and
a rollback is refused once the way back has ended.
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

import workload
from lab import Deployment, Lab, LabError, Server
from lab.deployment import APP_PASSWORD

CLIENTS = 12
HISTORY = 200_000
"""Rows that blue holds when the story begins."""
WARM_UP = 4.0
"""Seconds of load between and after the switchovers."""
say = Console(highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), default="mysql")
    flavour = parser.parse_args().flavour
    folder = Path(tempfile.mkdtemp(prefix="segue-demo-"))
    try:
        with Lab() as lab:
            return play(lab, flavour, folder)
    except LabError as error:
        say.print(f"[red]demo:[/red] {error}", markup=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(lab: Lab, flavour: str, folder: Path) -> int:
    say.print(f"Starting two {flavour} servers ...")
    blue, green = lab.pair(flavour, flavour)  # type: ignore[arg-type]
    say.print(f"  blue {blue.version} on port {blue.port}, green {green.version} on port {green.port}")
    deployment = Deployment(folder, blue, green)
    workload.create_tables(blue)
    workload.create_history(blue, HISTORY)
    try:
        deployment.launch()
        deployment.wait_for(lambda s: s["phase"] == "unseeded")
        say.print(f"  segue in front of them on port {deployment.port}; blue holds everything, green is empty")
        say.print(f"{CLIENTS} clients read and write through it, and keep account of what they were told ...")
        told, reports = under_load(deployment)
        good = judge(deployment, blue, green, told, reports)
        good &= finalized(deployment, blue, green)
        say.print("[bold green]All rows are where they belong.[/]" if good else "[bold red]The demo failed.[/]")
        return 0 if good else 1
    finally:
        deployment.stop()


def under_load(deployment: Deployment) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the clients were told, and the reports of the switchover and the rollback."""
    load = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("workload.py")), "--port", str(deployment.port), "--password",
         APP_PASSWORD, "--clients", str(CLIENTS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    reports = []
    try:
        time.sleep(WARM_UP / 2)
        fill(deployment)
        for command in ("switchover", "rollback"):
            reports.append(deployment.segue(command)[1])
            say.print(f"  segue {command}: {reports[-1]['source']} -> {reports[-1]['target']}, clients were held for"
                      f" [bold]{reports[-1]['pause_ms']} ms[/bold]")  # fmt: skip
            time.sleep(WARM_UP)
            deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
        out, _ = load.communicate(timeout=60)
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    return json.loads(out), reports


def fill(deployment: Deployment) -> None:
    """Fill green while the clients work, and compare both sides row for row."""
    began = time.monotonic()
    value = deployment.segue("seed")[1]
    say.print(f"  segue seed: {value['rows']} rows, {value['bytes'] / 1e6:.0f} MB in"
              f" [bold]{time.monotonic() - began:.1f} s[/bold], clients working")  # fmt: skip
    deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    value = deployment.segue("verify")[1]
    rows = sum(int(t["rows"]) for t in value["tables"])
    say.print(f"  segue verify: {rows} rows of {len(value['tables'])} tables are equal, clients working")


def judge(
    deployment: Deployment, blue: Server, green: Server, told: dict[str, Any], reports: list[dict[str, Any]]
) -> bool:
    deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    wanted = workload.checksums(blue)
    try:
        deployment.wait_for(lambda _s: workload.checksums(green) == wanted, 20.0)
        equal = True
    except LabError:
        equal = False
    verdict = workload.verify(blue, told["clients"])
    dropped = sum(int(r["dropped"]) for r in reports)
    latency = told["latency_ms"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in (
        ("pause there, back", ", ".join(f"{r['pause_ms']} ms" for r in reports)),
        ("statements", f"{told['statements']} in {told['seconds']} s"),
        ("latency p50 / p99", f"{latency['p50']} / {latency['p99']} ms"),
        ("connections dropped", str(dropped + told["reconnects"])),
        ("statements failed", str(told["errors"])),
        ("longest statement", f"{latency['max']} ms"),
        ("sessions moved live", str(sum(int(r["relocated"]) for r in reports))),
        ("acknowledged transactions", str(verdict.acknowledged)),
        ("rows lost", str(verdict.lost)),
        ("rows doubled", str(verdict.doubled)),
        ("sum of all accounts", "unchanged" if verdict.sum_is_right else "WRONG"),
        ("both sides equal", "yes, by CHECKSUM TABLE" if equal else "NO"),
    ):
        table.add_row(name, value)
    say.print(table)
    unnoticed = dropped == 0 and told["errors"] == 0 and told["reconnects"] == 0
    good = verdict.good and equal and unnoticed and verdict.acknowledged > 0
    for message in sorted({m for c in told["clients"] for m in c["messages"]})[:5]:
        say.print(f"  a client was told: {message}", markup=False)
    return good


def finalized(deployment: Deployment, blue: Server, green: Server) -> bool:
    """The end of the way back: what is written from now on stays on blue, and a rollback is refused."""
    deployment.segue("finalize")
    with blue.connect(host="127.0.0.1", port=deployment.port, user="app", password=APP_PASSWORD) as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TABLE shop.afterwards (id INT PRIMARY KEY)")
    code, answer = deployment.segue("rollback", check=False)
    stays = not green.sql("SHOW TABLES FROM shop LIKE 'afterwards'")
    say.print("  segue finalize: blue goes on alone, green stays as it was;"
              f" segue rollback is {'refused' if code else 'NOT REFUSED'}: {answer.get('error', '')}")  # fmt: skip
    return code == 1 and stays


if __name__ == "__main__":
    sys.exit(main())
